"""Exact FLOPs of a run: one tile's pass and one context's pass are counted on meta tensors, and multiplied.

How often each happens follows from the tiles, the steps and the cache; a run's own count of contexts must agree.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.hpdm.config import Axes, HpdmConfig
from engine.hpdm.model import Features, Hpdm, LevelInput
from engine.hpdm.pyramid import parents_of
from engine.hpdm.request import HpdmRequest
from engine.hpdm.tiles import tile_grid


def run_flops(config: HpdmConfig, request: HpdmRequest, rows: int, tile_batch: int) -> tuple[tuple[int, ...], int]:
    """FLOPs of every level of a run, and how often a finished patch is run for its features.

    `rows`: network rows of a tile (2 with guidance). A multiply-add counts as two.
    """
    tiles_s, contexts_s = _passes(json.dumps(config.to_json(), sort_keys=True))
    counts = _Contexts(config, request.cache != "off", max(1, tile_batch // rows))
    flops = []
    for level in range(request.levels):
        tiles, steps = tile_grid(config, level, request.overlap), request.steps[level]
        passes = 2 * steps - 1 if request.heun and level == 0 else steps
        before = list(counts.computed)
        counts.level(level, tiles, steps)
        contexts = [now - then for now, then in zip(counts.computed, before, strict=True)]
        one = passes * len(tiles) * tiles_s[level] + sum(n * c for n, c in zip(contexts, contexts_s, strict=True))
        flops.append(rows * one)
    return tuple(flops), sum(counts.computed)


class _Contexts:
    """Counts what `ContextCache` computes, without computing it."""

    def __init__(self, config: HpdmConfig, kept: bool, batch: int) -> None:
        self.config, self.keeps, self.batch = config, kept, batch
        self.kept: set[tuple[int, Axes]] = set()
        self.computed = [0] * config.levels

    def level(self, level: int, tiles: Sequence[Axes], steps: int) -> None:
        if self.config.fusion != "dcf":
            return
        for _ in range(1 if self.keeps else steps):  # what is kept is there after the first step
            for start in range(0, len(tiles), self.batch):
                self._features(level, tiles[start : start + self.batch])

    def _features(self, level: int, tiles: Sequence[Axes]) -> None:
        chains = [parents_of(self.config, tile, level) for tile in tiles]
        for k in range(level):
            wanted = sorted({chain[k] for chain in chains if (k, chain[k]) not in self.kept})
            for start in range(0, len(wanted), self.batch):
                part = wanted[start : start + self.batch]
                self._features(k, part)
                self.computed[k] += len(part)
                if self.keeps:
                    self.kept |= {(k, place) for place in part}


@lru_cache(maxsize=8)
def _passes(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """FLOPs of one row: a tile's pass at every level, and a context's pass at every level."""
    config = HpdmConfig.from_json(json.loads(text))
    with torch.device("meta"):
        model = Hpdm(config).eval()
    tiles = tuple(_count(model, level, None) for level in range(config.levels))
    return tiles, tuple(_count(model, level, _last_seen(config, level)) for level in range(config.levels))


def _last_seen(config: HpdmConfig, level: int) -> int:
    """The last block at which a higher level looks at this one; 0 where none does."""
    return max((i for i, n in enumerate(config.level_blocks) if n > level + 1), default=0)


@torch.no_grad()
def _count(model: Hpdm, level: int, stop: int | None) -> int:
    config = model.config
    n, width = config.token_grid[0] * config.token_grid[1] * config.token_grid[2], config.dim
    offsets, meta = torch.zeros(1, 3, dtype=torch.long), torch.device("meta")
    pixels = torch.empty(1, config.channels, *config.patch, device=meta)
    labels = torch.empty(1, len(config.conditions), dtype=torch.long, device=meta)
    below = None if config.fusion != "shallow" or not level else torch.empty_like(pixels)
    given = LevelInput(pixels, torch.empty(1, device=meta), offsets, labels, None, below)
    blocks = range(len(config.level_blocks))
    seen = {k: Features(offsets, {i: torch.empty(1, n, width, device=meta) for i in blocks}) for k in range(level)}
    with FlopCounterMode(display=False) as counter:
        state = model.start(level, given)
        model.run([state], seen, record=stop is not None, stop=stop)
        if stop is None:
            model.finish(state)
    return int(counter.get_total_flops())
