"""What waiting threads cost on an idle machine and beside other work. `python -m benchmarks.waiting`.

For each way that OpenMP's threads can wait, seconds of the denoising loop of the shipped model's baseline: alone,
beside two busy loops, and beside two other torch processes that wait in the same way. Each cell is a process of its
own, as the setting is read when torch is imported; the ways are taken in turns, round after round, so that a machine
whose speed drifts favours none. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

WAYS: dict[str, dict[str, str]] = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    **{f"{count} turns": {"GOMP_SPINCOUNT": str(count)} for count in (1000, 3000, 10_000, 30_000, 100_000)},
}
BESIDE = ("nothing", "loops", "torch")
LOOP = "while True: pass"
TORCH = "import torch; a = torch.randn(512, 512)\nwhile True: a = torch.tanh(a @ a)"
SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def loop_seconds(way: dict[str, str], runs: int) -> list[float]:
    """Seconds of the denoising loops of so many baselines, in a process of its own, after one that warms up."""
    command = [sys.executable, "-m", "benchmarks.waiting", "--child", str(runs)]
    done = subprocess.run(command, env=_environment(way), check=True, capture_output=True, text=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextlib.contextmanager
def beside(what: str, way: dict[str, str]) -> Iterator[None]:
    """Two other processes at work while the block runs."""
    code = {"nothing": "", "loops": LOOP, "torch": TORCH}[what]
    others = [subprocess.Popen([sys.executable, "-c", code], env=_environment(way)) for _ in range(2) if code]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def child(runs: int) -> None:
    """What a cell measures: prints seconds as JSON."""
    from benchmarks.fidelity.driving import run
    from engine.experiments.experiment import make_experiment
    from engine.experiments.settings import Settings
    from engine.models.loading import load_model
    from engine.sampling.shared_start import RunMemo
    from engine.schedules.schedule import flat
    from engine.switching.policies import DEFAULT_POLICY

    model = load_model("emoji-wan")
    experiment = make_experiment(model.spec, [], Settings(prompt="a red apple", seed=0, steps=20))
    memo = RunMemo()
    seconds = [run(model, experiment, flat(20), DEFAULT_POLICY, memo).readings.denoise_s for _ in range(runs + 1)]
    print(json.dumps(seconds[1:]))


def _environment(way: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in SETTINGS} | way


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3, help="runs of a process")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--beside", nargs="+", choices=BESIDE, default=list(BESIDE))
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child)
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for what in options.beside:
            for name in options.ways:
                with beside(what, WAYS[name]):
                    found.setdefault((name, what), []).extend(loop_seconds(WAYS[name], options.runs))
    print("| threads wait | " + " | ".join(f"beside {what}, s" for what in options.beside) + " |")
    print("|---|" + "---|" * len(options.beside))
    for name in options.ways:
        cells = (found[name, what] for what in options.beside)
        print(
            f"| {name} | "
            + " | ".join(f"{statistics.median(c):.2f} ({min(c):.2f} to {max(c):.2f})" for c in cells)
            + " |"
        )
    return None


if __name__ == "__main__":
    main()
