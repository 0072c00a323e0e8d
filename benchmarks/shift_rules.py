"""Why shift + 1 beats the exact sigma on the shipped model, for docs/theory.md: `python -m benchmarks.shift_rules`.

Two-stage 0.75 under `coherent`, with the shift of one stage moved at a time, so that the two halves of LightX2V's rule
come apart; the exact rule with the switch earlier; and full size at every step with its shift raised. Then, along the
baseline's own path, how far the small answer is from the full one by noise level, told its own level and others.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.fidelity.driving import request_of
from benchmarks.fidelity.matrix import OWN, TWO_75
from benchmarks.fidelity.prompts import DEVELOPMENT, wanted
from benchmarks.fidelity.recall import Recall
from benchmarks.fidelity.statistics import compare
from engine.experiments.experiment import Experiment, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.measuring.similarity import psnr_pooled
from engine.models.loading import LoadedModel, load_model, scheduler_for
from engine.patching import patched
from engine.sampling.pipeline_run import run_staged
from engine.sampling.shared_start import RunMemo
from engine.schedules.latent_sizes import LatentSize
from engine.switching.noise_field import resize_dct
from engine.switching.policies import POLICIES, Policy, policy_named
from engine.switching.sigma_tables import reshift
from engine.switching.switches import SWITCHES, Switch, coherent

RAISED = 4 / 3  # what shift + 1 multiplies a shift of 3 by
TOLD = (0.8, 1.0, 1.25)  # of the small stage's exact shift, to look whether it answers best when told another level
NUMBERS = "mean of PSNR of all frames, dB"


@dataclass(frozen=True)
class Moved:
    """What the shifts of the small stages and of the last one are multiplied by; `low` None: their true rate."""

    low: float | None
    last: float

    def __call__(self, shift: float, sizes: Sequence[LatentSize]) -> tuple[float, ...]:
        return (*(size.ratio if self.low is None else self.low for size in sizes[:-1]), self.last)


def level_left(s: Switch) -> Tensor:
    """`coherent` at the level just left, which is what LightX2V does."""
    return coherent(replace(s, new=[*s.new[: s.step + 1], s.sigma, *s.new[s.step + 2 :]]))


def named(name: str, low: float | None, last: float) -> Policy:
    return replace(POLICIES[OWN], name=name, shift_ratios=Moved(low, last))


LEFT = "level left"
VARIANTS: dict[str, tuple[Policy, str]] = {
    "exact sigma": (POLICIES[OWN], TWO_75),
    "shift + 1 (`coherent@+1`)": (policy_named(f"{OWN}@+1"), TWO_75),
    "shift + 2 (`coherent@+2`)": (policy_named(f"{OWN}@+2"), TWO_75),
    "one table (`coherent@none`): the small stage's shift alone": (policy_named(f"{OWN}@none"), TWO_75),
    "the last stage's shift alone, times 4/3": (named(OWN, None, RAISED), TWO_75),
    "the last stage's shift alone, times 3/4": (named(OWN, None, 1 / RAISED), TWO_75),
    "LightX2V's whole rule: shift + 1, the level just left": (replace(policy_named(f"{OWN}@+1"), name=LEFT), TWO_75),
    "exact sigma, the level just left": (replace(POLICIES[OWN], name=LEFT), TWO_75),
    "exact sigma, a switch after 45 %": (POLICIES[OWN], "0.75@45%"),
    "exact sigma, a switch after 40 %": (POLICIES[OWN], "0.75@40%"),
    "exact sigma, a switch after 35 %": (POLICIES[OWN], "0.75@35%"),
}
FLAT_RAISED = "full size at every step, its shift times 4/3"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--steps", type=int, nargs="+", default=[20, 6])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model("emoji-wan", device="cpu", dtype="bfloat16")
    for steps in options.steps:
        rules(model, steps, options.prompts)
    answers(model, options.steps[0], options.prompts)


def asked(model: LoadedModel, steps: int, prompts: int) -> Iterator[Experiment]:
    for k, one in enumerate(wanted(prompts, DEVELOPMENT)):
        yield make_experiment(model.spec, [], Settings(prompt=one.prompt, seed=k % 4, steps=steps))


def rules(model: LoadedModel, steps: int, prompts: int) -> None:
    """Every variant's closeness, and its paired difference to the exact rule."""
    found: dict[str, dict[str, float]] = {name: {} for name in (*VARIANTS, FLAT_RAISED)}
    for experiment in asked(model, steps, prompts):
        recall, memo = Recall(model.pipe.transformer), RunMemo()
        key = f"{experiment.prompt} {experiment.seed}"
        with recall.on(), patch.dict(SWITCHES, {LEFT: level_left}):
            base = frames(model, experiment, POLICIES[OWN], None, memo)
            for name, (policy, short) in VARIANTS.items():
                got = frames(model, experiment, policy, short, memo)
                found[name][key] = psnr_pooled(got, base).mean or 0.0
            assert experiment.shift is not None
            raised = replace(experiment, shift=experiment.shift * RAISED)
            got = frames(model, raised, POLICIES[OWN], None, RunMemo())
            found[FLAT_RAISED][key] = psnr_pooled(got, base).mean or 0.0
    print(f"\n| {steps} steps, {prompts} prompts | {NUMBERS} | less the exact sigma's |\n|---|---|---|")
    for name, values in found.items():
        one = compare(values, found["exact sigma"])
        half = one.difference.high - one.difference.mean if one else 0.0
        told = f"{one.difference.mean:+.2f} ± {half:.2f}" if one and name in VARIANTS else "–"
        print(f"| {name} | {np.mean(list(values.values())):.2f} | {told} |", flush=True)


