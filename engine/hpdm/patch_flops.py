"""FLOPs of a run by formula: those of a tile's pass and of a context's pass, times how often each happens. No torch.

A multiply-add counts as two; what is no product of matrices is not counted. How often a pass happens follows from the
tiles, the steps and the cache. Tests hold the formulas against torch's own count of the network, and the number of
contexts against that of a real run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.hpdm.hpdm_config import Axes, HpdmConfig
from engine.hpdm.sampling_request import GROUP, HpdmRequest
from engine.hpdm.tiles import parents_of, tile_grid

TIME_WIDTH = 64  # of the noise level's embedding, as `engine.hpdm.latents.Conditioning` has it


@dataclass(frozen=True, slots=True)
class LevelWork:
    """What one level of a run does, in network rows: `passes` of its tiles; `contexts`: passes of finished patches by
    their level. `flops` is all of it. `kept`: the patches of each lower level whose features are kept at its end.
    """

    tiles: int
    passes: int
    contexts: tuple[int, ...]
    flops: int
    kept: tuple[int, ...]


def run_flops(config: HpdmConfig, request: HpdmRequest, tile_batch: int) -> tuple[tuple[int, ...], int]:
    """FLOPs of every level of a run, and how often a finished patch is run for its features."""
    work, rows = run_work(config, request, tile_batch), context_rows(config, request.guidance)
    return tuple(level.flops for level in work), sum(sum(level.contexts) for level in work) // rows


def run_work(config: HpdmConfig, request: HpdmRequest, tile_batch: int) -> tuple[LevelWork, ...]:
    """What every level of a run does."""
    counts, below_rows = _Contexts(config, request.cache != "off"), context_rows(config, request.guidance)
    work = []
    for level in range(request.levels):
        rows = config.branches(level, request.guidance)
        tiles, steps = tile_grid(config, level, request.overlap), request.steps[level]
        passes = rows * len(tiles) * (2 * steps - 1 if request.heun and level == 0 else steps)
        before = list(counts.computed)
        counts.level(level, tiles, steps, max(1, tile_batch // rows))
        contexts = tuple(below_rows * (now - then) for now, then in zip(counts.computed, before, strict=True))
        own = passes * tile_flops(config, level)
        below = sum(n * context_flops(config, k) for k, n in enumerate(contexts) if n)
        work.append(LevelWork(len(tiles), passes, contexts, own + below, counts.kept_by_level()))
    return tuple(work)


def context_rows(config: HpdmConfig, guidance: float) -> int:
    """Network rows of a finished patch that is run for its features: as many as any level that looks at it needs."""
    return max((config.branches(level, guidance) for level in range(1, config.levels)), default=1)


def tile_flops(config: HpdmConfig, level: int) -> int:
    """Of one row: a tile's whole pass."""
    out = 2 * math.prod(config.token_grid) * config.dim * config.channels * math.prod(config.token)
    return _start(config) + _blocks(config, level, len(config.level_blocks)) + out


def context_flops(config: HpdmConfig, level: int) -> int:
    """Of one row: a finished patch's pass, as far as the last block at which a higher level looks at this one."""
    stop = max((i for i, n in enumerate(config.level_blocks) if n > level + 1), default=0)
    return _start(config) + _blocks(config, level, stop)


def features_bytes(config: HpdmConfig, level: int) -> int:
    """Of one row: what is kept of a finished patch, float32; its input to every block at which a higher level looks."""
    return 4 * math.prod(config.token_grid) * config.dim * sum(n > level + 1 for n in config.level_blocks)


def _start(config: HpdmConfig) -> int:
    """Tokeniser, noise level, labels on the tokens, latents of the step before."""
    d, latent, n = config.dim, config.latent_dim, math.prod(config.token_grid)
    channels = config.channels * (2 if config.pixels_beside else 1)
    said = TIME_WIDTH * latent + latent * latent + (latent * d if config.token_condition else 0)
    return 2 * (n * channels * math.prod(config.token) * d + said + config.latents * 4 * latent * latent)


def _blocks(config: HpdmConfig, level: int, stop: int) -> int:
    """The blocks before `stop` that a level passes through, each with its fusion."""
    active = sum(n > level for n in config.level_blocks[:stop])
    fused = sum(n > level and n > 1 for n in config.level_blocks[:stop]) if config.deep and level else 0
    return active * _block(config) + fused * _fusion(config, level)


def _block(config: HpdmConfig) -> int:
    """One RIN block: read, compute, write."""
    d, latent, n = config.dim, config.latent_dim, math.prod(config.token_grid)
    m, inner = config.latents + 2 + len(config.conditions), min(config.dim, config.latent_dim)
    read = m * latent * inner + 2 * n * d * inner + 2 * m * n * inner + m * inner * latent + 8 * m * latent**2
    layer = 4 * m * latent**2 + 2 * m * m * latent + 8 * m * latent**2
    write = n * d * inner + 2 * m * latent * inner + 2 * n * m * inner + n * inner * d + 8 * n * d**2
    return 2 * (read + config.compute * layer + write)


def _fusion(config: HpdmConfig, level: int) -> int:
    """Sampling the features of all levels below, and joining them."""
    (frames, height, width), d = config.token_grid, config.dim
    n, plane = frames * height * width, height * width
    sampled = level * (frames * plane * plane * d + frames * frames * plane * d)
    return 2 * (sampled + n * (2 * d + (3 if config.coordinates else 0)) * d)


class _Contexts:
    """Counts what `ContextCache` computes, without computing it."""

    def __init__(self, config: HpdmConfig, kept: bool) -> None:
        self.config, self.keeps = config, kept
        self.kept: set[tuple[int, Axes]] = set()
        self.computed = [0] * config.levels

    def kept_by_level(self) -> tuple[int, ...]:
        return tuple(sum(level == k for level, _ in self.kept) for k in range(self.config.levels))

    def level(self, level: int, tiles: Sequence[Axes], steps: int, batch: int) -> None:
        """A level's steps, with so many tiles at once."""
        if not self.config.deep:
            return
        before = list(self.computed)
        for start in range(0, len(tiles), batch):
            self._features(level, tiles[start : start + batch])
            if not self.keeps:
                self.kept.clear()
        if not self.keeps:  # every step is as the first
            self.computed = [b + steps * (now - b) for b, now in zip(before, self.computed, strict=True)]

    def _features(self, level: int, tiles: Sequence[Axes]) -> None:
        chains = [parents_of(self.config, tile, level) for tile in tiles]
        for k in range(level):
            wanted = sorted({chain[k] for chain in chains if (k, chain[k]) not in self.kept})
            for start in range(0, len(wanted), GROUP):
                part = wanted[start : start + GROUP]
                self._features(k, part)
                self.computed[k] += GROUP
                self.kept |= {(k, place) for place in part}
