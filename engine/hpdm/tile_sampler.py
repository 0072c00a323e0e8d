"""Tiled sampling: levels one after another, every tile of a step averaged into one clean estimate. [P] section 4."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from einops import rearrange, repeat
from torch import Tensor

from engine.hpdm.context_cache import ContextCache
from engine.hpdm.hpdm_config import Axes, HpdmConfig
from engine.hpdm.hpdm_model import Hpdm, LevelInput
from engine.hpdm.patch_noise import PHI_MIN, add_noise, angle, eps_from_x0, level_angles
from engine.hpdm.target import Preconditioning
from engine.hpdm.tiles import tile_grid

OnLevelStep = Callable[["LevelStep"], None]


@dataclass(frozen=True, slots=True)
class LevelStep:
    """One finished step of a level; `step` counts from 1. `x0` (V, C, F, H, W) is the clean estimate, in -1..1."""

    level: int
    step: int
    steps: int
    phi: float
    b: float
    tiles: int
    x0: Tensor


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample. `tile_batch` is the number of network rows that run at once: peak memory follows from it alone."""

    steps: tuple[int, ...]
    overlap: str | tuple[bool, bool, bool] = "spatial"
    cache: str = "device"
    guidance: float = 1.0
    heun: bool = False
    self_condition: bool = True
    tile_batch: int = 16