def frames(model: LoadedModel, experiment: Experiment, policy: Policy, short: str | None, memo: RunMemo) -> np.ndarray:
    """A run's frames; with `short` None the baseline's."""
    steps, pipe = experiment.steps, model.pipe
    schedule = load_preset(short, steps).schedule if short else experiment.baseline.schedule
    with patched(pipe, scheduler=scheduler_for(pipe, None, experiment.shift)):
        return run_staged(request_of(model, experiment, schedule, policy), memo=memo).frames


@torch.no_grad()
def answers(model: LoadedModel, steps: int, prompts: int) -> None:
    """How far the small x0 is from the full one's low band, in dB of that band's power, by level on the full path."""
    errors: dict[float, list[list[float]]] = {}
    for experiment in asked(model, steps, prompts):
        small = experiment.sizes(load_preset(TWO_75, steps).schedule)[0]
        network = Guided(model, experiment)
        for x, v, sigma in path(model, experiment):
            aim = resize_dct(x - sigma * v, small.hw)
            jump = small.ratio / (1 + (small.ratio - 1) * sigma)
            low = jump * resize_dct(x, small.hw) / small.ratio  # `resize_dct` keeps the mean, the jump coefficients
            row = [error(low - jump * sigma * network(low, moved(jump * sigma, told)), aim) for told in TOLD]
            errors.setdefault(sigma, []).append(row)
    head = " | ".join("its own level" if factor == 1 else f"shift times {factor:g}" for factor in TOLD)
    print(f"\n| sigma at full size | {head} |\n|---|" + "---|" * len(TOLD))
    for sigma, rows in errors.items():
        print(f"| {sigma:.3f} | " + " | ".join(f"{value:.1f}" for value in np.mean(rows, axis=0)) + " |", flush=True)


def moved(sigma: float, ratio: float) -> float:
    return float(reshift(torch.tensor(sigma, dtype=torch.float64), ratio))


def error(answer: Tensor, aim: Tensor) -> float:
    """Power of the difference over the aim's, in dB."""
    return float(10 * torch.log10((answer - aim).var() / aim.var()))


def path(model: LoadedModel, experiment: Experiment) -> list[tuple[Tensor, Tensor, float]]:
    """State, guided velocity (both (1, C, T, H, W) float32) and level of every step of the baseline."""
    seen: list[tuple[Tensor, Tensor, float]] = []

    def see(x: Tensor, velocity: Tensor, sigma: float) -> None:
        seen.append((x.float().clone(), velocity.float().clone(), sigma))

    with patched(model.pipe, scheduler=scheduler_for(model.pipe, None, experiment.shift)):
        run_staged(request_of(model, experiment, experiment.baseline.schedule, OWN), watch=see)
    return seen


class Guided:
    """The network's guided velocity for one prompt, at any size."""

    def __init__(self, model: LoadedModel, experiment: Experiment) -> None:
        self._pipe, self._guidance = model.pipe, experiment.guidance
        self._texts = model.pipe.encode_prompt(
            experiment.prompt,
            experiment.negative_prompt,
            max_sequence_length=model.spec.defaults.max_sequence_length,
        )

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """The velocity of x (1, C, T, h, w), told a level."""
        network, time = self._pipe.transformer, torch.tensor([int(1000 * sigma)])
        asked, empty = (
            network(x.to(network.dtype), time, text.to(network.dtype), return_dict=False)[0].float()
            for text in self._texts
        )
        return empty + self._guidance * (asked - empty)


if __name__ == "__main__":
    main()
