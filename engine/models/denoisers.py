"""The networks of a loaded pipeline that denoise, whether one is compiled, and which of two takes a step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from torch import nn

from engine.models.families import FAMILIES

NAMES = tuple(dict.fromkeys(name for family in FAMILIES.values() for name in family.denoisers))  # of components
ABOVE_ALL = 2.0  # a level that no step starts from


def denoisers_of(pipe: Any) -> dict[str, nn.Module]:
    """By component; of two experts the one for high noise first. An expert that was left out is not among them."""
    networks = {name: getattr(pipe, name, None) for name in NAMES}
    return {name: network for name, network in networks.items() if isinstance(network, nn.Module)}


def is_compiled(network: nn.Module) -> bool:
    """Whether a network or a block of it is compiled: with another `forward` in it, it would be compiled again."""
    return any(getattr(part, "_compiled_call_impl", None) is not None for part in network.modules())


def has_second_expert(pipe: Any) -> bool:
    """Whether a pipeline changes to a second denoiser at a level of its own."""
    return len(denoisers_of(pipe)) > 1 and pipe.config.get("boundary_ratio") is not None


@contextlib.contextmanager
def boundary(pipe: Any, ratio: float) -> Iterator[None]:
    """While the block runs, a pipeline's experts change at another boundary."""
    own = pipe.config.boundary_ratio
    pipe.register_to_config(boundary_ratio=ratio)
    try:
        yield
    finally:
        pipe.register_to_config(boundary_ratio=own)


def second_expert_alone(pipe: Any) -> AbstractContextManager[None]:
    """While the block runs every step is the second expert's, whatever its level."""
    return boundary(pipe, ABOVE_ALL)
