"""What can stop a job: its owner's flags, the clock, a device that failed."""

from __future__ import annotations

import re
import time

from engine.errors import Cancelled, Skipped
from engine.jobs import queue
from engine.jobs.database import Store
from engine.jobs.job_errors import DeviceLost, StorageError, TimeUp
from engine.jobs.logs import event as log_event
from engine.jobs.queue import Flags

GLANCE_EVERY_S = 0.05  # between two looks at the flags while decoding
FATAL = re.compile(r"CUDA error|device-side assert|illegal memory access|unspecified launch failure|AcceleratorError")


class StopSignals:
    """Those of one job. `deadline` is a moment of `time.monotonic`; `loading` while a model is loaded."""

    def __init__(self, store: Store, job_id: str, deadline: float) -> None:
        self.deadline = deadline
        self.loading = False
        self.lost: str | None = None  # why the device is lost
        self._store, self._job_id = store, job_id
        self._looked = 0.0

    def note(self, error: str) -> None:
        """The error of a run that failed: after some the device is of no more use."""
        if FATAL.search(error):
            self.lost = f"the device failed and must be started anew ({error[:200]})"

    def glance(self, number: int) -> None:
        """`check_run`, for loops that come by many times a second."""
        if time.monotonic() - self._looked >= GLANCE_EVERY_S:
            self.check_run(number)

    def check_run(self, number: int) -> None:
        """Raise what is demanded of a run: Skipped, or what is demanded of the whole job."""
        if number in self.check_job().skip:
            raise Skipped("skipped")

    def check_job(self) -> Flags:
        """Raise what is demanded of the whole job: DeviceLost, TimeUp, Cancelled."""
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
        """What the owner has asked for; nothing where the database does not answer."""
        try:
            return queue.flags(self._store, self._job_id)
        except StorageError as error:
            log_event("flags not read", job=self._job_id, error=str(error))
            return Flags(False, frozenset())
