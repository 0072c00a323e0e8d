"""Where the distance to the baseline comes from: the switch itself, or the steps at low resolution?

A U whose low stage is one step long has all of the switching and next to none of the low-resolution network; it is
set beside the long one, at guidance 3 and without guidance. `python -m benchmarks.why`.
"""

from __future__ import annotations

import argparse
import math
import statistics

import torch

from benchmarks.fidelity.driving import run
from engine.experiments.experiment import make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.measuring.similarity import psnr
from engine.models.loading import load_model, scheduler_for
from engine.patching import patched
from engine.sampling.shared_start import RunMemo

PROMPTS = (
    "a panda bouncing over blue stripes",
    "a rocket drifting up over purple stars",
    "a frog turning over pink bricks",
    "a red apple growing over green checks",
    "a ghost drifting right over orange checks",
    "an octopus still over blue wood",
    "a banana drifting left over purple checks",
    "a robot shrinking over yellow stripes",
    "a strawberry turning over grey stars",
    "a cat face drifting down over green wood",
    "a star growing over red bricks",
    "a soccer ball bouncing over pink stripes",
)
SCHEDULES = {"one low step": "1/0.75@9/10", "ten low steps": "1/0.75@4/14", "two-stage 0.75@10": "0.75@10"}
POLICIES = ("coherent", "spectral", "lightx2v")
STEPS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--guidance", type=float, nargs="+", default=[3.0, 1.0])
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = load_model("emoji-wan", dtype=options.dtype)
    for guidance in options.guidance:
        found: dict[tuple[str, str], list[float]] = {}
        for prompt in PROMPTS[: options.prompts]:
            experiment = make_experiment(
                model.spec, [], Settings(prompt=prompt, seed=0, steps=STEPS, guidance=guidance)
            )
            memo = RunMemo()
            with patched(model.pipe, scheduler=scheduler_for(model.pipe, None, experiment.shift)):
                base = run(model, experiment, experiment.baseline.schedule, "coherent", memo).frames
                for name, short in SCHEDULES.items():
                    for policy in POLICIES:
                        got = run(model, experiment, load_preset(short, STEPS).schedule, policy, memo).frames
                        found.setdefault((name, policy), []).append(psnr(got, base).mean or math.nan)
        for name in SCHEDULES:
            cells = " | ".join(f"{statistics.fmean(found[name, policy]):.1f}" for policy in POLICIES)
            print(f"| {guidance:g} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
