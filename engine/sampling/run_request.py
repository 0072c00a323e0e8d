"""What one run of a pipeline is to do, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.caches.cache_choice import CacheChoice
from engine.caches.counting import Evaluations
from engine.measuring.meter import Readings
from engine.models.families import Family
from engine.schedules.latent_sizes import Geometry, LatentSize, merged
from engine.schedules.schedule import ResolutionSchedule
from engine.switching.handover import StagePlan
from engine.switching.policies import Policy


@dataclass(frozen=True)
class StagedRequest:
    """One run of a loaded pipeline. `call` holds the pipeline's own arguments except size, steps and generator.

    They are the pipeline's by name, and are passed on as they are at every stage: `prompt`, pictures as PIL images at
    full size (the pipeline scales them), a control `video` as a list of PIL frames (scaled here to each stage),
    numbers, and tensors such as `prompt_embeds` that do not depend on the size, on the device and in the dtype that the
    pipeline takes. `latents` must not be among them: the run makes its own. Guidance is there also where the pipeline
    has a guider for it; without it the guider stays as it is. `seed` is 0 or more; it seeds a generator on the CPU.
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

    def as_run(self) -> StagedRequest:
        """The request with neighbouring stages of one size as one, where the policy has nothing to do between them."""
        if not self.policy.merges:
            return self
        schedule, sizes = merged(self.schedule, self.sizes)
        return replace(self, schedule=schedule, sizes=sizes)

    def guider(self) -> dict[str, Any]:
        """The pipeline's guider, where it has one, with this run's guidance: none at 1 and less, as elsewhere."""
        guidance = self.call.get(self.family.guidance)
        if not self.family.guider or guidance is None:
            return {}
        return {"guider": self.pipe.guider.new(guidance_scale=max(1.0, guidance))}

    def arguments(self, size: LatentSize, generator: torch.Generator) -> dict[str, Any]:
        """All arguments of the pipeline's call at one size, with a new generator; `call` itself is not changed."""
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
            "generator": generator,
        }


@dataclass(frozen=True)
class StagedResult:
    """A run's result: frames (T, H, W, 3) float32 in [0, 1], the stages as they ran, the readings.

    Without decoding the frames are (0, 0, 0, 3). `text_s` are the seconds of encoding what no stage changes, text and
    what an image encoder sees of a picture, of the run that did it.
    """

    frames: np.ndarray
    plans: tuple[StagePlan, ...]
    readings: Readings
    text_s: float
    evaluations: Evaluations

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The sigma of every step, in order, as a rectified flow's."""
        return tuple(sigma for plan in self.plans for sigma in plan.levels[plan.stage.window])

    @property
    def experts(self) -> tuple[int, ...]:
        """Which denoiser was asked at every step: 1, or 2 for the one that models of two experts have for low noise."""
        ran: list[int] = []
        for plan, count in zip(self.plans, self.evaluations.stages, strict=True):
            steps, asked = plan.stage.steps, count.networks  # as many passes in every step
            ran += [1 + (asked[len(asked) * step // steps] == "transformer_2") for step in range(steps)]
        return tuple(ran)


def frames_of(out: Any) -> np.ndarray:
    """The pictures of a pipeline's output, (T, H, W, 3) float32 in [0, 1]; a still has one."""
    frames = getattr(out, "frames", None)
    return np.asarray(out.images[:1] if frames is None else frames[0], dtype=np.float32)


def resized(frames: Sequence[Image.Image], height: int, width: int) -> list[Image.Image]:
    """Frames at a stage's own size; at their size they are left as they are."""
    size = width, height
    return [one if one.size == size else one.resize(size, Image.Resampling.LANCZOS) for one in frames]
