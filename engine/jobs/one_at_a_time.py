"""A gate for files from strangers: one is taken in at a time, a few wait, all others are told to come back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from engine.jobs.job_errors import NotNow

WAITING = 2  # that may wait: each holds a thread of the page
WAIT_S = 5.0
BUSY = "another file is being taken in; try again in a moment."


class OneAtATime:
    """Lets one caller in at a time. Threads may share it."""

    def __init__(self, waiting: int = WAITING, seconds: float = WAIT_S) -> None:
        self._seconds = seconds
        self._places = threading.BoundedSemaphore(waiting + 1)
        self._turn = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While the block runs no other does. Raises NotNow where too many wait, or the wait is too long."""
        if not self._places.acquire(blocking=False):
            raise NotNow(BUSY)
        try:
            if not self._turn.acquire(timeout=self._seconds):
                raise NotNow(BUSY)
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._places.release()
