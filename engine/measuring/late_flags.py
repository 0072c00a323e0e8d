"""What a device finds out while it computes, read without waiting for it: copies that it makes in its own time."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor


def host_copy(x: Tensor) -> Tensor:
    """A copy in the host's memory, which a GPU writes when it has come this far: read it only after that.

    Of a tensor on the CPU it is the tensor itself.
    """
    if x.device.type != "cuda":
        return x
    return torch.empty_like(x, device="cpu", pin_memory=True).copy_(x, non_blocking=True)


class LateFlags:
    """Things that have to be true of a run, each with the error that says it is not.

    On the CPU a flag is known at once; on a GPU when the device has computed it, a few steps after it was asked for.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._asked: deque[tuple[Any, Tensor, Exception]] = deque()

    def ask(self, flag: Tensor, error: Exception) -> None:
        """One bool that a later `check` reads; nothing waits for it."""
        event = None
        kept = host_copy(flag)
        if self._device.type == "cuda":
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(self._device))
        self._asked.append((event, kept, error))

    def check(self, wait: bool = False) -> None:
        """Raise the error of the first flag that is known to be false; with `wait`, of all that were asked for."""
        while self._asked:
            event, flag, error = self._asked[0]
            if event is not None and not event.query():
                if not wait:
                    return
                event.synchronize()
            self._asked.popleft()
            if not bool(flag):
                self.drop()
                raise error

    def drop(self) -> None:
        """Forget what was asked for."""
        self._asked.clear()
