"""How close every policy stays to the full-resolution baseline, on the shipped model. `python -m benchmarks.fidelity`.

Every run is appended to a JSON-lines file as it ends, so the study resumes where it was stopped. The baseline of each
prompt and seed is computed once a session of that pair. Tables are printed as Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.schedules import study_schedules
from engine.experiment import Experiment, make_experiment
from engine.memo import RunMemo
from engine.metrics import Metric, psnr, ssim, vmaf
from engine.models.loading import LoadedModel, load_model, scheduler_for
from engine.policies import POLICIES, policy_named
from engine.request import StagedRequest, StagedResult
from engine.schedule import ResolutionSchedule
from engine.staged import run_staged
from engine.views import patched

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
METRICS = {"psnr": psnr, "ssim": ssim, "vmaf": vmaf}


def run(
    model: LoadedModel, experiment: Experiment, schedule: ResolutionSchedule, policy: str, memo: RunMemo
) -> StagedResult:
    """One run of an experiment's prompt and seed."""
    request = StagedRequest(
        pipe=model.pipe,
        family=experiment.spec.family,
        call=experiment.call(),
        schedule=schedule,
        policy=policy_named(policy),
        sizes=experiment.sizes(schedule),
        geometry=experiment.spec.geometry,
        seed=experiment.seed,
    )
    return run_staged(request, memo=memo)


def study(model: LoadedModel, pairs: Iterable[tuple[str, int]], steps: int, out: Path) -> None:
    """Run whatever is not in the file yet, for pairs of prompt and seed."""
    done = {(row["prompt"], row["seed"], row["schedule"], row["policy"]) for row in rows(out)}
    schedules = study_schedules(steps)
    with out.open("a", encoding="utf-8") as file:
        for prompt, seed in pairs:
            todo = [(n, p) for n in schedules for p in POLICIES if (prompt, seed, n, p) not in done]
            for row in one_pair(model, prompt, seed, steps, todo) if todo else ():
                file.write(json.dumps(row) + "\n")
                file.flush()


def one_pair(
    model: LoadedModel, prompt: str, seed: int, steps: int, todo: list[tuple[str, str]]
) -> Iterable[dict[str, Any]]:
    """All missing runs of one prompt and seed, against their baseline."""
    experiment = make_experiment(model.spec, [], prompt=prompt, seed=seed, steps=steps)
    memo, schedules = RunMemo(), study_schedules(steps)
    with patched(model.pipe, scheduler=scheduler_for(model.pipe, None, experiment.shift)):
        base = run(model, experiment, experiment.baseline.schedule, "coherent", memo)
        for name, policy in todo:
            result = run(model, experiment, schedules[name], policy, memo)
            scores = {key: compute(result.frames, base.frames, experiment.fps) for key, compute in METRICS.items()}
            yield {
                "prompt": prompt,
                "seed": seed,
                "schedule": name,
                "policy": policy,
                "denoise_s": result.readings.denoise_s,
                "contrast": float(np.std(result.frames) / np.std(base.frames)),
                **{key: score.mean if isinstance(score, Metric) else None for key, score in scores.items()},
            }
        print(f"{prompt!r} seed {seed}: done", flush=True)


def other_seeds(model: LoadedModel, prompts: Iterable[str], steps: int) -> str:
    """How alike two baselines of one prompt and different seeds are: what an unrelated picture scores."""
    found = []
    for prompt in prompts:
        frames = []
        for seed in (0, 1):
            experiment = make_experiment(model.spec, [], prompt=prompt, seed=seed, steps=steps)
            with patched(model.pipe, scheduler=scheduler_for(model.pipe, None, experiment.shift)):
                frames.append(run(model, experiment, experiment.baseline.schedule, "coherent", RunMemo()).frames)
        found.append({key: compute(frames[1], frames[0], 8).mean for key, compute in METRICS.items()})
    return ", ".join(f"{key} {cell(found, key, 2)}" for key in METRICS)


def rows(out: Path) -> list[dict[str, Any]]:
    """The finished runs."""
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.exists() else []


def tables(found: list[dict[str, Any]], steps: int) -> str:
    """Mean ± standard error by schedule and policy."""
    pairs = {(row["prompt"], row["seed"]) for row in found}
    lines = [f"{len({p for p, _ in pairs})} prompts, {len(pairs)} prompt-seed pairs, {steps} steps.", ""]
    for name in study_schedules(steps):
        lines += [
            f"**{name}**",
            "",
            "| policy | PSNR dB | SSIM | VMAF | contrast | denoise s |",
            "|---|---|---|---|---|---|",
        ]
        for policy in POLICIES:
            mine = [row for row in found if row["schedule"] == name and row["policy"] == policy]
            cells = [cell(mine, "psnr", 1), cell(mine, "ssim", 3), cell(mine, "vmaf", 1), cell(mine, "contrast", 2)]
            lines.append(f"| `{policy}` | " + " | ".join(cells) + f" | {cell(mine, 'denoise_s', 2)} |")
        lines.append("")
    return "\n".join(lines)


def cell(found: list[dict[str, Any]], key: str, digits: int) -> str:
    values = [row[key] for row in found if row[key] is not None]
    if not values:
        return "–"
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.{digits}f} ± {error:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji-wan")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="how many of the list")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("out/fidelity.jsonl"))
    parser.add_argument("--dtype", default=None, help="float32, bfloat16; of all runs, the baseline too")
    parser.add_argument("--other-seeds", action="store_true", help="only: two baselines of different seeds")
    parser.add_argument("--part", default="1/1", help="k/n: only every n-th pair, for n processes beside each other")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch chooses")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    model = load_model(options.model, dtype=options.dtype)
    prompts = PROMPTS[: options.prompts]
    part, parts = (int(word) for word in options.part.split("/"))
    pairs = [(prompt, seed) for prompt in prompts for seed in range(options.seeds)][part - 1 :: parts]
    if options.other_seeds:
        print(other_seeds(model, prompts, options.steps))
        return
    study(model, pairs, options.steps, options.out)
    print(tables(rows(options.out), options.steps))


if __name__ == "__main__":
    main()
