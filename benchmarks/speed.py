"""Time of the shipped model: schedules against the baseline, and what driving costs. `python -m benchmarks.speed`.

Runs are interleaved (baseline, schedule, schedule, schedule, and again), so that a machine whose speed drifts does not
favour one of them. The time of a loop is the sum over its steps of each step's median over the rounds: what disturbs
one step of one round does not count, what every step costs does, the first at a new size too. Run it on an otherwise
idle machine: two threads that wait for each other are slowed many times over by a third that runs. What others took of
the processors is measured, and said.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.fidelity.driving import run
from benchmarks.schedules import study_schedules
from engine.comparing.run_entry import environment
from engine.costs.flops_count import schedule_cost
from engine.experiments.experiment import Experiment, make_experiment
from engine.experiments.settings import Settings
from engine.measuring.device import wait_for
from engine.models.loading import LoadedModel, load_model, scheduler_for
from engine.patching import patched
from engine.sampling.shared_start import RunMemo
from engine.schedules.schedule import ResolutionSchedule, flat
from engine.switching.policies import DEFAULT_POLICY


def schedules_against_baseline(model: LoadedModel, experiment: Experiment, rounds: int) -> list[dict[str, Any]]:
    """Seconds of each schedule's denoising loop, its speed-up, and the one that FLOPs predict."""
    todo = {"baseline": flat(experiment.steps)} | study_schedules(experiment.steps)
    memo = RunMemo()
    steps: dict[str, list[tuple[float, ...]]] = {name: [] for name in todo}
    decoding: dict[str, list[float]] = {name: [] for name in todo}
    for number in range(rounds + 1):
        for name, schedule in todo.items():
            readings = run(model, experiment, schedule, DEFAULT_POLICY, memo).readings
            if number:  # the first round warms every size up
                steps[name].append(readings.steps_s)
                decoding[name].append(readings.decode_s)
    baseline = loop_seconds(steps["baseline"])
    result = []
    for name, schedule in todo.items():
        mine, by_flops = loop_seconds(steps[name]), _by_flops(experiment, schedule)
        result.append(
            {
                "schedule": name,
                "denoise_s": mine,
                "denoise_and_decode_s": mine + statistics.median(decoding[name]),
                "denoise_s_of_rounds": [sum(run) for run in steps[name]],
                "speedup": baseline / mine,
                "by_flops": by_flops,
                "share": baseline / mine / by_flops,
            }
        )
    return result


def loop_seconds(rounds: Sequence[Sequence[float]]) -> float:
    """Seconds of a loop from the seconds of its steps in every round: the sum over the steps of their medians."""
    return sum(statistics.median(step) for step in zip(*rounds, strict=True))


def _by_flops(experiment: Experiment, schedule: ResolutionSchedule) -> float:
    return schedule_cost(
        experiment.spec, schedule, height=experiment.height, width=experiment.width, frames=experiment.frames,
        guidance=experiment.guidance,
    ).speedup  # fmt: skip


class Watch:
    """How much of the processors others took since it was made: other processes and, where told, other guests."""

    def __init__(self) -> None:
        self._times, self._own = psutil.cpu_times(), time.process_time()

    def others(self) -> float:
        """A share of all processor time, 0 to 1."""
        then, now = self._times._asdict(), psutil.cpu_times()._asdict()
        spent = {kind: now[kind] - then[kind] for kind in now if not kind.startswith("guest")}  # guests are in user
        busy = sum(seconds for kind, seconds in spent.items() if kind not in ("idle", "iowait"))
        own = time.process_time() - self._own
        return max(0.0, busy - own) / max(sum(spent.values()), 1e-9)


def flat_overhead(model: LoadedModel, experiment: Experiment, rounds: int) -> dict[str, float]:
    """A flat run against the untouched pipeline call, whole calls in pairs: their ratio, and its spread."""
    call = experiment.call() | {"height": experiment.height, "width": experiment.width, "output_type": "np"}
    embeds = model.pipe.encode_prompt(
        experiment.prompt, experiment.negative_prompt, max_sequence_length=call["max_sequence_length"]
    )
    memo, bare, driven = RunMemo([embeds]), [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        run(model, experiment, flat(experiment.steps), DEFAULT_POLICY, memo)
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
    parser.add_argument("--rounds", type=int, default=9, help="runs of each schedule, after one that warms up")
    parser.add_argument(
        "--flat-rounds", type=int, default=7, help="pairs of a flat run and the untouched call; 0: none"
    )
    parser.add_argument("--steps", type=int)
    parser.add_argument("--out", type=Path, default=Path("out/speed.json"))
    options = parser.parse_args()
    load, cores, watch = os.getloadavg()[0], os.cpu_count() or 1, Watch()
    if load > cores / 4:
        print(f"The load average is {load:.1f}: others use this machine, the figures will be rough.", file=sys.stderr)
    model = load_model(options.model)
    prompt = (model.spec.examples or ("a test",))[0]
    experiment = make_experiment(model.spec, [], Settings(prompt=prompt, seed=0, steps=options.steps))
    with patched(model.pipe, scheduler=scheduler_for(model.pipe, None, experiment.shift)):
        table = schedules_against_baseline(model, experiment, options.rounds)
        others = watch.others()
        overhead = flat_overhead(model, experiment, options.flat_rounds) if options.flat_rounds else None
    result = {
        "environment": environment(model).model_dump(),
        "steps": experiment.steps,
        "rounds": options.rounds,
        "load_average_before": load,
        "processor_share_of_others": others,
        "schedules": table,
        "flat": overhead,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print("| schedule | denoise s | with decoding s | speed-up | by FLOPs | share |\n|---|---|---|---|---|---|")
    for line in table:
        print(
            f"| {line['schedule']} | {line['denoise_s']:.2f} | {line['denoise_and_decode_s']:.2f} | "
            f"{line['speedup']:.2f} | {line['by_flops']:.2f} | {line['share']:.2f} |"
        )
    print(f"\n{options.rounds} rounds; load average before {load:.1f}; others took {others:.0%} of the processors.")
    if overhead:
        print(
            f"Flat, driven / untouched: {overhead['ratio_median']:.4f} "
            f"({overhead['ratio_min']:.4f}..{overhead['ratio_max']:.4f})"
        )


if __name__ == "__main__":
    main()
