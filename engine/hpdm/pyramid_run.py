"""One run, driven by one function: step events out, finished levels and what they cost back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from engine.errors import RunFailed
from engine.hpdm.hpdm_config import Axes
from engine.hpdm.hpdm_model import Hpdm
from engine.hpdm.patch_noise import flow_level
from engine.hpdm.sampling_request import HpdmRequest, tile_batch
from engine.hpdm.tile_sampler import Cascade, LevelStep, Sampling, sample_level
from engine.hpdm.tiles import tile_grid
from engine.measuring.late_flags import LateFlags
from engine.measuring.meter import Meter, Readings
from engine.measuring.step_event import OnStep, StepEvent


@dataclass(frozen=True, slots=True)
class LevelResult:
    """A finished level: `video` (C, F, H, W) in -1..1 on the CPU, its tiles' offsets, `seconds` of its steps."""

    level: int
    video: Tensor
    tiles: tuple[Axes, ...]
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class HpdmResult:
    """What a run gave. `contexts`: how often a finished patch was run for features; `cache_bytes`: what it kept."""

    levels: tuple[LevelResult, ...]
    readings: Readings
    contexts: int
    cache_bytes: int
    tile_batch: int


def run_hpdm(model: Hpdm, request: HpdmRequest, on_step: OnStep | None = None) -> HpdmResult:
    """Sample a request level by level. `on_step` gets every finished step and may raise `Cancelled` to stop.

    A level is a stage: its `rate` is its height over the finest one's. Raises RunFailed when a step is not finite.
    """
    config = model.config
    rows = tile_batch(config, request.memory_mib)
    how = Sampling(
        request.steps, request.overlap, request.cache, request.guidance, request.heun, request.self_condition, rows
    )
    labels = torch.tensor([request.understood.labels], dtype=torch.long).reshape(1, -1)
    cascade = Cascade(model, labels, how, request.seed)
    spans: list[tuple[int, int]] = []
    videos: list[Tensor] = []
    with Meter(cascade.device) as meter:
        tell = _teller(request, config.size(config.levels - 1)[1], meter, on_step)
        for level in range(request.levels):
            meter.enter("step")
            video = sample_level(cascade.sampler(level), cascade.noise(level), tell)
            cascade.finish(level, video)
            videos.append(video)
            spans.append((sum(request.steps[:level]), sum(request.steps[: level + 1])))
        readings = meter.read()
    results = [
        LevelResult(k, v[0].cpu(), tuple(tile_grid(config, k, request.overlap)), b - a, sum(readings.steps_s[a:b]))
        for k, (v, (a, b)) in enumerate(zip(videos, spans, strict=True))
    ]
    return HpdmResult(tuple(results), readings, cascade.cache.computed, cascade.cache.bytes, rows)


def frames(video: Tensor) -> np.ndarray:
    """A video (C, F, H, W) in -1..1 as uint8 (F, H, W, C)."""
    pixels = ((video.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return rearrange(pixels, "c f h w -> f h w c").cpu().numpy()


def _teller(
    request: HpdmRequest, full_height: int, meter: Meter, on_step: OnStep | None
) -> Callable[[LevelStep], None]:
    """Turns a level's steps into the events that every model sends."""
    total, flags = sum(request.steps[: request.levels]), LateFlags(meter.device)

    def tell(done: LevelStep) -> None:
        meter.step_done()
        step = sum(request.steps[: done.level]) + done.step
        finite = torch.isfinite(done.x0.sum(dtype=torch.float32))  # any NaN or infinity spoils a sum
        told = f"Step {step} gave values that are not finite: the weights may be damaged."
        flags.ask(finite, RunFailed(told, step))
        flags.check(wait=step == total)
        if on_step is not None:
            height, width = done.x0.shape[-2:]
            with meter.within(None):
                on_step(
                    StepEvent(
                        step=step,
                        steps=total,
                        stage=done.level,
                        stages=request.levels,
                        rate=height / full_height,
                        sigma=flow_level(done.phi, done.b),
                        latent_height=height,
                        latent_width=width,
                        seconds=meter.host_seconds(),
                        memory_bytes=meter.last_bytes,
                        preview=partial(frames, done.x0[0]),
                    )
                )

    return tell
