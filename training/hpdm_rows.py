"""Training rows as sampling sees them: every patch that counts has finished parents, which several patches share. Ours.

A level's rows are finished patches, the parents of the level above, and then those that count. Row j has parent
j modulo the number of finished patches below. Levels run one after another, coarsest first; what a level sees below is
gathered by that index, so gradients flow into shared parents from all their children.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from engine.hpdm.fusion import pixels_below
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.hpdm_model import Features, Hpdm, LevelInput
from engine.hpdm.nested_patches import crop, pyramid
from engine.hpdm.patch_noise import PHI_MIN, add_noise, net_input
from engine.hpdm.target import Preconditioning
from training.config import FanOut


@dataclass(frozen=True, slots=True)
class LevelRows:
    """One level's rows: `finished` parents first, then those that count. `parents` (B,) rows below, none at level 0."""

    given: LevelInput
    wanted: Tensor  # (B, C, f, h, w)
    finished: int
    parents: Tensor | None


def draw_children(config: HpdmConfig, level: int, parents: Tensor, rng: np.random.Generator) -> Tensor:
    """Offsets (B, 3) at `level` of patches inside those at `parents` (B, 3) of the level below.

    Uniform with a margin of a quarter of a patch, clamped to the parent: without it borders would starve, with it they
    come up about as often as among tiles that overlap by half.
    """
    patch, grow = np.array(config.patch), np.array(config.grow)
    room, margin = (grow - 1) * patch, patch // 4
    inner = np.clip(rng.integers(-margin, room + margin + 1, size=parents.shape), 0, room)
    return parents * torch.from_numpy(grow) + torch.from_numpy(inner)


def draw_angles(plan: FanOut, level: int, count: int, b: float, rng: np.random.Generator) -> Tensor:
    """phi (count,) of rows that count: log-normal in the noise level, and for a share the start of sampling."""
    mean, deviation = plan.log_sigma[level]
    sigma = np.exp(rng.normal(mean, deviation, count)).clip(plan.lowest, plan.start)
    sigma[rng.random(count) < plan.at_start] = plan.start
    return torch.from_numpy(np.arctan(sigma * b)).float()


def fan_out(
    config: HpdmConfig, plan: FanOut, videos: Tensor, said: Tensor, rng: np.random.Generator
) -> list[LevelRows]:
    """Rows of every level from `videos` (N, 3, F, H, W) in -1..1 and their labels (N, conditions).

    The first `plan.finished[0]` videos have patches at all levels; the others, `plan.counted[0]`, count at level 0.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 40)))
    levels, out = pyramid(videos, config), []
    offsets = torch.zeros(len(videos), 3, dtype=torch.long)
    clip = torch.arange(len(videos))
    below: Tensor | None = None  # noisy canvases' patches of the level below, at unit variance
    for k in range(config.levels):
        finished = plan.finished[k] if k + 1 < config.levels else 0
        count, b = finished + plan.counted[k], config.input_scales[k]
        parents = torch.arange(count) % plan.finished[k - 1] if k else None
        if parents is not None:
            before, clip = offsets[parents], clip[parents]
            offsets = draw_children(config, k, before, rng)
        phi = torch.cat([torch.full((finished,), PHI_MIN), draw_angles(plan, k, plan.counted[k], b, rng)])
        x0 = crop(levels[k][clip], offsets, config.patch)
        eps = torch.randn(x0.shape, generator=generator)
        z, form, up = add_noise(x0, eps, phi, b), Preconditioning.of(config, k), None
        if parents is not None and below is not None and config.needs_below:
            up = pixels_below(config, (k, offsets), before, below[parents])
        given = LevelInput(form.input(z, phi, up), phi, offsets, said[clip], None, up)
        out.append(LevelRows(given, form.target(x0, eps, phi, up), finished, parents))
        below = net_input(z, phi, b)
    return out


def run_rows(model: Hpdm, rows: Sequence[LevelRows]) -> list[Tensor]:
    """v (B, C, f, h, w) of every level's rows."""
    out: list[Tensor] = []
    features: list[Features] = []
    for level, one in enumerate(rows):
        below: dict[int, Features] = {}
        index = one.parents
        for k in range(level - 1, -1, -1):
            assert index is not None
            below[k] = Features(features[k].offsets[index], {i: a[index] for i, a in features[k].inputs.items()})
            lower = rows[k].parents
            index = lower[index] if lower is not None else None
        state = model.start(level, one.given)
        model.run([state], below, record=True)
        features.append(Features(one.given.offsets, state.inputs))
        out.append(model.finish(state)[0])
    return out


def fan_out_loss(
    model: Hpdm, plan: FanOut, dropout: float, videos: Tensor, said: Tensor, rng: np.random.Generator
) -> list[Tensor]:
    """Mean squared error of each level's rows that count, without the plan's weights."""
    said = dropped(said, dropout, rng)
    rows = fan_out(model.config, plan, videos, said, rng)
    return [
        (v - one.wanted)[one.finished :].square().mean() for v, one in zip(run_rows(model, rows), rows, strict=True)
    ]


def dropped(said: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Labels (N, conditions), all of a video unsaid for a share of them, and each alone for half that share."""
    together, apart = rng.random((len(said), 1)) < share, rng.random(said.shape) < share / 2
    return torch.where(torch.from_numpy(together | apart), 0, said)


def residual_scales(config: HpdmConfig, videos: Tensor) -> tuple[float, ...]:
    """Root mean square of each level of videos (N, 3, F, H, W) less its enlarged parent; of level 0 itself.

    Of the whole videos, with trilinear enlargement by `grow`, which is what a patch sees of its parent but for borders.
    """
    levels = pyramid(videos, config)
    out = [math.sqrt(float(levels[0].square().mean()))]
    for lower, own in pairwise(levels):
        up = torch.nn.functional.interpolate(lower, size=own.shape[2:], mode="trilinear", align_corners=False)
        out.append(math.sqrt(float((own - up).square().mean())))
    return tuple(out)
