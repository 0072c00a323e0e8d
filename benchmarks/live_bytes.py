"""Bytes of tensors that are alive at once: exact and the same on every machine, unlike the resident set."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Peak bytes of tensors made inside that were alive at once; what an operator needs inside is not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                store = leaf.untyped_storage()
                key = store.data_ptr()
                if key and key not in self.seen:
                    self.seen.add(key)
                    self.now += store.nbytes()
                    weakref.finalize(store, self._gone, key, store.nbytes())
        self.peak = max(self.peak, self.now)
        return out

    def _gone(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size
