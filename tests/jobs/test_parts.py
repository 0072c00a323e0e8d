"""The small parts: previews, the watchdog, timings, logs."""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
import time

import numpy as np
import pytest
from PIL import Image

from engine.costs.timings import Probe, timing_key, workload_of
from engine.errors import Cancelled
from engine.jobs import logs, queue, timing_book
from engine.jobs.database import Store
from engine.jobs.job_errors import DeviceLost, StorageError, TimeUp
from engine.jobs.job_listener import JobListener
from engine.jobs.limits import Limits
from engine.jobs.preview_uri import MAX_BYTES, data_uri
from engine.jobs.queue import Flags
from engine.jobs.watchdog import Watchdog
from engine.reports.closeness import Similarity
from engine.reports.run_costs import Latency, Memory, StageEntry
from engine.reports.schema import Run
from tests.jobs.conftest import experiment, until


def picture(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    assert len(base64.b64decode(data)) <= MAX_BYTES
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_small_preview_moves_and_a_busy_one_is_a_still():
    rng = np.random.default_rng(0)
    smooth = np.linspace(0, 255, 21 * 16 * 16 * 3).reshape(21, 16, 16, 3).astype(np.uint8)
    moving = picture(data_uri(smooth))
    assert (moving.n_frames, moving.size) == (8, (16, 16))
    busy = rng.integers(0, 255, (21, 60, 104, 3), dtype=np.uint8)
    assert picture(data_uri(busy)).n_frames == 1
    assert data_uri(rng.integers(0, 255, (1, 900, 900, 3), dtype=np.uint8)) is None


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "resolute.db")
    yield made
    made.close()


@pytest.fixture
def job(store):
    asked = experiment(steps=4)
    queue.insert(store, "A" * 16, asked, visitor="", noise_floor=False, limits=Limits(), write=lambda: None)
    queue.claim(store)
    return "A" * 16


def listener(store, job, deadline=None) -> JobListener:
    return JobListener(store, job, experiment(steps=4), deadline or time.monotonic() + 60, lambda number, run: None)


def test_flags_are_raised_at_the_next_look(store, job):
    heard = listener(store, job)
    heard.check()
    queue.skip(store, job, 1)
    heard.check()  # the present run is 0
    queue.cancel(store, job)
    with pytest.raises(Cancelled, match="cancelled"):
        heard.check()
    with pytest.raises(TimeUp):
        listener(store, job, deadline=1.0).check()


def test_a_job_that_is_no_longer_ours_is_given_up(store, job):
    heard = listener(store, job)
    queue.settle(store, job, [], 0, "someone thought that we were dead")
    with pytest.raises(Cancelled):
        heard.check()


def test_a_device_that_is_lost_ends_the_job(store, job):
    heard = listener(store, job)
    failed = Run(
        name="baseline",
        policy=None,
        schedule={"infer_steps": 4},
        status="failed",
        error="AcceleratorError: CUDA error: device-side assert triggered",
        memory=Memory(kind="cuda", peak_bytes=None, reason="failed"),
        similarity=Similarity.missing("failed"),
    )
    heard.run_ended(failed)
    with pytest.raises(DeviceLost, match="device-side assert"):
        heard.run_started("track 0", 1, 2)


class Stub:
    """What a watchdog looks at."""

    def __init__(self, cancel=False, loading=False, deadline=float("inf")):
        self.cancel, self.loading, self.deadline = cancel, loading, deadline

    def flags(self):
        return Flags(self.cancel, frozenset())


@pytest.mark.parametrize(
    ("stub", "grace", "ends"),
    [
        (Stub(), 0.0, None),
        (Stub(cancel=True, loading=True), 60.0, False),
        (Stub(cancel=True), 60.0, None),
        (Stub(cancel=True), 0.05, False),
        (Stub(deadline=1.0), 0.05, True),
    ],
)
def test_the_watchdog_ends_what_hears_no_flag_and_nothing_else(stub, grace, ends):
    ended = []
    with Watchdog(stub, ended.append, grace) as dog:
        if ends is None:
            dog._thread.join(0.5)
        else:
            until(lambda: ended)
    assert ended[:1] == ([] if ends is None else [ends])
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


