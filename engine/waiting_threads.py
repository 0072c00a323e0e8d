"""How OpenMP's threads wait for each other, set before torch is imported."""

from __future__ import annotations

from collections.abc import MutableMapping

POLICY, SPINS, BLOCKTIME = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"
SPIN_COUNT = 10_000  # turns of a waiting loop, then a thread sleeps; chosen by `python -m benchmarks.waiting`


def let_threads_sleep(environ: MutableMapping[str, str]) -> None:
    """Let a thread that has waited for a short while sleep, unless the person has set how threads wait.

    By default GNU OpenMP, which torch brings on Linux, spins for milliseconds. Beside other programs a spinning thread
    takes the very core that the one it waits for needs: a run was measured to take thirty times as long. A GPU does
    not need it. Other OpenMP libraries do not read it.
    """
    if not any(environ.get(name) for name in (POLICY, SPINS, BLOCKTIME)):
        environ[SPINS] = str(SPIN_COUNT)
