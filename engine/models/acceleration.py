"""Faster kernels for the same arithmetic: the attention backend, and compiled blocks.

Only a network's repeated blocks are compiled, each kind once for all of them, and with `dynamic=None`: a first graph
serves the first size until a second one is seen; a second graph, with sizes as unknowns, serves everything after that,
the first size included.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from diffusers.hooks._common import _ALL_TRANSFORMER_BLOCK_IDENTIFIERS
from torch import nn

from engine.errors import InvalidInput
from engine.models.families import Family
from engine.wording import first_line


def accelerate(pipe: Any, family: Family, attention: str | None, compiled: bool, compiler: str = "inductor") -> None:
    """Set the attention backend (None: torch's own choice) and compile the blocks of a pipeline's denoisers.

    Raises InvalidInput for a backend that is not installed or not for this machine, and for a network without
    repeated blocks.
    """
    for name, network in _denoisers(pipe, family):
        if attention is not None:
            _attend_with(network, name, attention)
        if compiled:
            _compile(network, name, compiler)


def _denoisers(pipe: Any, family: Family) -> Iterator[tuple[str, Any]]:
    for name in family.denoisers:
        network = getattr(pipe, name, None)
        if network is not None:
            yield name, network


def _attend_with(network: Any, name: str, attention: str) -> None:
    processors = (getattr(module, "processor", None) for module in network.modules())
    if not any(hasattr(processor, "_attention_backend") for processor in processors):  # diffusers says nothing then
        raise InvalidInput("attention", f"attention is {attention!r}, but this {name} has only its own attention.")
    try:
        network.set_attention_backend(attention)
    except (ImportError, RuntimeError, ValueError, KeyError) as error:
        raise InvalidInput("attention", f"attention {attention!r} cannot be used here: {first_line(error)}") from None


def _compile(network: Any, name: str, compiler: str) -> None:
    blocks = _repeated_blocks(network)
    if not blocks:
        raise InvalidInput("compile", f"this {name} has no repeated blocks to compile; leave compile off.")
    for block in blocks:
        block.compile(dynamic=None, backend=compiler)


def _repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """The blocks whose classes a network names; where it names none (SD3), those of its lists of blocks."""
    kinds = getattr(network, "_repeated_blocks", None) or ()
    named = [module for module in network.modules() if type(module).__name__ in kinds]
    return named or [
        block
        for name, child in network.named_children()  # by its end: AuraFlow's are joint_transformer_blocks too
        if name.endswith(_ALL_TRANSFORMER_BLOCK_IDENTIFIERS) and isinstance(child, nn.ModuleList)
        for block in child
    ]
