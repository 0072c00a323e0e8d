"""What one run of a pipeline is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.caches.cache_choice import CacheChoice
from engine.caches.counting import Evaluations
from engine.measuring.meter import Readings
from engine.models.families import Family
from engine.schedules.latent_sizes import Geometry, LatentSize
from engine.schedules.schedule import ResolutionSchedule
from engine.switching.handover import StagePlan
from engine.switching.policies import Policy


@dataclass(frozen=True)
class StagedRequest:
    """One run of a loaded pipeline. `call` holds the pipeline's own arguments except size, steps and generator.

    Guidance is among them also where the pipeline has a guider for it; without it the guider stays as it is.
    """

    pipe: Any
    family: Family
    call: dict[str, Any]
    schedule: ResolutionSchedule
    policy: Policy
    sizes: tuple[LatentSize, ...]  # of the stages; the last is the full one
    geometry: Geometry
    seed: int
    decode: bool = True  # without, the result has no frames
    cache: CacheChoice | None = None  # complete: `engine.sampling.cache_calibration` fills in what a model knows

    def guider(self) -> dict[str, Any]:
        """The pipeline's guider, where it has one, with this run's guidance: none at 1 and less, as elsewhere."""
        guidance = self.call.get(self.family.guidance)
        if not self.family.guider or guidance is None:
            return {}
        return {"guider": self.pipe.guider.new(guidance_scale=max(1.0, guidance))}

    def arguments(self, size: LatentSize, seed: int) -> dict[str, Any]:
        """Of the pipeline's call at one size."""
        stride, family = self.geometry.stride, self.family
        call = {key: value for key, value in self.call.items() if not (family.guider and key == family.guidance)}
        pixels, full = ((one.height * stride[1], one.width * stride[2]) for one in (size, self.sizes[-1]))
        return {
            **family.call,
            **(family.sized(pixels, full) if family.sized else {}),
            **call,
            **({"video": resized(call["video"], *pixels)} if call.get("video") else {}),
            "height": pixels[0],
            "width": pixels[1],
            "num_inference_steps": self.schedule.infer_steps,
            "generator": torch.Generator("cpu").manual_seed(seed),
        }


@dataclass(frozen=True)
class StagedResult:
    """What a run gave: frames (T, H, W, 3) float32 in [0, 1], the stages as they ran, the readings."""

    frames: np.ndarray
    plans: tuple[StagePlan, ...]
    readings: Readings
    text_s: float
    evaluations: Evaluations

    @property
    def sigmas(self) -> tuple[float, ...]:
        """What every step was told, in order."""
        return tuple(sigma for plan in self.plans for sigma in plan.levels[plan.stage.window])


def frames_of(out: Any) -> np.ndarray:
    """The pictures of a pipeline's output, (T, H, W, 3) float32 in [0, 1]; a still has one."""
    frames = getattr(out, "frames", None)
    return np.asarray(out.images[:1] if frames is None else frames[0], dtype=np.float32)


def resized(frames: Sequence[Image.Image], height: int, width: int) -> list[Image.Image]:
    """Frames at a stage's own size; at their size they are left as they are."""
    size = width, height
    return [one if one.size == size else one.resize(size, Image.Resampling.LANCZOS) for one in frames]
