"""What a schedule costs before it has run: exact FLOPs of every forward pass, counted on the meta device.

The transformer is built from its config without weights and run once a size on meta tensors; attention is counted too
(on meta, scaled dot products decompose into matrix products). Passes are counted whole, as the model defines them: what
the engine does not repeat (engine.fixed_work) is not taken off, so that a figure means the same everywhere. From it
follows a speed-up by arithmetic alone: kernels do not have the same efficiency at every size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch.utils.flop_counter import FlopCounterMode

from engine.models.catalogue import ModelSpec
from engine.schedule import ResolutionSchedule, Stage
from engine.sizes import LatentSize, full_size, stage_sizes


@dataclass(frozen=True)
class StageCost:
    """One stage's steps and what each of them costs (all its forward passes)."""

    stage: Stage
    size: LatentSize
    flops_per_step: int

    @property
    def flops(self) -> int:
        return self.stage.steps * self.flops_per_step


@dataclass(frozen=True)
class Cost:
    """FLOPs of the denoising loop of a schedule and of the full-resolution baseline of as many steps."""

    stages: tuple[StageCost, ...]
    baseline_flops: int

    @property
    def flops(self) -> int:
        return sum(stage.flops for stage in self.stages)

    @property
    def speedup(self) -> float:
        """How many times faster than the baseline if time went with FLOPs."""
        return self.baseline_flops / self.flops


def schedule_cost(
    spec: ModelSpec,
    schedule: ResolutionSchedule,
    *,
    height: int,
    width: int,
    frames: int,
    guidance: float,
    max_sequence_length: int | None = None,
) -> Cost:
    """Count a schedule's FLOPs for a model at a size; `guidance` above 1 means two forward passes a step."""
    full = full_size(spec.geometry, height, width, frames)
    passes = 2 if guidance > 1 else 1
    text = max_sequence_length or spec.defaults.max_sequence_length

    def step(size: LatentSize) -> int:
        return passes * forward_flops(spec.transformer, size, text)

    sizes = stage_sizes(schedule, full, spec.geometry.patch)
    stages = tuple(StageCost(stage, size, step(size)) for stage, size in zip(schedule.stages, sizes, strict=True))
    return Cost(stages, schedule.infer_steps * step(full))


def forward_flops(transformer: Mapping[str, Any], size: LatentSize, text_tokens: int) -> int:
    """FLOPs of one forward pass of one sample, attention included; a multiply-add counts as two."""
    return _count(json.dumps(dict(transformer), sort_keys=True), size.frames, size.height, size.width, text_tokens)


@lru_cache(maxsize=256)
def _count(config: str, frames: int, height: int, width: int, text_tokens: int) -> int:
    model = _on_meta(config)
    channels, text_dim = model.config.in_channels, model.config.text_dim
    with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False) as counter:
        model(
            hidden_states=torch.empty(1, channels, frames, height, width),
            timestep=torch.empty(1, dtype=torch.int64),
            encoder_hidden_states=torch.empty(1, text_tokens, text_dim),
        )
    return counter.get_total_flops()


@lru_cache(maxsize=4)
def _on_meta(config: str) -> Any:
    with torch.device("meta"):
        return WanTransformer3DModel.from_config(json.loads(config)).eval()
