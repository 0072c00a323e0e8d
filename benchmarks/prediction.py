"""Predicted and measured seconds of every preset, after one calibrating baseline. `python -m benchmarks.prediction`.

One ordinary comparison: the baseline runs, a few steps are timed at other sizes, and all presets are predicted from
that alone; then they run. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.comparing.comparison import compare
from engine.comparing.listeners import Silent
from engine.comparing.run_entry import environment
from engine.costs.prediction import CostModel, Prediction
from engine.costs.timings import HW, Probe, Timings, timing_key
from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.presets import load_preset, preset_names
from engine.experiments.settings import Settings
from engine.models.loading import LoadedModel, load_model
from engine.reports.schema import Run
from engine.switching.policies import DEFAULT_POLICY, policy_named


class Foresight(Silent):
    """Learns from the baseline and its probes only, then predicts; also the comparison's learner."""

    def __init__(self, experiment: Experiment, model: LoadedModel) -> None:
        made_with, given = environment(model), experiment.conditions.roles
        key = timing_key(experiment.spec, experiment.frames, experiment.guidance, made_with, given)
        self.experiment, self.timings = experiment, Timings(key=key)
        self.predicted: dict[str, Prediction] = {}

    def has(self, size: HW) -> bool:
        return self.timings.has(size)

    def probed(self, probes: Sequence[Probe]) -> None:
        self.timings = self.timings.with_probes(probes)

    def run_ended(self, run: Run) -> None:
        if self.predicted:
            return
        self.timings, asked = self.timings.with_run(run), self.experiment
        size, given = (asked.height, asked.width, asked.frames), asked.conditions.roles
        costs = CostModel(asked.spec, self.timings, *size, asked.guidance, conditions=given)
        self.predicted = {
            track.name: costs.seconds(track.schedule, asked.steps) for track in (asked.baseline, *asked.tracks)
        }


Row = dict[str, Any]
HEAD = "| preset | denoise s, predicted | measured | error | whole run s, predicted | measured | error |"


def rows(model: LoadedModel, experiment: Experiment, out: Path) -> list[Row]:
    """Predicted and measured seconds by preset, and the errors as shares of the measured."""
    foresight = Foresight(experiment, model)
    report = compare(experiment, model, out, foresight, noise_floor=False, learner=foresight)
    found = []
    for run in report.runs[1:]:
        predicted = foresight.predicted[run.name]
        row: Row = {"preset": run.name, "source": predicted.source}
        for name in ("denoise_s", "total_s"):
            guess, real = getattr(predicted, name), getattr(run.latency, name)
            low, high = predicted.interval(guess) or (0.0, 0.0)
            row |= {f"{name}_predicted": guess, name: real, f"{name}_error": guess / real - 1}
            row |= {f"{name}_interval": (low, high), f"{name}_inside": low <= real <= high}
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji-wan")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument(
        "--rounds", type=int, default=1, help="independent calibrations, each with all presets after it"
    )
    parser.add_argument("--out", type=Path, default=Path("out/prediction"))
    options = parser.parse_args()
    model = load_model(options.model)
    names, policy = preset_names(), policy_named(DEFAULT_POLICY)
    tracks = [
        Track(name, load_preset(name, options.steps).schedule.with_steps(options.steps), policy) for name in names
    ]
    prompt = (model.spec.examples or ("a test",))[0]
    experiment = make_experiment(model.spec, tracks, Settings(prompt=prompt, seed=0, steps=options.steps))
    results = []
    for number in range(options.rounds):
        table = rows(model, experiment, options.out / str(number))
        results.append(table)
        print(f"\nRound {number + 1}\n\n{HEAD}\n|---|---|---|---|---|---|---|")
        for row in table:
            print(
                "| {preset} | {denoise_s_predicted:.2f} | {denoise_s:.2f} | {denoise_s_error:+.1%} "
                "| {total_s_predicted:.2f} | {total_s:.2f} | {total_s_error:+.1%} |".format_map(row),
                flush=True,
            )
    every = [row for table in results for row in table]
    for name, told in (("denoise_s", "the denoising loop"), ("total_s", "the whole run")):
        inside = sum(row[f"{name}_inside"] for row in every)
        print(f"\n{inside} of {len(every)} measured times of {told} lie inside the 90 % interval that was predicted.")
    document = {"environment": environment(model).model_dump(), "rounds": results}
    (options.out / "prediction.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
