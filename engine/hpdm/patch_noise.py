"""Noise: v-prediction with a factor b on the clean signal, a level's own. All with unit data deviation.

z = c b x0 + s eps, c = cos(phi), s = sin(phi), phi in (0, pi/2); the network gets z at unit variance and gives
v = c eps - s x0 with the unscaled x0. These are EDM's formulas as SnapVideo uses them ([E] [S]), in the angle phi;
that HPDM's "extra input scaling" is the b of [C] is [I].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.hpdm.hpdm_config import HpdmConfig

PHI_MIN = 0.02
"""Noise on a finished level when it serves as context, at training and at sampling. [I]"""
PHI_RANGE = (0.01, 1.56)
"""Training draws phi uniformly from this range, independently a level: the cosine schedule. [I]"""
SIGMA_START = 80.0
"""Where a schedule by noise level begins, on pure noise; EDM's [E]."""


def _cs(phi: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    phi = phi.reshape(-1, *([1] * (like.ndim - 1)))
    return phi.cos(), phi.sin()


def add_noise(x0: Tensor, eps: Tensor, phi: Tensor, b: float) -> Tensor:
    """z of x0 and eps (B, ...) at phi (B,) or (1,)."""
    c, s = _cs(phi, x0)
    return c * b * x0 + s * eps


def net_input(z: Tensor, phi: Tensor, b: float) -> Tensor:
    """z at unit variance, as the network sees it."""
    c, s = _cs(phi, z)
    return z / (c * c * b * b + s * s).sqrt()


def target(x0: Tensor, eps: Tensor, phi: Tensor) -> Tensor:
    """v, what the network is asked for."""
    c, s = _cs(phi, x0)
    return c * eps - s * x0


def x0_from_v(z: Tensor, v: Tensor, phi: Tensor, b: float) -> Tensor:
    """The clean estimate; exact when v is."""
    c, s = _cs(phi, z)
    return (c * z - s * v) / (c * c * b + s * s)


def eps_from_x0(z: Tensor, x0: Tensor, phi: Tensor, b: float) -> Tensor:
    """The noise that goes with a clean estimate."""
    c, s = _cs(phi, z)
    return (z - c * b * x0) / s


def angle(phi: float, like: Tensor) -> Tensor:
    """One angle (1,) for a whole batch, where the batch is."""
    return torch.full((1,), phi, device=like.device)


def schedule(steps: int) -> list[float]:
    """Angles of a run, pi/2 (pure noise) first and 0 (clean) last: steps + 1 of them, evenly spaced. [I]"""
    return [math.pi / 2 * (1 - i / steps) for i in range(steps + 1)]


def karras(high: float, low: float, count: int, rho: float = 7.0) -> list[float]:
    """Noise levels from `high` to `low`, `count` of them, evenly spaced in their root; EDM's equation 5. [E]"""
    ends = high ** (1 / rho), low ** (1 / rho)
    return [(ends[0] + i / max(count - 1, 1) * (ends[1] - ends[0])) ** rho for i in range(count)]


def level_angles(config: HpdmConfig, level: int, steps: int) -> list[float]:
    """Angles of a level's run, steps + 1 of them, 0 (clean) last.

    Even ones, as `schedule` has them, or, ours [O], where the config has noise levels: SIGMA_START, then from its
    highest to its lowest. Even angles end at a noise level of 1 / (b tan) whatever the level needs.
    """
    if not config.sigmas:
        return schedule(steps)
    sigmas = [SIGMA_START, *karras(*config.sigmas[level], steps - 1)]
    return [*(math.atan(sigma * config.input_scales[level]) for sigma in sigmas), 0.0]


def draw_phi(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Training angles (count,), uniform in PHI_RANGE."""
    low, high = PHI_RANGE
    return low + (high - low) * torch.rand(count, generator=generator)


def flow_level(phi: float, b: float) -> float:
    """The noise level in 0..1 that has the same signal-to-noise ratio in x = (1 - t) x0 + t eps, for displays."""
    c, s = b * math.cos(phi), math.sin(phi)
    return s / (c + s)
