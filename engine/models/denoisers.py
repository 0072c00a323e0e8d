"""The networks of a loaded pipeline that denoise, and whether one is compiled."""

from __future__ import annotations

from typing import Any

from torch import nn

from engine.models.families import FAMILIES

NAMES = tuple(dict.fromkeys(name for family in FAMILIES.values() for name in family.denoisers))  # of components


def denoisers_of(pipe: Any) -> dict[str, nn.Module]:
    """By component; of two experts the one for high noise first. An expert that was left out is not among them."""
    networks = {name: getattr(pipe, name, None) for name in NAMES}
    return {name: network for name, network in networks.items() if isinstance(network, nn.Module)}


def is_compiled(network: nn.Module) -> bool:
    """Whether a network or a block of it is compiled: with another `forward` in it, it would be compiled again."""
    return any(getattr(part, "_compiled_call_impl", None) is not None for part in network.modules())
