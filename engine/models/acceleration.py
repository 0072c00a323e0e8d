"""Faster kernels for the same arithmetic: the attention backend, and compiled blocks.

Only a network's repeated blocks are compiled, each kind once for all of them, and with `dynamic=None`: a first graph
serves the first size until a second one is seen; a second graph, with sizes as unknowns, serves everything after that,
the first size included.
"""

from __future__ import annotations

from typing import Any

from diffusers.models.attention_dispatch import attention_backend
from torch import nn

from engine.errors import InvalidInput
from engine.models.denoisers import denoisers_of
from engine.models.diffusers_private import BLOCK_LISTS, active_backend, chooses_backend, repeated_block_classes
from engine.wording import first_line


def accelerate(pipe: Any, attention: str | None, compiled: bool, compiler: str = "inductor") -> None:
    """Set the attention backend (None: torch's own choice) and compile the blocks of a pipeline's denoisers.

    Raises InvalidInput for a backend that is not installed or not for this machine, and for a network without
    repeated blocks.
    """
    for name, network in denoisers_of(pipe).items():
        if attention is not None:
            _attend_with(network, name, attention)
        if compiled:
            _compile(network, name, compiler)


def _attend_with(network: Any, name: str, attention: str) -> None:
    processors = (getattr(module, "processor", None) for module in network.modules())
    if not any(map(chooses_backend, processors)):  # diffusers says nothing then
        raise InvalidInput("attention", f"attention is {attention!r}, but this {name} has only its own attention.")
    active = active_backend()
    try:
        with attention_backend(active):  # put back: diffusers makes it that of every other network too
            network.set_attention_backend(attention)
    except (ImportError, RuntimeError, ValueError, KeyError) as error:
        raise InvalidInput("attention", f"attention {attention!r} cannot be used here: {first_line(error)}") from None


def _compile(network: Any, name: str, compiler: str) -> None:
    blocks = _blocks_of(network)
    if not blocks:
        raise InvalidInput("compile", f"this {name} has no repeated blocks to compile; leave compile off.")
    for block in blocks:
        block.compile(dynamic=None, backend=compiler)


def _blocks_of(network: nn.Module) -> list[nn.Module]:
    """The blocks whose classes a network names; where it names none (SD3), those of its lists of blocks."""
    kinds = repeated_block_classes(network)
    named = [module for module in network.modules() if type(module).__name__ in kinds]
    return named or [
        block
        for name, child in network.named_children()  # by its end: AuraFlow's are joint_transformer_blocks too
        if name.endswith(BLOCK_LISTS) and isinstance(child, nn.ModuleList)
        for block in child
    ]
