"""Following a comparison for the database: progress at most four times a second, flags at every step."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from engine.costs.flops_formula import denoiser_flops
from engine.errors import Cancelled, Skipped
from engine.experiments.experiment import Experiment, Track
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.level_choice import blocks_of_level, calls_a_step
from engine.jobs import queue
from engine.jobs.database import Store
from engine.jobs.job_errors import DeviceLost, StorageError, TimeUp
from engine.jobs.logs import event as log_event
from engine.jobs.preview_uri import data_uri
from engine.jobs.queue import Flags, RunProgress
from engine.measuring.step_event import StepEvent
from engine.reports.schema import Run

WRITE_EVERY_S = 0.25
GLANCE_EVERY_S = 0.05  # between two looks at the flags while decoding
FATAL = re.compile(r"CUDA error|device-side assert|illegal memory access|unspecified launch failure|AcceleratorError")


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
        self.store, self.job_id, self.deadline = store, job_id, deadline
        self.numbers = {track.name: number for number, track in enumerate(queue.tracks_of(experiment))}
        self.shares = [_shares(experiment, number) for number in range(len(self.numbers))]
        self.on_run_ended = on_run_ended
        self.after_s = after_s  # what a run takes after its last step
        self.loading = False
        self.lost: str | None = None
        self.told = "starting"
        self._number = 0
        self._started = False  # the first run of two for the noise floor comes before
        self._begun = self._written = self._looked = 0.0

    @contextlib.contextmanager
    def loads(self, what: str) -> Iterator[Callable[[str], None]]:
        """While the block runs a cancel ends the process: loading cannot be interrupted otherwise.

        The block gets a function that tells how far it is.
        """
        self.check_job()
        self._job_phase(what)
        self.loading = True
        try:
            yield self._tell_loading
        finally:
            self.loading = False
        self.check_job()
        self._job_phase(None)

    def _tell_loading(self, phase: str) -> None:
        if phase != self.told and time.monotonic() - self._written >= WRITE_EVERY_S:
            self._written = time.monotonic()
            self._job_phase(phase)

    def run_started(self, name: str, number: int, runs: int) -> None:
        self._number, self._started, self._begun = number, True, 0.0
        self.check()
        log_event("run started", job=self.job_id, run=number, name=name)
        self._written, self.told = time.monotonic(), "starting"
        with self._unharmed():
            queue.start_run(self.store, self.job_id, number)

    def step(self, name: str, event: StepEvent) -> None:
        self._number = self.numbers[name]
        self.check()
        moment = time.monotonic()
        if event.step == 1 or not self._begun:
            self._begun = moment - (event.seconds or 0.0)
        if event.step in (1, event.steps) or moment - self._written >= WRITE_EVERY_S:
            self._write(self._progress(event, moment))

    def phase(self, name: str, phase: str) -> None:
        self._number = self.numbers[name]
        self.check()
        if phase == self.told and time.monotonic() - self._written < WRITE_EVERY_S:
            return
        self._write(RunProgress(phase, seconds_left=self.after_s or None if phase == "decoding" else None))

    def run_ended(self, run: Run) -> None:
        number = self.numbers[run.name]
        if run.error and FATAL.search(run.error):
            self.lost = f"the device failed and must be started anew ({run.error[:200]})"
        with self._unharmed():  # the report has it, and the job's last row is made to agree with that
            queue.end_run(self.store, self.job_id, number, run)
        log_event("run ended", job=self.job_id, run=number, status=run.status, error=run.error, reused=run.reused)
        if run.status == "done":
            with self._unharmed():
                self.on_run_ended(number, run)

    def glance(self) -> None:
        """`check`, for loops that come by many times a second."""
        if time.monotonic() - self._looked >= GLANCE_EVERY_S:
            self.check()

    def check(self) -> None:
        """Raise what the owner, the clock or the device demands of the present run."""
        if self._number in self.check_job().skip:
            raise Skipped("skipped")

    def check_job(self) -> Flags:
        """Raise what the owner, the clock or the device demands of the whole job."""
        self._looked = time.monotonic()
        if self.lost:
            raise DeviceLost(self.lost)
        if self._looked > self.deadline:
            raise TimeUp("the time is up")
        flags = self.flags()
        if flags.cancel:
            raise Cancelled("cancelled")
        return flags

    def flags(self) -> Flags:
        """What has been asked for; nothing where the database does not answer."""
        try:
            return queue.flags(self.store, self.job_id)
        except StorageError as error:
            log_event("flags not read", job=self.job_id, error=str(error))
            return Flags(False, frozenset())

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

    def _write(self, at: RunProgress) -> None:
        self._written, self.told = time.monotonic(), at.phase
        with self._unharmed():
            queue.progress(self.store, self.job_id, self._number, at)

    def _job_phase(self, phase: str | None) -> None:
        self.told = phase or self.told
        with self._unharmed():
            queue.job_phase(self.store, self.job_id, phase)

    @contextlib.contextmanager
    def _unharmed(self) -> Iterator[None]:
        """Progress that cannot be written is lost; the run goes on."""
        try:
            yield
        except StorageError as error:
            log_event("progress not written", job=self.job_id, error=str(error))


def _shares(experiment: Experiment, number: int) -> Sequence[float]:
    """What share of a run's denoising is done after each step, going by FLOPs."""
    track = queue.tracks_of(experiment)[number]
    if track.levels and experiment.spec.levels:
        return _level_shares(track, experiment.spec.levels)
    schedule = track.schedule
    sizes = experiment.sizes(schedule)
    transformer, text = experiment.spec.transformer, experiment.spec.defaults.max_sequence_length
    flops = [
        denoiser_flops(transformer, size, text)
        for stage, size in zip(schedule.stages, sizes, strict=True)
        for _ in range(stage.steps)
    ]
    total = sum(flops)
    return [done / total for done in itertools.accumulate(flops)]


def _level_shares(track: Track, config: HpdmConfig) -> Sequence[float]:
    """The same of a model that runs level by level: tiles times the blocks that each passes through."""
    calls = calls_a_step(config, track.levels.overlap if track.levels else "spatial")
    work = [calls[s.index] * blocks_of_level(config, s.index) for s in track.stages for _ in range(s.steps)]
    return [done / sum(work) for done in itertools.accumulate(work)]


class Watchdog:
    """A thread beside a job that ends the process where nothing else can stop it.

    A model that loads, a kernel that hangs and a program that waits hear no flag. `end` is called when a cancel has
    waited for `grace_s` (at once while a model loads) or the time has been up for that long; it must not return.
    """

    EVERY_S = 0.1

    def __init__(self, listener: JobListener, end: Ending, grace_s: float) -> None:
        self._listener, self._end, self._grace_s = listener, end, grace_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        asked: float | None = None
        while not self._done.wait(self.EVERY_S):
            moment = time.monotonic()
            late = moment > self._listener.deadline
            if not late and not self._listener.flags().cancel:
                continue
            asked = moment if asked is None else asked
            if not self._done.is_set() and (self._listener.loading or moment - asked >= self._grace_s):
                self._end(late)


class Ending(Protocol):
    """Ends this process; `late`: because the time was up, not because of a cancel."""

    def __call__(self, late: bool) -> None: ...
