"""Lower resolutions taught to agree with full size: what a stage of a schedule should answer is known.

The low band of a noisy latent is, up to a factor, the noisy latent of the smaller scene: with q > 1 the ratio of the
sides, sigma' / (1 - sigma') = sigma / (q (1 - sigma)), the shift of a lower resolution, and `sigma' / sigma` times the
cropped DCT coefficients. So each full-size state has its twin at a lower resolution, with the same noise, whose
answer should be the low band of the full-size one. Compared with native training at low resolution, whose target is
another picture (the encoder's view of a smaller clip) plus noise, this target is exact and free of noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from engine.switching.noise_field import dct2, idct2, resize_dct

Size = tuple[int, int]
EVEN = 2  # the transformer's patch


def lower_size(choices: Sequence[tuple[float, float]], size: Size, rng: np.random.Generator) -> Size | None:
    """A smaller (h, w), drawn from (rate, weight); None without choices."""
    if not choices:
        return None
    weights = np.array([weight for _, weight in choices])
    rate = choices[int(rng.choice(len(weights), p=weights / weights.sum()))][0]
    h, w = (EVEN * round(side * rate / EVEN) for side in size)
    return h, w


def twin(x: Tensor, sigma: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """The state at a lower resolution with the same low band and noise, and its level.

    x (B, z, T, H, W) at level sigma (B, 1, 1, 1, 1) -> (B, z, T, *size), (B, 1, 1, 1, 1).
    """
    q = (x.shape[-2] * x.shape[-1] / (size[0] * size[1])) ** 0.5
    lower = sigma / (sigma + q * (1 - sigma))
    return lower / sigma * idct2(dct2(x)[..., : size[0], : size[1]]), lower


def disagreement(generator: nn.Module, x: Tensor, velocity: Tensor, sigma: Tensor, ids: Tensor, size: Size) -> Tensor:
    """Squared distance of the velocity at `size` from the one that full size implies.

    x, velocity (B, z, T, H, W) at full size, the latter without gradient; sigma (B, 1, 1, 1, 1); ids (B, L).
    """
    with torch.no_grad():
        small, lower = twin(x, sigma, size)
        x0 = resize_dct(x.float() - sigma * velocity.float(), size)  # (B, z, T, *size)
        target = (small - x0) / lower
    v = generator(small, 1000 * lower.flatten(), ids)
    return (v.float() - target).pow(2).mean()
