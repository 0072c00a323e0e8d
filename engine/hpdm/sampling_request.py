"""A request to sample, parsed once. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.checked import checked_choice, checked_flag, checked_integer, checked_number
from engine.errors import InvalidInput
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.prompt_words import Understood, understand
from engine.hpdm.tiles import OVERLAPS

CACHES = ("off", "device", "cpu")
GROUP = 4  # finished patches in one pass: always as many, since other shapes are summed in another order
MAX_STEPS = 256
MAX_GUIDANCE = 20.0
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class HpdmRequest:
    """One video to sample: up to `levels` levels, `steps` of each, tiles in batches that fit `memory_mib`."""

    prompt: str
    understood: Understood
    seed: int
    levels: int
    steps: tuple[int, ...]
    overlap: str
    cache: str
    guidance: float
    heun: bool
    self_condition: bool
    memory_mib: int


DEFAULTS: Mapping[str, Any] = {
    "prompt": "", "seed": 0, "levels": None, "steps": (32, 16, 8), "overlap": "spatial", "cache": "device",
    "guidance": 1.0, "heun": False, "self_condition": True, "memory_mib": 256,
}  # fmt: skip


def make_request(config: HpdmConfig, **asked: Any) -> HpdmRequest:
    """A request from what a person asked for, the rest from DEFAULTS. Raises InvalidInput."""
    strange = sorted(set(asked) - set(DEFAULTS))
    if strange:
        raise InvalidInput(strange[0], f"{strange[0]!r} is no setting; there are {', '.join(DEFAULTS)}.")
    raw = {**DEFAULTS, **{k: v for k, v in asked.items() if v is not None}}
    levels = config.levels if raw["levels"] is None else raw["levels"]
    return HpdmRequest(
        prompt=str(raw["prompt"]),
        understood=understand(str(raw["prompt"]), config.conditions),
        seed=checked_integer("seed", raw["seed"], 0, (1 << 32) - 1),
        levels=checked_integer("levels", levels, 1, config.levels),
        steps=_steps(raw["steps"], config.levels),
        overlap=checked_choice("overlap", raw["overlap"], tuple(OVERLAPS)),
        cache=checked_choice("cache", raw["cache"], CACHES),
        guidance=checked_number("guidance", raw["guidance"], 0, MAX_GUIDANCE),
        heun=checked_flag("heun", raw["heun"]),
        self_condition=checked_flag("self_condition", raw["self_condition"]),
        memory_mib=checked_integer("memory_mib", raw["memory_mib"], 1, 1 << 20),
    )


def tile_batch(config: HpdmConfig, memory_mib: int) -> int:
    """Network rows whose activations fit the budget, at least one."""
    return max(1, memory_mib * MIB // row_bytes(config))


def row_bytes(config: HpdmConfig) -> int:
    """About what one tile's pass without gradients takes, float32: the widest moment of a block and the context.

    The widest moment is an MLP (what goes in, hidden before and after GELU); the context is every visible block input
    of every level below, as it comes from the cache, and the weights that align it. A test holds it against the bytes
    that are really alive.
    """
    cells = math.prod(config.token_grid) * config.dim
    latent = (config.latents + 2 + len(config.conditions)) * config.latent_dim
    seen = sum(sum(n > k + 1 for n in config.level_blocks) for k in range(config.levels - 1))
    pixels = math.prod(config.patch) * config.channels
    frames, height, width = config.token_grid
    aligned = (config.levels - 1) * ((height * width) ** 2 + frames**2)
    return 4 * (14 * max(cells, latent) + cells + latent + (seen + 4) * cells + aligned + 6 * pixels)


def _steps(value: object, levels: int) -> tuple[int, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == levels:
        return tuple(checked_integer("steps", one, 1, MAX_STEPS) for one in value)
    raise InvalidInput("steps", f"steps is {str(value)[:40]!r}; it must be {levels} whole numbers, one a level.")
