"""The worker: a process that owns the device, takes one job at a time, and lives no longer than its parent.

    python -m engine.jobs.worker --data-dir DIR [--runner MODULE:FACTORY]

Whatever happens to it, the database says what was running, and whoever starts the next worker settles that.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from engine.comparing.baseline_store import Baselines
from engine.costs.timings import by_area, workload_of
from engine.errors import Cancelled, ResoluteError
from engine.experiments.documents import parse_experiment
from engine.experiments.experiment import Experiment
from engine.jobs import job_folders, logs, queue, quota
from engine.jobs.data_dir import DataDir
from engine.jobs.database import Store
from engine.jobs.job_errors import DeviceLost, StorageError, TimeUp
from engine.jobs.job_listener import JobListener
from engine.jobs.limits import Limits
from engine.jobs.queue import Claimed, End
from engine.jobs.supervisor import EXIT_AGAIN, EXIT_DEVICE, RUNNER
from engine.jobs.timing_book import known
from engine.jobs.watchdog import Watchdog
from engine.models.catalogue import ModelSpec, catalogue_model
from engine.reports.schema import Report, Run
from engine.wording import first_line

GRACE_S = 20.0  # for a cancel to be heard before the process is ended
IDLE_S = 1.0  # between two looks into the queue where nobody wakes the worker
LOCK_S = 30.0  # for a worker before this one to end


@dataclass(frozen=True)
class Task:
    """A comparison to run: into `folder`, told to `listener`; `earlier` is what an interrupted try has finished."""

    experiment: Experiment
    folder: Path
    listener: JobListener
    noise_floor: bool
    baselines: Baselines
    earlier: Report | None


class TaskRunner(Protocol):
    """What runs comparisons; one at a time, in the worker's main thread."""

    def load(self, spec: ModelSpec, tell: Callable[[str], None]) -> None:
        """Have the model ready; the one before is given up first. `tell` gets what is under way, in a few words."""

    def run(self, task: Task) -> Report:
        """Run a comparison with the model that was loaded last."""

    def record(self, store: Store, experiment: Experiment, run: Run) -> None:
        """Learn from a finished run what later ones will take."""


class Worker:
    """Takes jobs until the process ends."""

    def __init__(self, data: DataDir, store: Store, runner: TaskRunner, limits: Limits) -> None:
        self.data, self.store, self.runner, self.limits = data, store, runner, limits

    def work(self, wait: Callable[[float], None]) -> None:
        """Take and run jobs; `wait` returns when there may be one, or after so many seconds."""
        while True:
            try:
                claimed = queue.claim(self.store)
            except StorageError as error:
                logs.event("queue not read", error=str(error))
                claimed = None
            if claimed is None:
                wait(IDLE_S)
            else:
                self.run(claimed)

    def run(self, claimed: Claimed) -> None:
        """Run one job to its terminal state."""
        logs.event("job started", job=claimed.id)
        status, error, lost = self._run(claimed)
        folder = self.data.job(claimed.id)
        job_folders.tidy(folder)
        rows = self.store.read("SELECT name FROM runs WHERE job_id = ? ORDER BY number", claimed.id)
        done = job_folders.finished_runs(folder, [name for (name,) in rows])
        _until_stored(lambda: queue.end_job(self.store, claimed.id, status, error, job_folders.size_of(folder), done))
        logs.event("job ended", job=claimed.id, status=status, error=error)
        _until_stored(lambda: quota.prune(self.store, self.data, self.limits))
        if lost:
            raise SystemExit(EXIT_DEVICE)

    def _run(self, claimed: Claimed) -> tuple[End, str | None, bool]:
        """Status, error, and whether the device is lost."""
        minutes = self.limits.minutes
        late = f"it took longer than {minutes:g} minutes, the most that a job may take here"
        try:
            report = self._compare(claimed, time.monotonic() + 60 * minutes, late)
        except TimeUp:
            return "failed", late, False
        except DeviceLost as error:
            return "failed", str(error), True
        except Cancelled:
            return "cancelled", None, False
        except ResoluteError as error:
            return "failed", str(error), False
        except Exception as error:
            logs.log.exception("job failed", extra={"fields": {"job": claimed.id}})
            return "failed", f"{type(error).__name__}: {first_line(error, 300, otherwise='')}", False
        return (*_outcome(report), False)

    def _compare(self, claimed: Claimed, deadline: float, too_late: str) -> Report:
        experiment = parse_experiment(claimed.document, "the job", catalogue_model)
        listener = JobListener(
            self.store,
            claimed.id,
            experiment,
            deadline,
            lambda number, run: self.runner.record(self.store, experiment, run),
            self._after_s(experiment),
        )

        def end(late: bool) -> None:
            if late:
                queue.end_job(self.store, claimed.id, "failed", too_late, 0)
            logs.event("worker ends itself", job=claimed.id, why=too_late if late else "a cancel was not heard")
            end_now(EXIT_AGAIN)

        with Watchdog(listener.signals, end, GRACE_S):
            with listener.loads("loading the model") as tell:
                self.runner.load(experiment.spec, tell)
            folder = self.data.job(claimed.id)
            baselines = Baselines(self.data.baselines, self.limits.baseline_bytes)
            earlier = job_folders.report_of(folder)
            report = self.runner.run(Task(experiment, folder, listener, claimed.noise_floor, baselines, earlier))
            if any(run.status == "cancelled" for run in report.runs) or listener.signals.lost:
                listener.signals.check_job()
            return report

    def _after_s(self, experiment: Experiment) -> float:
        """Seconds that decoding and writing will take, as far as they have been measured."""
        given = experiment.conditions.roles
        timings = known(self.store, workload_of(experiment.spec, experiment.frames, experiment.guidance, given))
        if timings is None:
            return 0.0
        size = experiment.height, experiment.width
        return sum(by_area(values, size)[0] or 0.0 for values in (timings.decode, timings.encode))


