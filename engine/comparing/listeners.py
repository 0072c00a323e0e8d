"""Who follows a comparison while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.costs.timings import HW, Probe
from engine.measuring.step_event import StepEvent
from engine.reports.schema import Run


class Listener(Protocol):
    """Whoever follows a comparison. To cancel, raise `Cancelled` from any method but `run_ended`; to leave the present
    run out and go on with the others, `Skipped`."""

    def run_started(self, name: str, number: int, runs: int) -> None: ...
    def step(self, name: str, event: StepEvent) -> None: ...
    def phase(self, name: str, phase: str) -> None: ...
    def run_ended(self, run: Run) -> None: ...


class Learner(Protocol):
    """Whoever keeps what has been timed, for predictions."""

    def has(self, size: HW) -> bool:
        """Whether a step at a latent size (height, width) has been timed."""

    def probed(self, probes: Sequence[Probe]) -> None:
        """New timings, of steps that belong to no run."""


class Silent:
    """A listener that does not listen."""

    def run_started(self, name: str, number: int, runs: int) -> None: ...
    def step(self, name: str, event: StepEvent) -> None: ...
    def phase(self, name: str, phase: str) -> None: ...
    def run_ended(self, run: Run) -> None: ...
