"""What happens to the latents when the resolution changes: every policy's switch, each one pure function.

Notation: rectified flow `x = (1-σ)·x0 + σ·ε`, velocity `v = ε - x0`, hence `x0 = x - σ·v` and `ε = x + (1-σ)·v`. A
switch after step i (0-based) goes from `old[i]`, the level of the model's last prediction, to `new[i+1]`, that of its
next. Tensors are (B, C, T, h, w) float32 on one device; only h and w change. Every switch returns new memory, (B, C, T,
H, W) of the size to be, and writes into nothing that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.switching.noise_field import NoiseField, Size, dct2, graft, idct2, resize_dct
from engine.switching.resample import lanczos, nearest, nearest_counts, nearest_matrix


@dataclass(frozen=True)
class Switch:
    """All that is known at a switch; a policy uses what it needs. Levels are sigmas, 1 (noise) down to 0."""

    x: Tensor  # (B, C, T, h, w) the state before the old stage's last step, at level old[step]
    velocity: Tensor  # (B, C, T, h, w) the model's prediction there
    stepped: Tensor  # (B, C, T, h, w) the solver's own result of that step, at level old[step + 1]
    step: int  # from 0, over the whole run
    old: Sequence[float]  # the old stage's table of the whole run
    new: Sequence[float]  # the new stage's
    size: Size  # (H, W) to be
    field: Callable[[], NoiseField]
    fresh: Callable[[], Tensor]  # white noise (B, C, T, H, W)
    known: Callable[[], Tensor]  # the clean estimate (B, C, T, H, W) as far as the whole run knows it

    @property
    def sigma(self) -> float:
        """The level of the last prediction."""
        return self.old[self.step]

    @property
    def told(self) -> float:
        """The level of the next prediction, at which the new state should be."""
        return self.new[self.step + 1]

    @property
    def x0(self) -> Tensor:
        """The clean estimate (B, C, T, h, w)."""
        return self.x - self.sigma * self.velocity

    @property
    def eps(self) -> Tensor:
        """The predicted noise (B, C, T, h, w)."""
        return self.x + (1 - self.sigma) * self.velocity

    @property
    def grows(self) -> bool:
        return self.size[0] * self.size[1] >= self.x.shape[-2] * self.x.shape[-1]


def lightx2v(s: Switch) -> Tensor:
    """Trilinear x0, fresh noise at the level just left; the step taken no further (the "lost step")."""
    return (1 - s.sigma) * _trilinear(s.x0, s.size) + s.sigma * s.fresh()


def jenga(s: Switch) -> Tensor:
    """x0 read with the new table's level of the old step (as coded there), trilinear, fresh noise at the next level."""
    x0 = s.x - s.new[s.step] * s.velocity
    return (1 - s.told) * _trilinear(x0, s.size) + s.told * s.fresh()


def bottleneck(s: Switch) -> Tensor:
    """Lanczos x0, fresh noise at exactly the level that the next step is told."""
    return (1 - s.told) * lanczos(s.x0, s.size) + s.told * s.fresh()


def coherent(s: Switch) -> Tensor:
    """Resized x0, predicted noise in the low band, the field's own coefficients above it, at exactly the next level.

    Between equal sizes this is the Euler step, so nothing but the missing band is invented.
    """
    if tuple(s.x.shape[-2:]) == s.size:
        return s.x + (s.told - s.sigma) * s.velocity
    x0 = _trilinear(s.x0, s.size) if s.grows else resize_dct(s.x0, s.size)
    return (1 - s.told) * x0 + s.told * s.field().extend(s.eps, s.size)


def spectral(s: Switch) -> Tensor:
    """The noisy state itself jumps: its coefficients, the field's band around them at the same level, and a gain.

    With q the linear ratio of the sizes, `κ = q / (1 + (q-1)·σ)` makes signal and noise sum up as the flow wants them
    at level κσ, which is the new table's next level.
    """
    h, w = s.x.shape[-2:]
    q = math.sqrt(s.size[0] * s.size[1] / (h * w))
    sigma = s.old[s.step + 1]
    band = sigma * s.field().coefficients[..., : s.size[0], : s.size[1]]
    return q / (1 + (q - 1) * sigma) * idct2(graft(dct2(s.stepped), band))


def anchored(s: Switch) -> Tensor:
    """All that the run knows of the clean picture, noise as the solver left it, the field's coefficients above.

    Where the new table's next level is `spectral`'s, so is the low band, whichever way `stepped` is split in two. What
    else the policy does, at the first predictions after the switch, is in `engine.switching.anchor`.
    """
    level = s.old[s.step + 1]
    eps = (s.stepped - (1 - level) * s.x0) / level
    return (1 - s.told) * s.known() + s.told * s.field().extend(eps, s.size)


def pyramid(s: Switch) -> Tensor:
    """Up: nearest-neighbour state plus noise that whitens each block of copies. Down: as `coherent`.

    A block of m copies carries noise m times in its mean; the level is raised to `shift(σ; sqrt(m_max))`, and new noise
    fills what the mean of each block still lacks (nothing where m = m_max) and all other directions of it.
    """
    if not s.grows or tuple(s.x.shape[-2:]) == s.size:
        return coherent(s)
    sigma, told = s.old[s.step + 1], s.told
    alpha = (1 - told) / (1 - sigma)
    white = s.fresh()
    mean = _block_mean(white, s.x.shape[-2:])  # (B, C, T, H, W): each block's mean at each of its pixels
    counts = nearest_counts(s.x.shape[-2:], s.size, white)  # (H, W): copies in each pixel's block
    lacking = (told**2 - (alpha * sigma) ** 2 * counts).clamp_min(0).sqrt()
    return alpha * nearest(s.stepped, s.size) + told * (white - mean) + lacking * mean


SWITCHES: dict[str, Callable[[Switch], Tensor]] = {
    "anchored": anchored,
    "coherent": coherent,
    "spectral": spectral,
    "lightx2v": lightx2v,
    "jenga": jenga,
    "bottleneck": bottleneck,
    "pyramid": pyramid,
}  # by the policy's way: one for each of `engine.switching.policies.POLICIES`


def _trilinear(x: Tensor, size: Size) -> Tensor:
    """(B, C, T, h, w) -> (B, C, T, *size), half-pixel centres, no antialiasing: LightX2V's resize."""
    return F.interpolate(x, size=(x.shape[-3], *size), mode="trilinear")


def _block_mean(white: Tensor, small: torch.Size) -> Tensor:
    """Each nearest-neighbour block's mean, spread over the block. (..., H, W) -> (..., H, W)."""
    large = white.shape[-2:]
    rows, columns = (nearest_matrix(n, m, white) for n, m in zip(small, large, strict=True))  # (H, h), (W, w)
    sums = rows.T @ white @ columns  # (..., h, w)
    return rows @ (sums / (rows.sum(0)[:, None] * columns.sum(0))) @ columns.T
