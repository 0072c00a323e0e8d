"""Sigma tables: the noise level of each step of each stage.

`shift(u; s) = s·u / (1 + (s-1)·u)` composes by multiplication, so a table made with any shift is moved to another one
by `reshift(sigmas, ratio)` without knowing how it was made. With ratio = the stage's true linear rate, a step of a low
stage and the same step of the full run have the same signal-to-noise ratio a pixel of the full picture (the rule
`sqrt(m/n)` of Stable Diffusion 3, arXiv 2403.03206, section 5.3.2), and no step is lost or repeated at a switch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

TRAIN_STEPS = 1000
_SIGMA_MAX = float(np.float32(1 - 1 / TRAIN_STEPS))


@dataclass(frozen=True)
class Table:
    """A whole run's levels: `sigmas` (n + 1,) float32 ending in 0, `timesteps` (n,) as the model gets them, 0..1000.

    Levels are a rectified flow's, 0..1, falling; timesteps are of the scheduler's dtype (float32 or int64). Both are
    the scheduler's own tensors where it has them, on its device: write into none. A scheduler may count otherwise:
    `inverted` is one minus them, and where it is something else `native` (n + 1,) holds its own numbers, and the table
    is not re-shifted.
    """

    sigmas: Tensor
    timesteps: Tensor
    inverted: bool = False
    native: Tensor | None = None

    def reshifted(self, ratio: float) -> Table:
        """This table with its shift multiplied by `ratio` > 0; ratio 1 is the table itself, to the bit.

        Computed in float64 on the CPU, as not every device has that; dtype and device of both tensors are kept, so
        integer timesteps are truncated. A table with `native` numbers would lose them: do not call it there.
        """
        if ratio == 1.0:
            return self
        sigmas = reshift(self.sigmas.cpu().double(), ratio)
        counted = 1 - sigmas if self.inverted else sigmas
        timesteps = (counted[:-1] * TRAIN_STEPS).to(self.timesteps.dtype).to(self.timesteps.device)
        return Table(sigmas.to(self.sigmas.dtype).to(self.sigmas.device), timesteps, self.inverted)

    @property
    def counted(self) -> Tensor:
        """(n + 1,) the levels in the scheduler's own numbers; may be `sigmas` or `native` itself."""
        if self.native is not None:
            return self.native
        return 1 - self.sigmas if self.inverted else self.sigmas


def reshift(sigma: Tensor, ratio: float) -> Tensor:
    """`ratio·σ / (1 + (ratio-1)·σ)`, elementwise, of any shape and float dtype; 0 and 1 stay where they are."""
    return ratio * sigma / (1 + (ratio - 1) * sigma)


def wan_table(infer_steps: int, shift: float) -> Table:
    """Wan's and LightX2V's table: u from 0.999 down in equal steps, shifted, a closing 0, int64 timesteps; on the CPU.

    Source: LightX2V `schedulers/wan/scheduler.py`, `set_timesteps` (float64 arithmetic, int64 truncation kept).
    """
    u = np.linspace(_SIGMA_MAX, 0.0, infer_steps + 1)[:-1]
    sigmas = shift * u / (1 + (shift - 1) * u)
    timesteps = torch.from_numpy(sigmas * TRAIN_STEPS).to(torch.int64)
    return Table(torch.from_numpy(np.append(sigmas, 0.0).astype(np.float32)), timesteps)
