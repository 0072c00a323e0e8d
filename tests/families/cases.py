"""All tiny pipelines, and how a test asks for a run of one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from diffusers import ConfigMixin

from engine.models.families import family_of
from engine.models.geometry import geometry_of
from engine.sampling.run_request import StagedRequest
from engine.schedules.latent_sizes import Geometry, full_size, stage_sizes
from engine.schedules.schedule import ResolutionSchedule, parse_schedule
from engine.switching.policies import DEFAULT_POLICY, policy_named
from tests.families import builders_image, builders_video, builders_wan
from tests.families.parts import Case

CASES: Mapping[str, Case] = {
    case.name: case for case in (*builders_wan.CASES, *builders_video.CASES, *builders_image.CASES)
}
STEPS = 8  # divides 1000, so that trailing timesteps end at no noise at all
TWO = parse_schedule(STEPS, [0.5], [4])
U = parse_schedule(STEPS, [1.0, 0.75], [2, 5])
SCHEDULES = {"two-stage": TWO, "U": U}


def configs(pipe: Any) -> dict[str, Mapping[str, Any]]:
    """As `geometry_of` takes them: a component's config with its class."""
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, ConfigMixin)}
    return {name: {"_class_name": type(part).__name__, **_saved(part.config)} for name, part in parts.items()}


def _saved(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is the library's own and in no file."""
    return {key: value for key, value in config.items() if not key.startswith("_")}


def geometry(pipe: Any) -> Geometry:
    return geometry_of(type(pipe).__name__, configs(pipe))


def call_of(case: Case, pipe: Any) -> dict[str, Any]:
    family = family_of(type(pipe).__name__)
    return dict(case.call) | ({family.frames: case.frames} if family.output == "video" else {})


def request(
    case: Case, pipe: Any, schedule: ResolutionSchedule, policy: str = DEFAULT_POLICY, **more: Any
) -> StagedRequest:
    cut = geometry(pipe)
    full = full_size(cut, case.height, case.width, case.frames)
    fields: dict[str, Any] = {
        "pipe": pipe, "family": family_of(type(pipe).__name__), "call": call_of(case, pipe), "schedule": schedule,
        "policy": policy_named(policy), "sizes": stage_sizes(schedule, full, cut.patch), "geometry": cut, "seed": 1,
    }  # fmt: skip
    return StagedRequest(**fields | more)


@cache
def expected(name: str) -> np.ndarray:
    """What a fresh pipeline gives at full size."""
    return untouched(CASES[name], CASES[name].build())


def untouched(case: Case, pipe: Any) -> np.ndarray:
    """What the pipeline itself gives at full size."""
    family, full = family_of(type(pipe).__name__), (case.height, case.width)
    sized = family.sized(full, full) if family.sized else {}
    out = pipe(
        **family.call, **sized, **call_of(case, pipe), height=case.height, width=case.width,
        num_inference_steps=STEPS, generator=torch.Generator().manual_seed(1), output_type="np",
    )  # fmt: skip
    return np.asarray(out.frames[0] if hasattr(out, "frames") else out.images[:1])
