"""What a schedule costs before it has run: exact FLOPs of every forward pass, counted on the meta device.

The denoiser is built from its config without weights and run once a size on meta tensors; attention is counted too
(on meta, scaled dot products decompose into matrix products). Passes are counted whole, as the model defines them: what
the engine does not repeat (engine.sampling.done_once) is not taken off, so that a figure means the same everywhere.
From it follows a speed-up by arithmetic alone: kernels do not have the same efficiency at every size.

Two denoisers look at values while they run and cannot be counted so (Mochi, HunyuanVideo 1.5): for them
`engine.costs.flops_formula` has what was counted once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import diffusers
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.costs.flops_formula import denoiser_flops, reference_tokens
from engine.costs.forward_inputs import INPUTS, inputs_of
from engine.models.catalogue import ModelSpec
from engine.schedules.latent_sizes import LatentSize, full_size, stage_sizes
from engine.schedules.schedule import ResolutionSchedule, Stage

LOOK_AT_VALUES = ("MochiTransformer3DModel", "HunyuanVideo15Transformer3DModel")


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
    """FLOPs of the denoising loop of a schedule and of the full-resolution baseline that it is held against."""

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
    image: bool = False,
    baseline_steps: int | None = None,
) -> Cost:
    """Count a schedule's FLOPs for a model at a size; guidance may mean two forward passes a step, by its family.

    `image` says whether a picture is given, whose tokens some families evaluate beside the latents'. The baseline has
    `baseline_steps` steps; None: as many as the schedule.
    """
    full = full_size(spec.geometry, height, width, frames)
    passes = spec.family.passes(guidance)
    text = max_sequence_length or spec.defaults.max_sequence_length
    reference = reference_tokens(spec, height, width) if image else 0

    def step(size: LatentSize) -> int:
        return passes * forward_flops(spec.transformer, size, text, reference)

    sizes = stage_sizes(schedule, full, spec.geometry.patch)
    stages = tuple(StageCost(stage, size, step(size)) for stage, size in zip(schedule.stages, sizes, strict=True))
    return Cost(stages, (baseline_steps or schedule.infer_steps) * step(full))


def forward_flops(transformer: Mapping[str, Any], size: LatentSize, text_tokens: int, reference: int = 0) -> int:
    """FLOPs of one forward pass of one sample, attention included; a multiply-add counts as two.

    `transformer` is the denoiser's config, with its class as `_class_name` where it is not Wan's; `reference` counts
    tokens of a reference picture beside the latents'.
    """
    if class_of(transformer) in LOOK_AT_VALUES:
        return denoiser_flops(transformer, size, text_tokens, reference)
    config = json.dumps(dict(transformer), sort_keys=True)
    return _count(config, size.frames, size.height, size.width, text_tokens, reference)


def class_of(transformer: Mapping[str, Any]) -> str:
    """The denoiser's class; Wan's where a config does not say."""
    name = str(transformer.get("_class_name") or "WanTransformer3DModel")
    return name if name in INPUTS else "WanTransformer3DModel"


def counted_pass(
    config: str, frames: int, height: int, width: int, text_tokens: int, reference: int = 0, depth: int = 2
) -> FlopCounterMode:
    """One forward pass of one sample, counted on the meta device; nothing is computed and no memory taken.

    `config` is the denoiser's as JSON with sorted keys, sizes are the latent's, `depth` how many levels of modules the
    counter tells apart. Raises KeyError for a class that `engine.costs.forward_inputs` does not know.
    """
    model, size = on_meta(config), LatentSize(frames, height, width, 1.0, 1.0, 0)
    with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False, depth=depth) as counter:
        model(**inputs_of(model, size, text_tokens, reference=reference))
    return counter


@lru_cache(maxsize=256)
def _count(config: str, frames: int, height: int, width: int, text_tokens: int, reference: int) -> int:
    return counted_pass(config, frames, height, width, text_tokens, reference).get_total_flops()


@lru_cache(maxsize=4)
def on_meta(config: str) -> Any:
    """The denoiser of a config (JSON) on the meta device, without weights; shared, so leave it as it is."""
    found = json.loads(config)
    with torch.device("meta"):
        return getattr(diffusers, class_of(found)).from_config(found).eval()
