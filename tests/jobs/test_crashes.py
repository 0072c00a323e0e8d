"""Processes that are killed: nothing accepted is lost, nothing runs twice, what was finished stays."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from engine.jobs import recovery
from engine.jobs.data_dir import FileLock
from engine.jobs.service import Jobs
from engine.jobs.supervisor import ROOT
from engine.measuring.video import read_mp4
from tests.jobs.conftest import FAKE, alive, at_step, experiment, finished, trace, until


def parts(jobs: Jobs) -> list[str]:
    return [str(path) for path in jobs.data.root.rglob("*.part")]


@pytest.fixture
def owner(tmp_path):
    """Starts instances as processes of their own; all are gone at the end."""
    started = []

    def start(*submissions: dict, folder=None) -> tuple[subprocess.Popen, list[str]]:
        command = [sys.executable, "-m", "tests.jobs.owner", str(folder or tmp_path / "data"), json.dumps(submissions)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        line = process.stdout.readline()
        return process, json.loads(line)["jobs"] if line else []

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_killed_worker_is_replaced_and_its_job_interrupted_never_rerun(jobs):
    job, waiting = jobs.submit(experiment(steps=10, step_s=0.1)), jobs.submit(experiment())
    at_step(jobs, job, 1)
    killed = jobs.worker.process
    os.kill(killed, signal.SIGKILL)
    view = finished(jobs, job)
    assert view.status == "interrupted"
    assert [run.status for run in view.runs] == ["done", "interrupted"]
    assert "killed (signal 9" in view.error
    assert len(read_mp4(jobs.file(job, "00.mp4"))) == view.frames
    assert finished(jobs, waiting).status == "done"
    assert jobs.worker.process != killed
    assert "was started again" in jobs.notices()[0].text
    assert [words[0] for words in trace(jobs) if words[1] == "begin"] == [job, waiting]


def test_retry_after_a_crash_reuses_what_was_finished(jobs):
    job = jobs.submit(experiment(steps=10, step_s=0.1))
    at_step(jobs, job, 1)
    before = jobs.file(job, "00.mp4").stat().st_mtime_ns
    os.kill(jobs.worker.process, signal.SIGKILL)
    finished(jobs, job)
    jobs.retry(job)
    assert finished(jobs, job).status == "done"
    assert [what for _, word, what in trace(jobs) if word == "run"] == ["0", "1", "1"]
    assert jobs.file(job, "00.mp4").stat().st_mtime_ns == before


@pytest.mark.parametrize("die", ["kill", "70"])
def test_a_job_that_kills_its_process_runs_once_and_the_queue_goes_on(jobs, die):
    poison = [jobs.submit(experiment(die=die, at=[0, 2])) for _ in range(2)]
    clean = jobs.submit(experiment())
    assert finished(jobs, clean).status == "done"
    assert [jobs.view(job).status for job in poison] == ["interrupted"] * 2
    assert [words[0] for words in trace(jobs) if words[1] == "begin"] == [*poison, clean]


def test_a_worker_that_dies_again_and_again_is_left_off_until_someone_says_so(opened):
    jobs = opened(runner="tests.jobs.fakes:DiesAtImport")
    job = jobs.submit(experiment())
    until(lambda: jobs.worker.status == "stopped")
    assert "died too often" in jobs.worker.sentence
    texts = [notice.text for notice in jobs.notices()]
    assert "it is not started again" in texts[0]
    assert len(texts) == 5
    assert jobs.view(job).status == "queued"
    jobs._supervisor._runner = FAKE
    jobs.restart_worker()
    assert finished(jobs, job).status == "done"


def test_deaths_between_which_jobs_are_done_do_not_add_up(jobs):
    for _ in range(6):
        worker = jobs.worker.process
        assert finished(jobs, jobs.submit(experiment())).status == "done"
        os.kill(jobs.worker.process, signal.SIGKILL)
        until(lambda worker=worker: jobs.worker.process not in (worker, None))
    assert jobs.worker.status == "running"
    assert not [notice for notice in jobs.notices() if "not started again" in notice.text]


def test_closing_interrupts_what_runs_and_leaves_no_process(opened):
    jobs = opened()
    job = jobs.submit(experiment(steps=50, step_s=0.1))
    at_step(jobs, job, 0)
    worker = jobs.worker.process
    jobs.close()
    assert not alive(worker)
    assert not [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]
    again = opened()
    assert again.view(job).status == "interrupted"
    assert "was stopped" in again.view(job).error


def test_a_killed_instance_takes_its_worker_along_and_the_next_start_settles_all(opened, owner, tmp_path):
    process, (job, waiting) = owner({"steps": 10, "step_s": 0.1}, {})
    folder = tmp_path / "data"
    until(lambda: step_of(folder, job, 1) >= 1)
    worker = FileLock(folder / "worker.lock").holder()
    process.kill()
    until(lambda: not alive(worker))
    jobs = opened(folder)
    view = jobs.view(job)
    assert view.status == "interrupted"
    assert [run.status for run in view.runs] == ["done", "interrupted"]
    assert finished(jobs, waiting).status == "done"
    assert [words[0] for words in trace(jobs) if words[1] == "begin"] == [job, waiting]
    assert not parts(jobs)


def step_of(folder: Path, job: str, number: int) -> int:
    """A look into the database of another instance."""
    with closing(sqlite3.connect(folder / "resolute.db")) as db:
        sql = "SELECT step FROM runs WHERE job_id = ? AND number = ?"
        return db.execute(sql, (job, number)).fetchone()[0]


def test_a_second_instance_is_refused_in_one_sentence_with_code_2(owner):
    first, _ = owner()
    second, _ = owner()
    assert second.wait(60) == 2
    said = second.stderr.read().decode()
    errors = [line for line in said.splitlines() if not line.startswith("{")]
    assert len(errors) == 1
    assert f"in use by another Resolute (process {first.pid})" in errors[0]


def test_the_lock_of_a_killed_instance_is_no_obstacle(owner, opened, tmp_path):
    first, _ = owner()
    first.kill()
    first.wait()
    assert (tmp_path / "data" / "lock").read_text() == str(first.pid)
    jobs = opened()
    assert finished(jobs, jobs.submit(experiment())).status == "done"


def test_files_and_rows_agree_after_a_death_between_rename_and_row(jobs):
    """The report is the last file of a run; the row comes after it."""
    job = jobs.submit(experiment(tracks=1))
    finished(jobs, job)
    folder = jobs.data.job(job)
    with jobs._store.transaction() as db:  # as if the process had died before it wrote its last rows
        db.execute("UPDATE jobs SET status = 'running', ended = NULL WHERE id = ?", (job,))
        db.execute("UPDATE runs SET status = 'running', video = NULL WHERE job_id = ? AND number = 1", (job,))
    (folder / "02.mp4").write_bytes(b"a video that no report owns")
    (folder / "02.mp4.part").write_bytes(b"half")
    (folder / "index.html").unlink()
    recovery.settle_running(jobs._store, jobs.data, "it died")
    view = jobs.view(job)
    assert view.status == "done"
    assert [(run.status, run.video) for run in view.runs] == [("done", "00.mp4"), ("done", "01.mp4")]
    assert set(jobs.files(job)) == {
        "00.mp4", "00.png", "01.mp4", "01.png", "index.html", "job.json", "report.json"
    }  # fmt: skip


def test_a_report_that_cannot_be_read_costs_no_video(jobs):
    job = jobs.submit(experiment())
    finished(jobs, job)
    report = jobs.file(job, "report.json")
    report.write_text(report.read_text().replace('"version": 1', '"version": 2'))
    files = jobs.files(job)
    with jobs._store.transaction() as db:
        db.execute("UPDATE jobs SET status = 'running' WHERE id = ?", (job,))
    recovery.settle_running(jobs._store, jobs.data, "it died")
    assert jobs.files(job) == files
    assert [run.status for run in jobs.view(job).runs] == ["done", "done"]


def test_a_run_whose_files_are_gone_is_no_longer_done(opened):
    jobs = opened()
    job = jobs.submit(experiment())
    finished(jobs, job)
    jobs.close()
    (jobs.data.job(job) / "01.mp4").unlink()
    again = opened()
    assert [(run.status, run.error) for run in again.view(job).runs] == [
        ("done", None),
        ("failed", "its files are missing"),
    ]
    again.retry(job)
    assert [run.status for run in finished(again, job).runs] == ["done", "done"]


@pytest.mark.deep
def test_killed_at_random_moments_every_finished_run_stays_playable(opened, owner):
    chance = random.Random(0)
    kills = int(os.environ.get("RESOLUTE_KILLS", "4"))
    finished_before: set[tuple[str, str]] = set()
    accepted: list[str] = []
    for _ in range(kills):
        process, ids = owner({"steps": 6, "step_s": 0.03, "tracks": 2}, {"steps": 6, "step_s": 0.03})
        accepted += ids
        time.sleep(chance.uniform(0.3, 3.0))  # the moment is what is tested
        process.kill()
        process.wait()
    jobs = opened()
    for job in accepted:
        view = finished(jobs, job)
        for run in view.runs:
            assert (run.status == "done") == bool(run.video)
            if run.video:
                assert len(read_mp4(jobs.file(job, run.video))) == view.frames
                finished_before.add((job, run.video))
    begun = [words[0] for words in trace(jobs) if words[1] == "begin"]
    assert len(begun) == len(set(begun))
    assert finished_before
    assert not parts(jobs)
