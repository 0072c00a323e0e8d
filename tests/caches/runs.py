"""What the tests of caches share: the choices that run on the tiny Wan, runs of it, and its cached tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers.hooks.hooks import StateManager

from engine.caches.cache_choice import parse_cache, parse_shorthand
from engine.models.families import family_of
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest, StagedResult
from engine.schedules.latent_sizes import Geometry, full_size, stage_sizes
from engine.schedules.schedule import parse_schedule
from engine.switching.policies import policy_named

STEPS = 12
GEOMETRY = Geometry((4, 8, 8), (1, 2, 2), 4)
U = ([1.0, 0.5], [4, 8])
CHOICES = {
    "teacache": parse_cache({"name": "teacache", "threshold": 5.0, "ret_steps": False, "coefficients": [1.0, 0.0]}),
    "firstblock": parse_shorthand("firstblock:1"),
    "magcache": parse_cache({"name": "magcache", "threshold": 0.5, "retention": 0.1, "ratios": [1.0] * STEPS}),
    "seacache": parse_shorthand("seacache:5,keep_last=0"),
    "taylorseer": parse_shorthand("taylorseer:3,warm_up=1"),
    "pab": parse_shorthand("pab:2,from_t=1000,to_t=0"),
}


def request(pipe: Any, cache: Any, schedule: tuple[list[float], list[int]] = U, guidance: float = 3.0) -> StagedRequest:
    """A run of 12 steps at 64x64, 5 frames."""
    parsed, full = parse_schedule(STEPS, *schedule), full_size(GEOMETRY, 64, 64, 5)
    return StagedRequest(
        pipe=pipe,
        family=family_of("WanPipeline"),
        call={
            "prompt": "a red apple",
            "negative_prompt": "",
            "num_frames": 5,
            "guidance_scale": guidance,
            "max_sequence_length": 16,
        },
        schedule=parsed,
        policy=policy_named("coherent"),
        sizes=stage_sizes(parsed, full, GEOMETRY.patch),
        geometry=GEOMETRY,
        seed=0,
        cache=cache,
    )


def run(pipe: Any, cache: Any, schedule: tuple[list[float], list[int]] = U, **options: Any) -> StagedResult:
    guidance = options.pop("guidance", 3.0)
    return run_staged(request(pipe, cache, schedule, guidance), **options)


def states_of(model: Any) -> Iterator[Any]:
    """Every state that a cache's hooks hold on a transformer."""
    for module in model.modules():
        registry = module.__dict__.get("_diffusers_hook")
        for hook in registry.hooks.values() if registry else ():
            for attribute in vars(hook).values():
                if isinstance(attribute, StateManager):
                    yield from attribute._state_cache.values()


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor inside of a state."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from tensors_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from tensors_in(inner)
    elif hasattr(value, "__dict__"):
        yield from tensors_in(vars(value))


def poison(model: Any, dims: tuple[int, ...] = (1, 2, 3, 4, 5)) -> int:
    """Fill every cached floating-point tensor of so many dimensions with NaN; gives back how many there were."""
    cached = (x for state in states_of(model) for x in tensors_in(state) if x.is_floating_point() and x.ndim in dims)
    found = {id(x): x for x in cached}
    with torch.inference_mode():
        for tensor in found.values():
            tensor.fill_(float("nan"))
    return len(found)


def at_step(step: int, act: Callable[[], None]) -> Callable[[Any], None]:
    """An `on_step` that acts after one step."""

    def on_step(event: Any) -> None:
        if event.step == step:
            act()

    return on_step
