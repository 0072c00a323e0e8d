"""The C allocator of the page's process: few pools, so that a crowd of threads does not keep memory for itself."""

from __future__ import annotations

import ctypes
import sys

POOLS = 2
_M_ARENA_MAX = -8  # malloc.h of glibc


def share_pools() -> bool:
    """Let all threads share two pools, as MALLOC_ARENA_MAX=2 does; False where the system's allocator has none.

    Otherwise glibc gives each thread one, up to eight a core, and each keeps the most that it ever held. The page's
    handlers compute for milliseconds; they do not miss pools of their own.
    """
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, POOLS))
    except (OSError, AttributeError):  # another C library
        return False
