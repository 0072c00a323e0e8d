"""Faults 1, 2 and 20: a run that has no memory or no finite numbers, in real comparisons of a tiny pipeline."""

from __future__ import annotations

import pytest
import torch

from engine.comparing.comparison import Silent, compare
from engine.jobs import queue
from engine.jobs.database import Store
from engine.jobs.job_listener import JobListener
from engine.jobs.limits import Limits
from engine.models.loading import load_model
from engine.patching import patched
from engine.reports.html import write_index
from engine.reports.report_file import load
from tests.comparing.test_comparison import experiment
from tests.faults.conftest import resident
from tests.tiny import saved_tiny_wan

SCRATCH = 50_000_000  # floats that a step holds when its memory runs out: 200 MB
MOST = 2**50  # bytes that no machine has: the allocator's own refusal


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")), device="cpu")


class Armed(Silent):
    """Says which run is at which step, and lets the network fail inside the next one."""

    def __init__(self, faults: dict[str, object]) -> None:
        self.faults, self.at, self.hits = faults, ("", 0), 0

    def run_started(self, name, number, runs):
        self.at = name, 0

    def step(self, name, event):
        self.at = name, event.step

    def strike(self, out):
        """What the network gives; the fault of its run comes inside step 3."""
        name, step = self.at
        fault = self.faults.get(name)
        if fault is None or step < 2:
            return out
        self.hits += 1
        if fault == "not finite":
            return (out[0] * float("nan"),)
        scratch = torch.ones(SCRATCH)
        if fault == "allocator":
            torch.empty(MOST, dtype=torch.uint8)
        raise fault if scratch.sum() > 0 else AssertionError


def struck(model, tmp_path, asked, faults, listener=None):
    """A comparison in which the network of some runs fails in step 3."""
    armed = listener or Armed(faults)
    original = model.pipe.transformer.forward
    with patched(model.pipe.transformer, forward=lambda *args, **kwargs: armed.strike(original(*args, **kwargs))):
        report = compare(asked, model, tmp_path, armed, noise_floor=False)
    assert armed.hits
    return report


CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
CUDNN = RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def test_runs_whose_memory_runs_out_fail_alone_and_give_all_of_it_back(model, tmp_path):
    names = ("0.5@2", "0.75@2", "0.5@1", "0.75@1", "0.5@3")
    asked = experiment(model, *names)
    for name in ("cold", "warm"):  # the allocator keeps some of what first runs have taken
        compare(asked, model, tmp_path / name, noise_floor=False)
    before = resident()
    faults = {"0.5@2": CUDA, "0.75@2": CUDNN, "0.5@1": CUBLAS, "0.75@1": "allocator"}
    report = struck(model, tmp_path / "struck", asked, faults)
    assert [run.status for run in report.runs] == ["done", *["failed"] * 4, "done"]
    for run in report.runs[1:5]:
        assert run.error.startswith("out of memory after step 2, at a peak of "), run.error
        assert "use a smaller size, fewer frames" in run.error
        assert run.similarity.psnr.mean is None
    assert report.runs[5].similarity.psnr.mean is not None
    for error in (CUDA, CUDNN, CUBLAS):
        error.__traceback__ = None
    assert resident() < 1.05 * before
    after = compare(experiment(model, "0.5@2"), model, tmp_path / "after", noise_floor=False)
    assert [run.status for run in after.runs] == ["done"] * 2
    assert resident() < 1.05 * before


def test_a_baseline_without_memory_leaves_the_others_their_figures_and_no_similarity(model, tmp_path):
    report = struck(model, tmp_path, experiment(model, "0.5@2"), {"baseline": "allocator"})
    baseline, run = report.runs
    assert baseline.error.startswith("out of memory after step 2")
    assert run.status == "done"
    assert run.latency.denoise_s > 0
    assert run.memory.peak_bytes is not None
    for name, metric in run.similarity.metrics().items():
        assert metric.mean is None, name
        assert "no baseline" in metric.reason
    assert run.speedup.measured is None
    assert run.heatmap is None
    assert load(tmp_path / "report.json") == report
    write_index(report, tmp_path)
    assert "there is no baseline" in (tmp_path / "index.html").read_text("utf-8")


def test_latents_that_are_not_finite_fail_at_their_step_keep_the_preview_before_and_give_no_video(model, tmp_path):
    asked = experiment(model, "0.5@2")
    store, job = Store(tmp_path / "resolute.db"), "A" * 16
    queue.insert(store, job, asked, visitor="", noise_floor=False, limits=Limits(), write=lambda: None)
    queue.claim(store)

    class Told(Armed, JobListener):
        """The job's own listener, which writes rows, with the fault."""

        def __init__(self):
            Armed.__init__(self, {"0.5@2": "not finite"})
            JobListener.__init__(self, store, job, asked, float("inf"), lambda number, run: None)

        def run_started(self, name, number, runs):
            Armed.run_started(self, name, number, runs)
            JobListener.run_started(self, name, number, runs)

        def step(self, name, event):
            Armed.step(self, name, event)
            self.rows.written = 0.0  # every step, however fast
            JobListener.step(self, name, event)
            self.last = store.read("SELECT preview FROM runs WHERE number = 1")[0][0]

        phase, run_ended = JobListener.phase, JobListener.run_ended

    told = Told()
    report = struck(model, tmp_path / "out", asked, {}, told)
    assert report.runs[1].status == "failed"
    assert "not finite at step 3" in report.runs[1].error
    row = store.read("SELECT * FROM runs WHERE number = 1")[0]
    assert (row["status"], row["step"], row["video"]) == ("failed", 2, None)
    assert row["preview"] == told.last
    assert row["preview"].startswith("data:image/webp;base64,")
    assert [path.name for path in (tmp_path / "out").glob("*.mp4")] == ["00-baseline.mp4"]
    store.close()
