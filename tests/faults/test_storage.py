"""Faults 12 and 13: a data directory that cannot be used, a database that another process holds or that is damaged."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.jobs.database import BUSY_S
from engine.jobs.job_errors import StorageError
from engine.jobs.supervisor import ROOT
from engine.measuring.video import read_mp4
from tests.jobs.conftest import experiment, finished
from ui.main import serve

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def held():
    """Lets another process hold a database's write lock; gives what releases it."""
    holders = []

    def hold(database):
        command = [sys.executable, "-c", HOLD, str(database)]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        holders.append(holder)
        assert holder.stdout.readline() == b"held\n"
        return lambda: holder.communicate(b"\n")

    yield hold
    for holder in holders:
        holder.kill()
        holder.wait()
        for pipe in (holder.stdin, holder.stdout):
            pipe.close()


def started(folder) -> subprocess.CompletedProcess[str]:
    """The real app's end, where it does not start."""
    command = [sys.executable, "app.py", "--data-dir", str(folder), "--port", "0"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_data_directory_that_cannot_be_used_ends_the_app_with_one_sentence_and_code_2(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    ended = started("/proc/nowhere/data")  # missing
    refusals = [(ended.returncode, ended.stderr)]
    for folder in (Path("/proc/self/fd"), tmp_path / "file"):  # read-only, no folder
        with pytest.raises(SystemExit) as stopped:
            serve(data_dir=folder)
        refusals.append((stopped.value.code, capsys.readouterr().err))
    for code, said in refusals:
        assert code == 2
        assert said.startswith("error: the data directory ")
        assert said.count("\n") == 1
        assert "give another with --data-dir" in said


def test_a_second_app_over_the_same_data_is_refused_with_the_first_ones_process(app, tmp_path):
    first = app()
    ended = started(tmp_path / "data")
    assert ended.returncode == 2
    errors = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert errors == [
        f"error: the data directory {tmp_path / 'data'} is in use by another Resolute "
        f"(process {first.process.pid}); stop it, or give another --data-dir."
    ]
    first.kill()
    assert app().get("healthz")  # the lock of a killed one is no obstacle


def test_a_database_that_another_process_holds_for_ten_seconds_is_waited_for_read_and_then_told(opened, held):
    jobs = opened(worker=False)
    job = jobs.submit(experiment())
    release = held(jobs.data.database)
    begun = time.monotonic()
    with pytest.raises(StorageError, match="the database is busy; try again in a moment"):
        jobs.submit(experiment())
    assert BUSY_S - 0.5 < time.monotonic() - begun < BUSY_S + 5
    begun = time.monotonic()
    assert [view.id for view in jobs.library()] == [jobs.view(job).id]  # reading waits for nobody
    assert time.monotonic() - begun < 1
    assert [path.name for path in jobs.data.jobs.iterdir()] == [job]
    release()
    assert jobs.view(jobs.submit(experiment())).position == 2


def test_a_worker_whose_database_is_held_goes_on_with_its_run(opened, held):
    jobs = opened()
    job = jobs.submit(experiment(steps=20, step_s=0.05))
    release = held(jobs.data.database)
    time.sleep(1)  # as long as it is held
    release()
    assert finished(jobs, job).status == "done"


def test_a_truncated_database_is_put_aside_told_and_the_results_stay_playable(opened):
    jobs = opened()
    job = jobs.submit(experiment())
    finished(jobs, job)
    jobs.close()
    path = jobs.data.database
    size = path.stat().st_size
    with path.open("rb+") as file:
        file.truncate(size // 2)
    again = opened()
    aside = [one for one in path.parent.glob("resolute.db.corrupt-*") if one.stat().st_size == size // 2]
    assert len(aside) == 1
    assert aside[0].name in " ".join(notice.text for notice in again.notices())
    view = again.view(job)
    assert (view.status, [run.status for run in view.runs]) == ("done", ["done", "done"])
    assert len(read_mp4(again.file(job, "01.mp4"))) == view.frames
    assert finished(again, again.submit(experiment())).status == "done"
