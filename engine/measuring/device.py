"""The device and the process's heap: waiting for it, freeing its memory, telling that memory ran out."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator

import torch

# In the texts of plain RuntimeErrors. The last is what torch's allocator says with segments that grow, where the
# driver's library is not at hand to tell how much is free (MIG, containers).
_SIGNS = ("out of memory", "can't allocate memory", "alloc_failed", "cublas_status_alloc", "nvml_success == r internal")


def wait_for(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it; nothing to do on the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; some libraries raise a plain RuntimeError for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)


@contextlib.contextmanager
def settled_heap() -> Iterator[None]:
    """While the block runs, what exists already is no garbage: collecting then takes hundredths of a second."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def trim_heap() -> None:
    """Give freed memory back to the system where the C library can: otherwise a second run seems to need none.

    It takes about a tenth of a second, and the memory must be taken anew: call it between runs, not inside one.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
