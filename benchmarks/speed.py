"""Time of the shipped model: schedules against the baseline, and what driving costs. `python -m benchmarks.speed`.

Runs are interleaved (baseline, schedule, schedule, schedule, and again), so that a machine whose speed drifts does not
favour one of them; medians over the rounds. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.fidelity import run
from benchmarks.schedules import study_schedules
from engine.cost import schedule_cost
from engine.experiment import Experiment, make_experiment
from engine.meter import wait_for
from engine.models.loading import LoadedModel, load_model, scheduler_for
from engine.outcome import environment
from engine.schedule import flat
from engine.staged import TextMemo
from engine.views import patched


def schedules_against_baseline(model: LoadedModel, experiment: Experiment, rounds: int) -> list[dict[str, Any]]:
    """Median seconds of each schedule's denoising loop, its speed-up, and the one that FLOPs predict."""
    todo = {"baseline": flat(experiment.steps)} | study_schedules(experiment.steps)
    memo = TextMemo()
    times: dict[str, list[float]] = {name: [] for name in todo}
    whole: dict[str, list[float]] = {name: [] for name in todo}
    for number in range(rounds + 1):
        for name, schedule in todo.items():
            readings = run(model, experiment, schedule, "coherent", memo).readings
            if number:  # the first round warms every size up
                times[name].append(readings.denoise_s)
                whole[name].append(readings.denoise_s + readings.decode_s)
    result = []
    for name, schedule in todo.items():
        ratios = [base / mine for base, mine in zip(times["baseline"], times[name], strict=True)]
        by_flops = schedule_cost(
            experiment.spec, schedule, height=experiment.height, width=experiment.width, frames=experiment.frames,
            guidance=experiment.guidance,
        ).speedup  # fmt: skip
        measured = statistics.median(ratios)
        result.append(
            {
                "schedule": name,
                "denoise_s": statistics.median(times[name]),
                "denoise_and_decode_s": statistics.median(whole[name]),
                "speedup": measured,
                "by_flops": by_flops,
                "share": measured / by_flops,
            }
        )
    return result


def flat_overhead(model: LoadedModel, experiment: Experiment, rounds: int) -> dict[str, float]:
    """A flat run against the untouched pipeline call, whole calls in pairs: their ratio, and its spread."""
    call = experiment.call() | {"height": experiment.height, "width": experiment.width, "output_type": "np"}
    embeds = model.pipe.encode_prompt(
        experiment.prompt, experiment.negative_prompt, max_sequence_length=call["max_sequence_length"]
    )
    memo, bare, driven = TextMemo([embeds]), [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        run(model, experiment, flat(experiment.steps), "coherent", memo)
        wait_for(model.device)
        driven.append(time.perf_counter() - begun)
        with patched(model.pipe, encode_prompt=lambda **_: embeds):
            begun = time.perf_counter()
            generator = torch.Generator("cpu").manual_seed(experiment.seed)
            model.pipe(**call, num_inference_steps=experiment.steps, generator=generator)
            wait_for(model.device)
            bare.append(time.perf_counter() - begun)
    ratios = sorted(a / b for a, b in zip(driven, bare, strict=True))
    return {
        "untouched_s": statistics.median(bare),
        "driven_s": statistics.median(driven),
        "ratio_median": statistics.median(ratios),
        "ratio_min": ratios[0],
        "ratio_max": ratios[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji-wan")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--out", type=Path, default=Path("out/speed.json"))
    options = parser.parse_args()
    model = load_model(options.model)
    prompt = (model.spec.examples or ("a test",))[0]
    experiment = make_experiment(model.spec, [], prompt=prompt, seed=0, steps=options.steps)
    with patched(model.pipe, scheduler=scheduler_for(model.pipe, None, experiment.shift)):
        table = schedules_against_baseline(model, experiment, options.rounds)
        overhead = flat_overhead(model, experiment, options.rounds)
    result = {
        "environment": environment(model).model_dump(),
        "steps": experiment.steps,
        "schedules": table,
        "flat": overhead,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print("| schedule | denoise s | with decoding s | speed-up | by FLOPs | share |\n|---|---|---|---|---|---|")
    for row in table:
        print(
            f"| {row['schedule']} | {row['denoise_s']:.2f} | {row['denoise_and_decode_s']:.2f} | "
            f"{row['speedup']:.2f} | {row['by_flops']:.2f} | {row['share']:.2f} |"
        )
    print(
        f"\nFlat, driven / untouched: {overhead['ratio_median']:.4f} "
        f"({overhead['ratio_min']:.4f}..{overhead['ratio_max']:.4f})"
    )


if __name__ == "__main__":
    main()
