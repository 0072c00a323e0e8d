"""The table of docs/theory.md: every policy with an ideal denoiser. `python -m benchmarks.oracle`."""

from __future__ import annotations

import torch

from engine.sampling.bare_loop import sample
from engine.schedules.schedule import flat, parse_schedule
from engine.switching.policies import POLICIES
from tests.oracles import GaussianWorld, correlation

CASES = ((50, 8.0, [0.75], [25]), (50, 8.0, [1.0, 0.75], [10, 35]), (40, 3.0, [1.0, 0.75], [5, 25]))
RULED = ("coherent@+1", "coherent@none", "anchored@+1")  # under another rule of the shift
SHAPE = (64, 1, 60, 104)


def main() -> None:
    world = GaussianWorld(60, 104)
    bases = [sample(world.velocity, SHAPE, flat(n), seed=3, shift=s, solver="euler") for n, s, _, _ in CASES]
    for policy in (*POLICIES, *RULED):
        cells = []
        for (steps, shift, rates, switches), base in zip(CASES, bases, strict=True):
            schedule = parse_schedule(steps, rates, switches)
            got = sample(world.velocity, SHAPE, schedule, policy=policy, seed=3, shift=shift, solver="euler")
            spread = 100 * float(torch.std(got) / torch.std(base) - 1)
            cells.append(f"{correlation(got, base):.4f}, {spread:+.1f} %")
        print(f"| `{policy}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
