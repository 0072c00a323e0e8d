"""How well the level board predicts: each kind of track by what its comparison's own baseline has taught, and measured.

    python -m benchmarks.hpdm_predict [--steps 28] [--rounds 2]

Seconds are of denoising, on this machine as it is; the table is docs/hpdm.md's.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from engine.comparing.comparison import compare
from engine.costs.level_prediction import LevelCosts
from engine.costs.timings import Timings, timing_key
from engine.experiments.experiment import make_experiment
from engine.experiments.level_tracks import level_track
from engine.experiments.settings import Settings
from engine.hpdm.level_choice import LevelChoice
from engine.models.catalogue import find_model
from engine.models.loading import load_model

MODEL, GUIDANCE = "emoji-hpdm", 2.0
CHOICES = (
    LevelChoice(3, "none"),
    LevelChoice(3, "full"),
    LevelChoice(2),
    LevelChoice(3, context="off"),
    LevelChoice(3, heun=True),
)


def main(steps: int = 28, rounds: Annotated[int, typer.Option(help="Comparisons, one after another.")] = 2) -> None:
    """Print predicted and measured seconds of every track."""
    spec = find_model(MODEL)
    assert spec.levels is not None
    model = load_model(MODEL, device="cpu")
    tracks = [level_track(choice.name(spec.levels.levels), choice, spec.levels, steps) for choice in CHOICES]
    asked = make_experiment(spec, tracks, Settings(prompt=spec.examples[0], steps=steps, guidance=GUIDANCE))
    print("| Round | Track | Predicted, s | Measured, s | Off |\n|---|---|---|---|---|")
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            report = compare(asked, model, Path(folder), noise_floor=False)
        taught = Timings(key=timing_key(spec, asked.frames, GUIDANCE, report.environment)).with_run(report.baseline)
        costs = LevelCosts(spec, taught, GUIDANCE)
        for run, track in zip(report.runs, (asked.baseline, *asked.tracks), strict=True):
            told, took = costs.seconds(track.schedule, track.levels).denoise_s, run.latency.denoise_s
            if told is not None and took is not None:
                print(f"| {number} | {run.name} | {told:.2f} | {took:.2f} | {100 * (told / took - 1):+.0f} % |")


if __name__ == "__main__":
    typer.run(main)
