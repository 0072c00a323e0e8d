"""Following a comparison for the database: progress at most four times a second, flags at every step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from engine.experiments.experiment import Experiment
from engine.jobs import queue
from engine.jobs.database import Store
from engine.jobs.logs import event as log_event
from engine.jobs.preview_uri import data_uri
from engine.jobs.progress_rows import ProgressRows
from engine.jobs.queue import RunProgress
from engine.jobs.stop_signals import StopSignals
from engine.jobs.work_shares import work_shares
from engine.measuring.step_event import StepEvent
from engine.reports.schema import Run


class OnRunEnded(Protocol):
    """Called with number and run after a run's row has been written."""

    def __call__(self, number: int, run: Run) -> None: ...


class JobListener:
    """The listener of one job's comparison. Its methods raise Skipped, Cancelled, TimeUp or DeviceLost."""

    def __init__(
        self,
        store: Store,
        job_id: str,
        experiment: Experiment,
        deadline: float,
        on_run_ended: OnRunEnded,
        after_s: float = 0.0,
    ) -> None:
        tracks = queue.tracks_of(experiment)
        self.store, self.job_id = store, job_id
        self.signals, self.rows = StopSignals(store, job_id, deadline), ProgressRows(store, job_id)
        self.numbers = {track.name: number for number, track in enumerate(tracks)}
        self.shares = [work_shares(experiment, track) for track in tracks]
        self.on_run_ended = on_run_ended
        self.after_s = after_s  # what a run takes after its last step
        self._number = 0
        self._started = False  # the first run of two for the noise floor comes before
        self._begun = 0.0

    @contextlib.contextmanager
    def loads(self, what: str) -> Iterator[Callable[[str], None]]:
        """While the block runs a cancel ends the process: loading cannot be interrupted otherwise.

        The block gets a function that tells how far it is.
        """
        self.signals.check_job()
        self.rows.job(what)
        self.signals.loading = True
        try:
            yield self._tell_loading
        finally:
            self.signals.loading = False
        self.signals.check_job()
        self.rows.job(None)

    def _tell_loading(self, phase: str) -> None:
        if phase != self.rows.phase and self.rows.due:
            self.rows.written = time.monotonic()
            self.rows.job(phase)

    def run_started(self, name: str, number: int, runs: int) -> None:
        self._number, self._started, self._begun = number, True, 0.0
        self.check()
        log_event("run started", job=self.job_id, run=number, name=name)
        self.rows.start(number)

    def step(self, name: str, event: StepEvent) -> None:
        self._number = self.numbers[name]
        self.check()
        moment = time.monotonic()
        if event.step == 1 or not self._begun:
            self._begun = moment - (event.seconds or 0.0)
        if event.step in (1, event.steps) or self.rows.due:
            self.rows.progress(self._number, self._progress(event, moment))

    def phase(self, name: str, phase: str) -> None:
        self._number = self.numbers[name]
        self.check()
        if phase != self.rows.phase or self.rows.due:
            left = self.after_s or None if phase == "decoding" else None
            self.rows.progress(self._number, RunProgress(phase, seconds_left=left))

    def run_ended(self, run: Run) -> None:
        number = self.numbers[run.name]
        self.signals.note(run.error or "")
        self.rows.end(number, run)
        log_event("run ended", job=self.job_id, run=number, status=run.status, error=run.error, reused=run.reused)
        if run.status == "done":
            with self.rows.unharmed():
                self.on_run_ended(number, run)

    def glance(self) -> None:
        """`check`, for loops that come by many times a second."""
        self.signals.glance(self._number)

    def check(self) -> None:
        """Raise what the owner, the clock or the device demands of the present run."""
        self.signals.check_run(self._number)

    def _progress(self, event: StepEvent, moment: float) -> RunProgress:
        share = self.shares[self._number][event.step - 1]
        left = (moment - self._begun) * (1 - share) / share + self.after_s
        phase = "denoising" if self._started else "warming up"
        return RunProgress(phase, event.step, event.stage + 1, event.rate, left, self._preview(event))

    def _preview(self, event: StepEvent) -> str | None:
        try:
            return data_uri(event.preview())
        except Exception as error:  # a preview is never worth a run
            log_event("no preview", job=self.job_id, error=repr(error)[:200])
            return None