class LevelSampler:
    """One level's denoising: all its tiles at an angle, averaged."""

    def __init__(self, model: Hpdm, level: int, labels: Tensor, cache: ContextCache, how: Sampling) -> None:
        self.model, self.level, self.labels, self.cache, self.how = model, level, labels, cache, how
        self.b = model.config.input_scales[level]
        self.form = Preconditioning.of(model.config, level)
        self.tiles = tile_grid(model.config, level, how.overlap)
        self.latents: dict[Axes, Tensor] = {}
        self.below: dict[Axes, Tensor] = {}

    def denoise(self, z: Tensor, phi: float, *, remember: bool = True) -> Tensor:
        """The averaged clean estimate of the canvas z (V, C, F, H, W) at angle phi.

        Averaging x0 is averaging scores where tiles share pixels and noise level [P].
        """
        return average(self.estimates(z, phi, remember=remember), z, self.model.config.patch)

    def estimates(self, z: Tensor, phi: float, *, remember: bool = True) -> Iterator[tuple[Axes, Tensor]]:
        """Every tile's offset and its own clean estimate (V, C, f, h, w)."""
        chunk = max(1, self.how.tile_batch // len(self.labels))
        for start in range(0, len(self.tiles), chunk):
            part = self.tiles[start : start + chunk]
            yield from zip(part, self._tiles(z, phi, part, remember), strict=True)

    def _tiles(self, z: Tensor, phi: float, part: Sequence[Axes], remember: bool) -> Sequence[Tensor]:
        """Clean estimates (V, C, f, h, w) of some tiles."""
        config, rows, videos = self.model.config, len(self.labels), len(z)
        f, h, w = config.patch
        own = torch.stack([z[..., t : t + f, y : y + h, x : x + w] for t, y, x in part])  # (tiles, V, C, f, h, w)
        branches = rows // videos
        noisy = repeat(own, "tiles videos c f h w -> (tiles branches videos) c f h w", branches=branches)
        phis = torch.full((len(noisy),), phi, device=z.device)
        given = self._input(noisy, phis, part)
        state = self.model.start(self.level, given)
        self.model.run([state], self.cache.features(self.level, part, rows))
        v, latents = self.model.finish(state)
        if remember and self.how.self_condition:
            self.latents |= dict(zip(part, latents.split(rows), strict=True))
        x0 = rearrange(
            self.form.x0(noisy, v, phis, given.below),
            "(tiles branches videos) c f h w -> tiles branches videos c f h w",
            tiles=len(part),
            branches=branches,
        )
        return guided(x0, self.how.guidance).clamp(-1, 1).unbind(0)

    def _input(self, noisy: Tensor, phis: Tensor, part: Sequence[Axes]) -> LevelInput:
        offsets = torch.tensor(part).repeat_interleave(len(self.labels), 0)
        previous = torch.cat([self.latents[p] for p in part]) if part[0] in self.latents else None
        labels, below = self.labels.repeat(len(part), 1), self._below(part)
        pixels = self.form.input(noisy, phis, below)
        return LevelInput(pixels, phis, offsets, labels, previous, below)

    def _below(self, part: Sequence[Axes]) -> Tensor | None:
        """The level below at each tile's pixels, the same at every step."""
        if part[0] not in self.below:
            found = self.cache.below(self.level, part, len(self.labels))
            if found is None:
                return None
            self.below |= dict(zip(part, found.split(len(self.labels)), strict=True))
        return torch.cat([self.below[tile] for tile in part])


def average(estimates: Iterable[tuple[Axes, Tensor]], like: Tensor, patch: Axes) -> Tensor:
    """The plain mean of tiles (V, C, f, h, w) on a canvas of the shape of `like`; no window weights [P]."""
    total, weight = torch.zeros_like(like), torch.zeros_like(like[:1, :1])
    f, h, w = patch
    for (t, y, x), tile in estimates:
        total[..., t : t + f, y : y + h, x : x + w] += tile
        weight[..., t : t + f, y : y + h, x : x + w] += 1
    return total / weight


def guided(x0: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance on clean estimates (tiles, branches, V, ...): with labels, without."""
    if x0.shape[1] == 1:
        return x0[:, 0]
    with_labels, without = x0.unbind(1)
    return without + guidance * (with_labels - without)


def noise_like(config: HpdmConfig, level: int, videos: int, seed: int, kind: int) -> Tensor:
    """Noise (V, C, F, H, W) of a level, on the CPU, the same on every device; kind 0 starts, 1 is the context's."""
    rows = []
    for n in range(videos):
        generator = torch.Generator().manual_seed(((seed + n) * 64 + level) * 2 + kind)
        rows.append(torch.randn(config.channels, *config.size(level), generator=generator))
    return torch.stack(rows)


@torch.no_grad()
def sample_level(sampler: LevelSampler, z: Tensor, on_step: OnLevelStep | None = None) -> Tensor:
    """Denoise the canvas z from pure noise; returns the clean video (V, C, F, H, W) in -1..1.

    First order; Heun's correction at level 0 only, since it made the later levels grainy [P].
    """
    steps = sampler.how.steps[sampler.level]
    angles, b = level_angles(sampler.model.config, sampler.level, steps), sampler.b
    x0 = z
    for i, (phi, after) in enumerate(pairwise(angles)):
        x0 = sampler.denoise(z, phi)
        eps = eps_from_x0(z, x0, angle(phi, z), b)
        if sampler.how.heun and sampler.level == 0 and i + 1 < steps:
            x0 = _corrected(sampler, z, x0, eps, after)
            eps = eps_from_x0(z, x0, angle(phi, z), b)
        z = add_noise(x0, eps, angle(after, z), b)
        if on_step is not None:
            on_step(LevelStep(sampler.level, i + 1, steps, phi, b, len(sampler.tiles), x0))
    return x0


def _corrected(sampler: LevelSampler, z: Tensor, x0: Tensor, eps: Tensor, after: float) -> Tensor:
    """Heun's correction: the mean of the clean estimates here and at the end of the first-order step.

    The paper has EDM's, in sigma, which is infinite at the start here; so this averages clean estimates instead [I].
    """
    ahead = add_noise(x0, eps, angle(after, z), sampler.b)
    return (x0 + sampler.denoise(ahead, after, remember=False)) / 2


class Cascade:
    """Levels one after another, each from its own noise, the finished ones kept as context for the next."""

    def __init__(self, model: Hpdm, labels: Tensor, how: Sampling, seed: int = 0) -> None:
        """`labels` (V, conditions), one row a video; video n draws from `seed + n`."""
        self.model, self.how, self.seed, self.videos = model, how, seed, len(labels)
        self.device = next(model.parameters()).device
        self.labels = labels.to(self.device)
        widest = max(range(1, model.config.levels), key=self.branches, default=0)
        self.cache = ContextCache(model, self.rows(widest), how.cache)

    def branches(self, level: int) -> int:
        """Network rows of a tile and video: with labels, and without them where guidance acts."""
        return self.model.config.branches(level, self.how.guidance)

    def rows(self, level: int) -> Tensor:
        """Labels (branches V, conditions) of a level's rows."""
        unsaid = [torch.zeros_like(self.labels)] * (self.branches(level) - 1)
        return torch.cat([self.labels, *unsaid])

    def sampler(self, level: int) -> LevelSampler:
        """The denoiser of the next level; the levels below must be finished."""
        return LevelSampler(self.model, level, self.rows(level), self.cache, self.how)

    def noise(self, level: int, kind: int = 0) -> Tensor:
        """The level's canvas of pure noise (V, C, F, H, W), or (kind 1) that of its role as context."""
        return noise_like(self.model.config, level, self.videos, self.seed, kind).to(self.device)

    def finish(self, level: int, video: Tensor) -> None:
        """Take a finished level's video as context for those above."""
        b = self.model.config.input_scales[level]
        self.cache.finish(add_noise(video, self.noise(level, 1), angle(PHI_MIN, video), b))


@torch.no_grad()
def sample_levels(
    model: Hpdm,
    labels: Tensor,
    how: Sampling,
    seed: int = 0,
    levels: int | None = None,
    on_step: OnLevelStep | None = None,
) -> list[Tensor]:
    """Videos (V, C, F, H, W) in -1..1 of each level up to `levels`, for labels (V, conditions)."""
    cascade = Cascade(model, labels, how, seed)
    videos: list[Tensor] = []
    for level in range(levels or model.config.levels):
        videos.append(sample_level(cascade.sampler(level), cascade.noise(level), on_step))
        cascade.finish(level, videos[-1])
    return videos
