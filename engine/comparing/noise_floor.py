"""The noise floor: how much the baseline differs from itself when it is run twice."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.runner import Runner
from engine.errors import Cancelled, ResoluteError, Skipped
from engine.measuring.disturbance import Watch
from engine.measuring.similarity import similarity
from engine.reports.closeness import Similarity
from engine.reports.schema import Report


class NoiseFloor:
    """The similarity of two runs of the baseline, or the reason why there is none."""

    def __init__(self, earlier: Report | None) -> None:
        self.similarity = earlier.noise_floor if earlier else None
        self.reason = earlier.noise_floor_reason if earlier else "the baseline was not run twice: it was not asked for"
        self.steps_s: tuple[float, ...] = ()  # of the first run, where nothing disturbed it: a second timing
        self._first: np.ndarray | None = None

    def run_first(self, runner: Runner[Any]) -> bool:
        """The run that the baseline is compared with, which warms everything up. Whether the comparison is to stop."""
        track = runner.experiment.baseline
        try:
            runner.listener.phase(track.name, "warming up")
            with Watch(runner.model.device) as disturbance:
                result = runner.run(track)
            self._first = result.frames
            self.steps_s = () if disturbance.found.reason else result.readings.steps_s
        except Skipped:
            self.reason = "the baseline was skipped"
        except Cancelled:
            self.reason = "the comparison was cancelled"
            return True
        except ResoluteError as error:
            self.reason = f"its run failed: {error}"
        return False

    def measure(self, baseline: np.ndarray | None, fps: float) -> None:
        """Compare the first run with the baseline's frames, (T, H, W, 3), where there are both; then it is let go."""
        if self._first is not None and baseline is not None:
            self.similarity, self.reason = Similarity(**similarity(self._first, baseline, fps)), None
        self._first = None

    def not_run(self) -> None:
        """The baseline is taken over, so nothing can be said of its noise."""
        self.reason = "the baseline was not run: it is that of an earlier comparison"
