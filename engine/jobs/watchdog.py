"""Ending the process where nothing else can stop a job."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from engine.jobs.stop_signals import StopSignals


class Ending(Protocol):
    """Ends this process; `late`: because the time was up, not because of a cancel."""

    def __call__(self, late: bool) -> None: ...


class Watchdog:
    """A thread beside a job that ends the process where nothing else can stop it.

    A model that loads, a kernel that hangs and a program that waits hear no flag. `end` is called when a cancel has
    waited for `grace_s` (at once while a model loads) or the time has been up for that long; it must not return.
    """

    EVERY_S = 0.1

    def __init__(self, signals: StopSignals, end: Ending, grace_s: float) -> None:
        self._signals, self._end, self._grace_s = signals, end, grace_s
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
            late = moment > self._signals.deadline
            if not late and not self._signals.flags().cancel:
                continue
            asked = moment if asked is None else asked
            if not self._done.is_set() and (self._signals.loading or moment - asked >= self._grace_s):
                self._end(late)
