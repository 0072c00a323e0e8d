"""Fault 11: the disk fills up, injected for one file, and for real where a small file system may be mounted."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from engine.comparing.comparison import Silent, compare
from engine.jobs import job_folders, recovery
from engine.jobs.job_errors import StorageError
from engine.measuring.video import read_mp4
from engine.models.loading import load_model
from engine.reports.report_file import load
from tests.comparing.test_comparison import experiment
from tests.faults.conftest import mountable, parts
from tests.jobs.conftest import at_step, finished, until
from tests.jobs.conftest import experiment as faked
from tests.tiny import saved_tiny_wan

REAL = ["a small tmpfs"] if mountable() else []


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")), device="cpu")


class Injected:
    """A disk that has no room for any file of the run `01`."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch

    def fill(self) -> None:
        real = os.fsync

        def fsync(descriptor):
            if "/01" in os.readlink(f"/proc/self/fd/{descriptor}"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        self.monkeypatch.setattr(os, "fsync", fsync)

    def empty(self) -> None:
        self.monkeypatch.undo()


class Mounted:
    """A real file system of 16 MB, filled to its last bytes but some for a report."""

    LEFT = 16 * 1024

    def __init__(self, folder: Path, megabytes: int = 16) -> None:
        self.folder, self.ballast = folder, folder / "ballast"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)

    def fill(self, left: int = LEFT) -> None:
        with self.ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        os.truncate(self.ballast, self.ballast.stat().st_size - left)

    def empty(self) -> None:
        self.ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", self.folder], check=True)


@pytest.fixture
def mounted(tmp_path):
    disk = Mounted(tmp_path / "disk")
    yield disk
    disk.unmount()


@pytest.fixture
def disk(request, tmp_path, monkeypatch):
    if request.param == "injected":
        (tmp_path / "disk").mkdir()
        return Injected(tmp_path / "disk", monkeypatch)
    return request.getfixturevalue("mounted")


@pytest.mark.parametrize("disk", ["injected", *REAL], indirect=True)
def test_a_disk_that_fills_up_while_a_video_is_written_fails_that_run_alone(disk, model):
    class Filling(Silent):
        def run_started(self, name, number, runs):
            disk.fill() if number == 1 else disk.empty()

    asked = experiment(model, "0.5@2", "0.75@2", height=128, width=128)
    report = compare(asked, model, disk.folder, Filling(), noise_floor=False, numbered=True)
    assert [run.status for run in report.runs] == ["done", "failed", "done"]
    assert "the disk is full" in report.runs[1].error
    assert report.runs[1].video is None
    assert load(disk.folder / "report.json") == report
    assert not parts(disk.folder)
    assert not list(disk.folder.glob("01.*"))
    for run in (report.runs[0], report.runs[2]):
        assert len(read_mp4(disk.folder / run.video)) == 5


def test_a_worker_that_dies_on_a_full_disk_is_settled_once_there_is_room(opened, monkeypatch):
    jobs = opened()
    job = jobs.submit(faked(steps=12, step_s=0.1))
    at_step(jobs, job, 1)
    tries, room = [], threading.Event()
    settle = recovery.settle_running

    def settled(store, data, why):
        tries.append(why)
        if not room.is_set():
            raise StorageError("the disk is full; delete results or make room.")
        return settle(store, data, why)

    monkeypatch.setattr(recovery, "settle_running", settled)
    os.kill(jobs.worker.process, signal.SIGKILL)
    until(lambda: len(tries) > 1)
    assert jobs.view(job).status == "running"
    assert jobs.worker.process is None
    room.set()
    assert finished(jobs, job).status == "interrupted"
    assert finished(jobs, jobs.submit(faked())).status == "done"


if REAL:  # a system that lets nobody mount has the injected faults above

    def test_an_instance_on_a_really_full_disk_refuses_fails_and_goes_on_once_there_is_room(opened, mounted, caplog):
        caplog.set_level(logging.INFO)
        jobs = opened(mounted.folder / "data")
        job, waiting = jobs.submit(faked(steps=20, step_s=0.1)), jobs.submit(faked())
        at_step(jobs, job, 1)
        mounted.fill(0)
        with pytest.raises(StorageError, match="the disk is full"):
            jobs.submit(faked())
        assert job_folders.ids_in(jobs.data.jobs) == {job, waiting}
        until(lambda: jobs.view(job).finished or any("not stored" in str(vars(one)) for one in caplog.records))
        mounted.empty()
        view = finished(jobs, job)
        assert (view.status, view.runs[0].status, view.runs[1].status) == ("failed", "done", "failed")
        assert "the disk is full" in view.error
        assert len(read_mp4(jobs.file(job, "00.mp4"))) == view.frames
        assert "01.mp4" not in jobs.files(job)
        assert not parts(jobs.data.job(job))  # the waiting one has begun by now
        assert finished(jobs, waiting).status == "done"
        jobs.retry(job)
        assert finished(jobs, job).status == "done"
