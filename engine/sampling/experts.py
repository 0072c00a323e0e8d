"""Models of two experts, one for high noise and one for low: which of them denoises at which step.

Their pipelines choose by the level that the model is told (`boundary_ratio`). A stage may be told other levels than the
baseline at the same step; chosen by these, experts would change to and fro within a run. So each stage gets a boundary
of its own, at which the experts change at the step at which they change in the baseline.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from engine.models.denoisers import denoisers_of
from engine.switching.sigma_tables import TRAIN_STEPS

ALL_LOW = 2.0  # a boundary that no level reaches


def changes_experts(pipe: Any) -> bool:
    """Whether a pipeline goes from one denoiser to another at a level of its own."""
    return len(denoisers_of(pipe)) == 2 and pipe.config.get("boundary_ratio") is not None


def boundary_for(told: Tensor, baseline: Tensor, ratio: float) -> float:
    """The boundary of a stage's own table at which experts change at the same step as in the baseline.

    `told` and `baseline` (n,) are the timesteps of the whole run, 0..1000 and falling, of the stage's table and the
    baseline's; `ratio` is the baseline's boundary, a part of 1000. Half way between the two timesteps around it, so
    that neither truncation nor rounding can move a step to the other side.
    """
    high = int((baseline >= ratio * TRAIN_STEPS).sum())  # steps of the expert for high noise
    if high == 0:
        return ALL_LOW
    levels = [*told.tolist(), 0.0]
    return float(levels[high - 1] + levels[high]) / (2 * TRAIN_STEPS)