def finished_run(seconds: float, **changes) -> Run:
    stage = StageEntry(
        first_step=1, last_step=4, rate=1, width=128, height=128, latent_width=16, latent_height=16, tokens=320
    )  # fmt: skip
    fields = {
        "name": "baseline",
        "policy": None,
        "schedule": {"infer_steps": 4},
        "status": "done",
        "stages": (stage,),
        "latency": Latency(steps_s=(seconds,) * 4, decode_s=2.0, encode_s=0.5, text_s=0.1),
        "memory": Memory(kind="cuda", peak_bytes=1),
        "similarity": Similarity.missing("the baseline"),
    }
    return Run(**fields | changes)


def test_finished_runs_are_learned_from_and_found_by_what_they_were(store):
    asked = experiment()
    key = timing_key(asked.spec, asked.frames, asked.guidance, None)
    workload = workload_of(asked.spec, asked.frames, asked.guidance)
    assert timing_book.known(store, workload) is None
    timing_book.learn(store, key, finished_run(1.0))
    timing_book.learn(store, key, finished_run(3.0))
    timing_book.learn(store, key, finished_run(9.0, reused="computed on 2026-11-26"))
    timing_book.learn(store, key, finished_run(9.0, status="cancelled"))
    known = timing_book.known(store, workload)
    assert known.runs == 2
    assert known.step_seconds() == {(16, 16): 2.0}
    assert timing_book.known(store, workload_of(asked.spec, asked.frames + 4, asked.guidance)) is None
    pictured = timing_key(asked.spec, asked.frames, asked.guidance, None, ("image",))
    with_picture = workload_of(asked.spec, asked.frames, asked.guidance, ("image",))
    assert timing_book.known(store, with_picture) is None  # what starts from a picture is another workload
    timing_book.learn(store, pictured, finished_run(7.0))
    assert timing_book.known(store, with_picture).step_seconds() == {(16, 16): 7.0}
    assert timing_book.known(store, workload).step_seconds() == {(16, 16): 2.0}
    other = key.model_copy(update={"device": "another"})
    timing_book.learn(store, other, finished_run(0.1))
    assert timing_book.known(store, workload).key == other  # the device that ran last
    learner = timing_book.TimingBook(store, other)
    assert not learner.has((8, 8))
    learner.probed([Probe((8, 8), (0.5, 0.5, 0.5), 0.6)])
    assert learner.has((8, 8))
    assert timing_book.known(store, workload).step_seconds()[8, 8] == 0.5
    with store.transaction() as db:
        db.execute("UPDATE timings SET document = '{}'")
    assert timing_book.known(store, workload) is None
    timing_book.learn(store, key, finished_run(1.0))
    assert timing_book.known(store, workload).runs == 1


def test_an_event_is_one_json_line_with_its_job(tmp_path):
    before = logging.getLogger("resolute").handlers[:]  # of a service that another test has open
    handler = logs.to_file(tmp_path / "resolute.log")
    try:
        logs.event("run ended", job="A" * 16, status="done", name="two\nlines „Äpfel“")
        logs.forward('{"time": "then", "event": "from the worker"}')
        logs.forward("Segmentation fault")
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            logs.log.exception("failed")
    finally:
        logs.remove(handler)
    lines = [json.loads(line) for line in (tmp_path / "resolute.log").read_text("utf-8").splitlines()]
    assert [line["event"] for line in lines] == ["run ended", "from the worker", "worker says", "failed"]
    assert (lines[0]["job"], lines[0]["name"], lines[0]["level"]) == ("A" * 16, "two\nlines „Äpfel“", "info")
    assert lines[2]["text"] == "Segmentation fault"
    assert "ZeroDivisionError" in lines[3]["traceback"]
    assert logging.getLogger("resolute").handlers == before


def test_a_disk_that_takes_no_row_costs_progress_and_no_run(store, job, monkeypatch):
    """The row of a run that could not be written is made to agree with the report when the job ends."""
    heard, done = listener(store, job), finished_run(1.0, video="00.mp4")

    def full(*args, **kwargs):
        raise StorageError("the disk is full; delete results or make room.")

    with monkeypatch.context() as broken:
        broken.setattr(store, "transaction", full)
        heard.run_started("baseline", 0, 2)
        heard.phase("baseline", "decoding")
        heard.run_ended(done)
    assert queue.end_job(store, job, "done", None, 1, {0: done})
    rows = store.read("SELECT status, video FROM runs WHERE job_id = ? ORDER BY number", job)
    assert [tuple(row) for row in rows] == [("done", "00.mp4"), ("failed", None)]
