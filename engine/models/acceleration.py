"""Faster kernels for the same arithmetic: the attention backend, and compiled blocks.

Only a network's repeated blocks are compiled, each kind once for all of them, and with `dynamic=None`: the first size
is compiled as it is, the second with sizes as unknowns, and every later stage of any size reuses that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.errors import InvalidInput
from engine.models.families import Family


def accelerate(pipe: Any, family: Family, attention: str | None, compiled: bool, compiler: str = "inductor") -> None:
    """Set the attention backend (None: torch's own choice) and compile the blocks of a pipeline's denoisers.

    Raises InvalidInput for a backend that is not installed or not for this machine, and for a network that names no
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
    if not hasattr(network, "set_attention_backend"):
        raise InvalidInput("attention", f"attention is {attention!r}, but this {name} has only its own attention.")
    try:
        network.set_attention_backend(attention)
    except (ImportError, RuntimeError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InvalidInput("attention", f"attention {attention!r} cannot be used here: {first}") from None


def _compile(network: Any, name: str, compiler: str) -> None:
    if not getattr(network, "_repeated_blocks", None):
        raise InvalidInput("compile", f"this {name} names no repeated blocks to compile; leave compile off.")
    network.compile_repeated_blocks(dynamic=None, backend=compiler)
