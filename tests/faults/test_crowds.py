"""Faults 5, 7 and 25: too many submissions, cancels that race the end, and a day of opening and closing."""

from __future__ import annotations

import random
import time

import psutil
import pytest
from fastapi.testclient import TestClient

from engine.jobs.job_errors import QueueFull
from engine.jobs.service import Jobs
from engine.measuring.video import read_mp4
from engine.reports.report_file import load
from tests.faults.conftest import parts, resident
from tests.jobs.conftest import experiment, finished, trace, until
from ui.server.web_app import create_app


def test_past_a_full_queue_a_thousand_submissions_are_refused_while_memory_stays_and_the_page_answers(opened):
    jobs = opened(worker=False, waiting=20, waiting_visitor=20)
    with TestClient(create_app(jobs)) as client:
        submit = experiment(tracks=7)
        for _ in range(20):
            jobs.submit(submit)
        assert client.get("/").status_code == 200

        def refused(count: int) -> float:
            slowest = 0.0
            for _ in range(count):
                begun = time.monotonic()
                with pytest.raises(QueueFull, match="wait already"):
                    jobs.submit(submit)
                slowest = max(slowest, time.monotonic() - begun)
            return slowest

        refused(100)
        before = resident()
        assert refused(1000) < 2
        assert resident() < 1.02 * before
        assert client.get("/healthz").json()["status"] == "ok"
        assert client.get("/").status_code == 200
        assert jobs.library_count() == 20


def test_cancels_that_race_the_end_leave_one_state_on_which_rows_report_and_files_agree(jobs):
    chance, ids = random.Random(0), []
    for _ in range(12):
        job = jobs.submit(experiment(steps=4, step_s=0.02))
        moment = chance.uniform(0.05, 0.5)  # which of the two is first is what is tested
        until(lambda job=job: jobs.view(job).status != "queued")
        time.sleep(moment)
        jobs.cancel(job)
        ids.append(job)
    states = [finished(jobs, job).status for job in ids]
    for job, state in zip(ids, states, strict=True):
        view = jobs.view(job)
        assert view.status == state in ("done", "cancelled")
        done = {run.video for run in view.runs if run.status == "done"}
        assert {name for name in jobs.files(job) if name.endswith(".mp4")} == done
        for name in done:
            assert len(read_mp4(jobs.file(job, name))) == view.frames
        if done:
            reported = load(jobs.file(job, "report.json")).runs
            assert {run.video for run in reported if run.status == "done"} == done
    assert len(set(states)) == 2, states
    assert not parts(jobs.data.root)
    assert finished(jobs, jobs.submit(experiment())).status == "done"
    assert jobs.worker.status == "running"
    begun = [job for job, word, *_ in trace(jobs) if word == "begin"]
    assert len(begun) == len(set(begun))


@pytest.mark.slow
def test_fifty_submissions_and_cancels_leave_files_threads_and_memory_of_page_and_worker_as_they_were(jobs):
    def cycle(count: int) -> None:
        for number in range(count):
            job = jobs.submit(experiment(), visitor=str(number))
            jobs.cancel(job) if number % 2 else None
            assert finished(jobs, job).finished
            jobs.library()
            jobs.report(job)

    def held(process: psutil.Process) -> tuple[int, int, int]:
        return process.num_fds(), process.num_threads(), process.memory_info().rss

    cycle(10)
    page, worker = psutil.Process(), psutil.Process(jobs.worker.process)
    resident()
    before = held(page), held(worker)
    cycle(50)
    resident()
    after = held(page), held(worker)
    assert jobs.worker.process == worker.pid
    for was, now in zip(before, after, strict=True):
        assert now[0] <= was[0] + 1, (before, after)  # one read of the log or of a report may be on its way
        assert now[1] <= was[1] + 1, (before, after)
        assert now[2] < 1.05 * was[2], (before, after)


@pytest.mark.slow
def test_fifty_openings_of_the_data_and_fifty_visits_of_the_page_leave_everything_as_it_was(opened, tmp_path):
    process = psutil.Process()

    def held() -> tuple[int, int, int]:
        memory = resident()
        return process.num_fds(), process.num_threads(), memory

    def reopen(times: int) -> None:
        for _ in range(times):
            jobs = Jobs(tmp_path / "cycled", worker=False)
            jobs.submit(experiment()) if not jobs.library_count() else jobs.library()
            jobs.close()

    def visit(times: int) -> None:
        for _ in range(times):
            assert client.get("/").status_code == client.get("/config").status_code == 200

    with TestClient(create_app(opened(worker=False))) as client:
        for cycle in (reopen, visit):
            cycle(50)  # allocators keep what a first crowd of threads has taken
            before = held()
            cycle(50)
            after = held()
            assert after[0] <= before[0], (cycle.__name__, before, after)
            assert after[1] <= before[1], (cycle.__name__, before, after)
            assert after[2] < 1.02 * before[2], (cycle.__name__, before, after)
