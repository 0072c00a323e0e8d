"""How well tiles fit together: jumps where they meet, and how far neighbours disagree on the pixels they share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.patch_noise import add_noise, angle
from engine.hpdm.tile_sampler import LevelSampler
from engine.hpdm.tiles import axes_of

Lines = tuple[tuple[float, ...], ...]


BESIDE = 2  # pixel lines on either side of a line that its jump is held against
FAINTEST = 1 / 255  # half a step of 8 bits in -1..1: what no screen shows is no seam, however even the ground


@dataclass(frozen=True, slots=True)
class SeamLines:
    """Where tiles begin or end, piece by piece: the mean jump across it over the mean jump just beside it.

    Lines lie every `spacing` (height, width) pixels. `vertical`: from the left, each from the top down; `horizontal`:
    from the top, each from the left. A piece is as long as the spacing along it.
    """

    spacing: tuple[int, int]
    vertical: Lines
    horizontal: Lines


def seam_ratio(video: Tensor, config: HpdmConfig) -> float | None:
    """Mean |jump| between pixels on either side of the lines where tiles without overlap meet, over that elsewhere.

    `video` (..., H, W) of any level; both axes of space. 1 is what a picture without seams has on average; None for a
    level of one tile, which has no lines, or for a flat picture, which has no jumps elsewhere.
    """
    crossing, rest = _at_and_elsewhere(video, config)
    return float(crossing.mean()) / rest if len(crossing) and rest > 0 else None


def frame_jumps(video: Tensor, frames: int) -> tuple[float, float]:
    """Mean |jump| between frames where tiles of so many `frames` meet, and elsewhere; `video` (..., F, H, W).

    0 where there are no such frames. Of a plain ground that stands still both are noise; more at tile ends is flicker.
    """
    jumps = video.float().diff(dim=-3).abs().mean((-2, -1)).flatten(0, -2).mean(0)  # one a pair of frames
    meet = (torch.arange(len(jumps)) + 1) % frames == 0
    return _mean(jumps[meet]), _mean(jumps[~meet])


def seam_lines(video: Tensor, config: HpdmConfig, overlap: str | tuple[bool, bool, bool]) -> SeamLines | None:
    """The jump across every piece of the lines where tiles of this overlap begin or end, over that just beside it.

    `video` (..., H, W) of any level in -1..1. 1 stands out no more than the pixels beside it; what is drawn there
    counts on both sides, so that edges of the picture, which `seam_ratio` has, mostly fall out. None for a level of
    one tile.
    """
    halved = axes_of(overlap)[1:]
    down, right = (max(p // 2, 1) if half else p for p, half in zip(config.patch[1:], halved, strict=True))
    (_, height, width), (whole_height, whole_width) = config.patch, video.shape[-2:]
    horizontal = _pieces(_jumps(video, -2), down, right) if whole_height > height else ()
    vertical = _pieces(_jumps(video, -1), right, down) if whole_width > width else ()
    return SeamLines((down, right), vertical, horizontal) if horizontal or vertical else None


def _at_and_elsewhere(video: Tensor, config: HpdmConfig) -> tuple[Tensor, float]:
    """Mean |jump| of every line where tiles without overlap meet, and of all other lines together."""
    at, elsewhere = [], []
    for axis, step in ((-2, config.patch[1]), (-1, config.patch[2])):
        jumps = _jumps(video, axis).mean(1)  # one a line between pixels
        line = (torch.arange(len(jumps)) + 1) % step == 0
        at.append(jumps[line])
        elsewhere.append(jumps[~line])
    return torch.cat(at), float(torch.cat(elsewhere).mean())


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else 0.0


def _jumps(video: Tensor, axis: int) -> Tensor:
    """Mean |jump| across every line between pixels, (lines, pixels along it), over frames and channels."""
    jumps = video.float().diff(dim=axis).abs().flatten(0, -3).mean(0)  # (H - 1, W) or (H, W - 1)
    return jumps if axis == -2 else jumps.T


def _pieces(jumps: Tensor, spacing: int, piece: int) -> Lines:
    """Every line that lies `spacing` from the one before, in pieces, over the lines beside it."""
    reach = max(1, min(BESIDE, (spacing - 1) // 2))
    lines = []
    for at in range(spacing - 1, len(jumps), spacing):
        beside = torch.cat([jumps[at - reach : at], jumps[at + 1 : at + 1 + reach]]).mean(0)  # (pixels along,)
        own, others = (line.unfold(0, piece, piece).mean(1) for line in (jumps[at], beside))  # (pieces,)
        lines.append(tuple(round(float(ratio), 3) for ratio in own / others.clamp(min=FAINTEST)))
    return tuple(lines)


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
