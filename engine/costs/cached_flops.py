"""The FLOPs that a cached run really took: whole evaluations, less the parts that were counted as left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from engine.caches.counting import Evaluations
from engine.costs.flops_count import Cost, counted_pass, forward_flops
from engine.schedules.latent_sizes import LatentSize


def counted_flops(
    cost: Cost, evaluations: Evaluations, transformer: Mapping[str, Any], text_tokens: int, reference: int = 0
) -> int:
    """FLOPs of a run's denoising loop; what a cache itself computes is elementwise and counts as none.

    `cost` is the same schedule's without a cache; `reference` counts tokens of a reference picture.
    """
    total = 0
    for stage, count in zip(cost.stages, evaluations.stages, strict=True):
        left_out, share = count.left_out(), 0.0
        if any(left_out.values()):
            parts = part_flops(transformer, stage.size, text_tokens, reference)
            whole = count.passes * forward_flops(transformer, stage.size, text_tokens, reference)
            share = sum(times * parts[name] for name, times in left_out.items()) / whole
        total += round(stage.flops * (1 - share))
    return total


def part_flops(
    transformer: Mapping[str, Any], size: LatentSize, text_tokens: int, reference: int = 0
) -> Mapping[str, int]:
    """FLOPs of every module of one forward pass, by its name, what is inside of it included."""
    config = json.dumps(dict(transformer), sort_keys=True)
    return _parts(config, size.frames, size.height, size.width, text_tokens, reference)


@lru_cache(maxsize=64)
def _parts(config: str, frames: int, height: int, width: int, text_tokens: int, reference: int) -> Mapping[str, int]:
    counter = counted_pass(config, frames, height, width, text_tokens, reference, depth=9)
    counts = counter.get_flop_counts()
    return {name.partition(".")[2]: sum(found.values()) for name, found in counts.items() if "." in name}
