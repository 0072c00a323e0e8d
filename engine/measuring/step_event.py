"""What a run tells its consumer while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class StepEvent:
    """One finished step. To cancel, raise `engine.errors.Cancelled` in the callback that gets it.

    `step` counts from 1; `seconds` is None on a GPU, where it is known only after the run; `memory_bytes` is the step's
    peak as the meter measures it; `preview()` is the emerging clean picture, uint8 (frames, h, w, 3), computed only
    when it is called.
    """

    step: int
    steps: int
    stage: int
    stages: int
    rate: float
    sigma: float
    latent_height: int
    latent_width: int
    seconds: float | None
    memory_bytes: int
    preview: Callable[[], np.ndarray] = field(repr=False, compare=False)


OnStep = Callable[[StepEvent], None]
