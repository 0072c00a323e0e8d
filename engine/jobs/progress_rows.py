"""Where a job is, written for the page: at most four times a second, and never worth a run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from engine.jobs import queue
from engine.jobs.database import Store
from engine.jobs.job_errors import StorageError
from engine.jobs.logs import event as log_event
from engine.jobs.queue import RunProgress
from engine.reports.schema import Run

WRITE_EVERY_S = 0.25


class ProgressRows:
    """The rows of one job. What cannot be written is lost; the run goes on."""

    def __init__(self, store: Store, job_id: str) -> None:
        self.phase = "starting"  # the last that was written
        self.written = 0.0
        self._store, self._job_id = store, job_id

    @property
    def due(self) -> bool:
        """Whether the last writing is long enough ago."""
        return time.monotonic() - self.written >= WRITE_EVERY_S

    def job(self, phase: str | None) -> None:
        """What the whole job is at; None while its runs run."""
        self.phase = phase or self.phase
        with self.unharmed():
            queue.job_phase(self._store, self._job_id, phase)

    def start(self, number: int) -> None:
        """A run starts."""
        self.written, self.phase = time.monotonic(), "starting"
        with self.unharmed():
            queue.start_run(self._store, self._job_id, number)

    def progress(self, number: int, at: RunProgress) -> None:
        """Where a run is."""
        self.written, self.phase = time.monotonic(), at.phase
        with self.unharmed():
            queue.progress(self._store, self._job_id, number, at)

    def end(self, number: int, run: Run) -> None:
        """A run has ended; where this is lost, the report has it, and the job's last row is made to agree with that."""
        with self.unharmed():
            queue.end_run(self._store, self._job_id, number, run)

    @contextlib.contextmanager
    def unharmed(self) -> Iterator[None]:
        """What the database does not take in the block is lost."""
        try:
            yield
        except StorageError as error:
            log_event("progress not written", job=self._job_id, error=str(error))
