"""The page's threads share two pools of the allocator: counted in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from engine.jobs.malloc_pools import POOLS, share_pools
from engine.jobs.supervisor import ROOT

CROWD = """
import ctypes, sys, threading
from engine.jobs.malloc_pools import share_pools
if "shared" in sys.argv:
    share_pools()
barrier = threading.Barrier(8)
def hold():
    held = [bytes(60_000) for _ in range(20)]
    barrier.wait(30)
threads = [threading.Thread(target=hold) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def pools(path, *words: str) -> int:
    command = [sys.executable, "-c", CROWD, str(path), *words]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    return path.read_text().count("<heap nr=")


if share_pools():  # another system's allocator has no such pools

    def test_a_crowd_of_threads_shares_two_pools(tmp_path):
        assert pools(tmp_path / "own") > POOLS
        assert pools(tmp_path / "shared", "shared") <= POOLS