def _until_stored(change: Callable[[], object]) -> None:
    """A change that must not be lost: a full disk is waited for, as nothing else could run on it."""
    while True:
        try:
            change()
            return
        except StorageError as error:
            logs.event("not stored", error=str(error))
            time.sleep(IDLE_S)


def _outcome(report: Report) -> tuple[End, str | None]:
    """A job is done when one of its runs is; what failed is told with its run."""
    if any(run.status == "done" for run in report.runs):
        return "done", None
    errors = [run.error for run in report.runs if run.status == "failed" and run.error]
    return ("failed", f"no run was finished: {errors[0]}") if errors else ("cancelled", None)


class Parent:
    """The process that started this one, at the other end of standard input: a byte wakes, the end of it ends us."""

    def __init__(self) -> None:
        self._woken = threading.Event()
        threading.Thread(target=self._listen, name="parent", daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Until the parent wakes us, or so many seconds."""
        self._woken.wait(seconds)
        self._woken.clear()

    def _listen(self) -> None:
        while os.read(0, 4096):
            self._woken.set()
        end_now(0)


def end_now(code: int) -> None:
    """End this process and what it started (ffmpeg), at once; what was running is settled by whoever comes next."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    sys.stderr.flush()
    os._exit(code)


def runner_named(entry: str) -> TaskRunner:
    """The runner of an entry `module:factory`."""
    module, _, factory = entry.partition(":")
    runner: TaskRunner = getattr(importlib.import_module(module), factory)()
    return runner


def main() -> None:
    """Run the worker until its parent ends it."""
    parser = argparse.ArgumentParser(prog="engine.jobs.worker")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--runner", default=RUNNER)
    arguments = parser.parse_args()
    faulthandler.enable()
    logs.to_stderr()
    data = DataDir(arguments.data_dir)
    lock = data.worker_lock()
    given_up = time.monotonic() + LOCK_S
    while not lock.take():
        if time.monotonic() > given_up:
            raise SystemExit(f"another worker (process {lock.holder()}) holds the device")
        time.sleep(0.05)
    parent = Parent()
    runner = runner_named(arguments.runner)
    logs.event("worker started", process=os.getpid())
    Worker(data, Store(data.database), runner, Limits.from_environment()).work(parent.wait)


if __name__ == "__main__":
    main()
