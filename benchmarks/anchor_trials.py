"""The trials behind the constants of `anchored`: how a difference fades, and what a stage would have said next.

On development prompts alone, never on those that the study holds out. `python -m benchmarks.anchor_trials`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.fidelity.driving import run
from benchmarks.fidelity.matrix import BEST, TITLES, TWO_75, U_75
from benchmarks.fidelity.prompts import DEVELOPMENT, wanted
from benchmarks.fidelity.recall import Recall
from benchmarks.fidelity.statistics import compare
from engine.experiments.experiment import make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.measuring.similarity import psnr_pooled
from engine.models.loading import load_model, scheduler_for
from engine.patching import patched
from engine.sampling.shared_start import RunMemo
from engine.switching import anchor
from engine.switching.anchor import Anchor

STEPS = 20
NOW = "as it is"
FADES = (2, 4, 8, 12)  # beside the one of now
Next = Callable[[Anchor, float], Tensor]


def along_slope(low: float, high: float) -> Next:
    """What is foreseen lies along the last slope, by its regression on the one before within bounds."""

    def following(self: Anchor, level: float) -> Tensor:
        if len(self._seen) < 3:
            return self._seen[-1][1]
        (first, a), (second, b), (last, latest) = self._seen
        before, slope = (b - a) / (second - first), (latest - b) / (last - second)
        cells = (-3, -2, -1)
        share = (slope * before).sum(cells, keepdim=True) / before.pow(2).sum(cells, keepdim=True).clamp_min(1e-12)
        return latest + (level - last) * share.clamp(low, high) * slope

    return following


TRIALS: dict[str, tuple[int, Next | None]] = {
    NOW: (anchor.FADE, None),
    **{f"power {fade} in place of {anchor.FADE}": (fade, None) for fade in FADES},
    "foreseen: the last estimate": (anchor.FADE, along_slope(0, 0)),
    "foreseen: straight on": (anchor.FADE, along_slope(1, 1)),
    "foreseen: the regression within 0 to 1": (anchor.FADE, along_slope(0, 1)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model("emoji-wan", device="cpu", dtype="bfloat16")
    found: dict[tuple[str, str], dict[str, float]] = {}
    for k, one in enumerate(wanted(options.prompts, DEVELOPMENT)):
        experiment = make_experiment(model.spec, [], Settings(prompt=one.prompt, seed=k % 4, steps=STEPS))
        memo, recall = RunMemo(), Recall(model.pipe.transformer)
        with patched(model.pipe, scheduler=scheduler_for(model.pipe, None, experiment.shift)), recall.on():
            base = run(model, experiment, experiment.baseline.schedule, BEST, memo).frames
            for name, (fade, following) in TRIALS.items():
                for key in (TWO_75, U_75):
                    if key == TWO_75 and fade != anchor.FADE:
                        continue  # nothing fades where the resolution only grows
                    schedule = load_preset(key, STEPS).schedule
                    following_now = following or Anchor._next
                    with patch.object(anchor, "FADE", fade), patch.object(Anchor, "_next", following_now):
                        got = run(model, experiment, schedule, BEST, memo).frames
                    found.setdefault((name, key), {})[one.prompt] = psnr_pooled(got, base).mean or 0.0
    print(
        f"| {options.prompts} development prompts, {STEPS} steps | {TITLES[TWO_75]} | {TITLES[U_75]} |\n|---|---|---|"
    )
    for name in TRIALS:
        cells = [told(found.get((name, key)), found[NOW, key]) for key in (TWO_75, U_75)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def told(values: dict[str, float] | None, now: dict[str, float]) -> str:
    """Mean and worst in dB, and the paired difference to what is now with half of its interval."""
    if values is None:
        return "the same"
    text = f"{sum(values.values()) / len(values):.2f}, worst {min(values.values()):.2f}"
    one = compare(values, now)
    if values is now or one is None:
        return text
    return f"{text} ({one.difference.mean:+.2f} ± {one.difference.high - one.difference.mean:.2f})"


if __name__ == "__main__":
    main()
