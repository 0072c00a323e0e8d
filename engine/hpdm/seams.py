"""How well tiles fit together: jumps where they meet, and how far neighbours disagree on the pixels they share."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.hpdm.config import HpdmConfig
from engine.hpdm.noise import add_noise, angle
from engine.hpdm.sampler import LevelSampler


def seam_ratio(video: Tensor, config: HpdmConfig) -> float | None:
    """Mean |jump| between pixels on either side of the lines where tiles without overlap meet, over that elsewhere.

    `video` (..., H, W) of any level; both axes of space. 1 is what a picture without seams has on average; None for a
    level of one tile, which has no lines, or for a flat picture, which has no jumps elsewhere.
    """
    at, elsewhere = [], []
    for axis, step in ((-2, config.patch[1]), (-1, config.patch[2])):
        jumps = video.diff(dim=axis).abs().movedim(axis, 0).flatten(1).mean(1)  # one a line between pixels
        line = (torch.arange(len(jumps)) + 1) % step == 0
        at.append(jumps[line])
        elsewhere.append(jumps[~line])
    rest = float(torch.cat(elsewhere).mean())
    crossing = torch.cat(at)
    return float(crossing.mean()) / rest if len(crossing) and rest > 0 else None


@torch.no_grad()
def disagreement(sampler: LevelSampler, video: Tensor, phi: float, eps: Tensor) -> float | None:
    """Root mean square deviation of overlapping tiles' clean estimates from their mean, on the pixels they share.

    `video` (V, C, F, H, W) gets the noise `eps` at phi first. None where the sampler's tiles share nothing.
    """
    z = add_noise(video, eps, angle(phi, video), sampler.b)
    first, second, weight = torch.zeros_like(z), torch.zeros_like(z), torch.zeros_like(z)
    f, h, w = sampler.model.config.patch
    for (t, y, x), tile in sampler.estimates(z, phi, remember=False):
        for total, value in ((first, tile), (second, tile.square()), (weight, torch.ones_like(tile))):
            total[..., t : t + f, y : y + h, x : x + w] += value
    shared = weight > 1
    if not bool(shared.any()):
        return None
    spread = (second / weight - (first / weight).square()).clamp(min=0)
    return float(spread[shared].mean().sqrt())
