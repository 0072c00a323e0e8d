"""How torch's CUDA allocator keeps memory, set before torch asks a card for the first bytes."""

from __future__ import annotations

from collections.abc import MutableMapping

SETTING = "PYTORCH_ALLOC_CONF"
OLDER = "PYTORCH_CUDA_ALLOC_CONF"  # its name before torch 2.9, still read


def let_segments_grow(environ: MutableMapping[str, str]) -> None:
    """Let blocks grow in place, unless the person has set something: every stage has tensors of other sizes.

    Otherwise the allocator keeps blocks of one stage's size that no other stage can use, and reserves more at every
    switch. Without a GPU nothing reads it.
    """
    if not environ.get(SETTING) and not environ.get(OLDER):
        environ[SETTING] = "expandable_segments:True"
