"""LightX2V's changing-resolution sampling written out anew in float64 numpy, to hold ours against.

Follows what `schedulers/wan/scheduler.py` and `.../changing_resolution/scheduler.py` compute (UniPC of order 2, bh2,
predicting x0, with its corrector), not their code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F


class UniPC:
    """The solver over one table of sigmas; `restart` is what `set_timesteps` does to its history."""

    def __init__(self, steps: int, shift: float) -> None:
        self.steps = steps
        self.restart(shift)

    def restart(self, shift: float) -> None:
        u = np.linspace(float(np.float32(0.999)), 0.0, self.steps + 1)[:-1]
        sigmas = shift * u / (1 + (shift - 1) * u)
        self.timesteps = (sigmas * 1000).astype(np.int64)
        self.sigmas = np.append(sigmas, 0.0)
        self.history: list[tuple[int, np.ndarray]] = []
        self.last: np.ndarray | None = None
        self.order = 0

    def _lam(self, i: int) -> float:
        with np.errstate(divide="ignore"):
            return float(np.log(1 - self.sigmas[i]) - np.log(self.sigmas[i]))

    def step(self, i: int, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        m = x - self.sigmas[i] * v
        if i > 0 and self.last is not None:
            x = self._correct(i, m)
        self.history = [*self.history, (i, m)][-2:]
        self.order = min(2, self.steps - i, len(self.history))
        self.last = x
        return self._predict(i, x)

    def _predict(self, i: int, x: np.ndarray) -> np.ndarray:
        s0, st = self.sigmas[i], self.sigmas[i + 1]
        h = self._lam(i + 1) - self._lam(i)
        _, m0 = self.history[-1]
        phi = np.expm1(-h)
        out = st / s0 * x - (1 - st) * phi * m0
        if self.order == 2:
            j, m1 = self.history[-2]
            r = (self._lam(j) - self._lam(i)) / h
            out = out - (1 - st) * phi * 0.5 * (m1 - m0) / r
        return out

    def _correct(self, i: int, m: np.ndarray) -> np.ndarray:
        s0, st = self.sigmas[i - 1], self.sigmas[i]
        h = self._lam(i) - self._lam(i - 1)
        _, m0 = self.history[-1]
        phi = np.expm1(-h)
        out = st / s0 * self.last - (1 - st) * phi * m0
        if self.order == 1:
            return out - (1 - st) * phi * 0.5 * (m - m0)
        j, m1 = self.history[-2]
        r = (self._lam(j) - self._lam(i - 1)) / h
        k1 = phi / -h - 1
        k2 = k1 / -h - 0.5
        a, b = np.linalg.solve(np.array([[1.0, 1.0], [r, 1.0]]), np.array([k1 / phi, 2 * k2 / phi]))
        return out - (1 - st) * phi * (a * (m1 - m0) / r + b * (m - m0))


def lightx2v_sample(
    velocity: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    shape: tuple[int, int, int, int],
    *,
    infer_steps: int,
    resolution_rate: list[float],
    changing_resolution_steps: list[int],
    sample_shift: float,
    seed: int,
) -> np.ndarray:
    """The latents (C, T, H, W) that LightX2V's scheduler ends with."""
    generator = torch.Generator().manual_seed(seed)
    c, t, height, width = shape
    sizes = [(int(height * rate) // 2 * 2, int(width * rate) // 2 * 2) for rate in resolution_rate]
    noises = [torch.randn(c, t, *size, generator=generator) for size in [*sizes, (height, width)]]
    solver, k = UniPC(infer_steps, sample_shift), 0
    x = noises[0].double().numpy()
    for i in range(infer_steps):
        v = velocity(torch.from_numpy(x).float(), torch.tensor(float(solver.timesteps[i]))).double().numpy()
        if i + 1 in changing_resolution_steps:
            sigma = solver.sigmas[i]
            x0 = torch.from_numpy(x - sigma * v)[None]
            x0 = F.interpolate(x0, size=noises[k + 1].shape[1:], mode="trilinear")[0].numpy()
            x = (1 - sigma) * x0 + sigma * noises[k + 1].double().numpy()
            solver.restart(sample_shift + k + 1)
            k += 1
        else:
            x = solver.step(i, x, v)
    return x
