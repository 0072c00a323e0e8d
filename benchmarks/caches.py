"""What feature caches save on the shipped model, and how far they lead off: docs/caches.md has the tables.

    python -m benchmarks.caches                      # every cache, flat and along a U, over three prompts
    python -m benchmarks.caches --prompts 1 --caches teacache:0.1 pab:2
    python -m benchmarks.caches --fit                # TeaCache's polynomials for the model, into its resolute.json

Seconds are of the denoising loop; PSNR is to the same schedule without a cache, the mean over frames and prompts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.caches.cache_choice import parse_shorthand
from engine.caches.recording import Recording, explained, fit_coefficients, fitted_points, recorded
from engine.comparing.comparison import compare
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.models.catalogue import find_model
from engine.models.loading import LoadedModel, load_model, scheduler_for
from engine.patching import patched
from engine.reports.schema import Report, Run
from engine.switching.policies import DEFAULT_POLICY, policy_named

CACHES = (
    *("teacache:0.05", "teacache:0.1", "teacache:0.2", "teacache:0.1,ret_steps=false"),
    *("firstblock:0.05", "firstblock:0.1", "magcache:0.03", "magcache:0.06", "seacache:0.1", "seacache:0.25"),
    *("taylorseer:3", "taylorseer:5", "pab:2", "pab:4,cross_range=6"),
)
SCHEDULES = ("flat", "u-0.75", "u-0.5")


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    model = load_model(options.model)
    if options.fit:
        _fit(model)
        return
    reports = [_compared(model, options, prompt, seed) for seed, prompt in enumerate(_prompts(model, options.prompts))]
    _print(reports, options.schedules, options.caches)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="emoji-wan")
    parser.add_argument("--prompts", type=int, default=3)
    parser.add_argument("--caches", nargs="+", default=CACHES)
    parser.add_argument("--schedules", nargs="+", default=SCHEDULES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fit", action="store_true")
    return parser.parse_args()


def _prompts(model: LoadedModel, count: int) -> Sequence[str]:
    return (model.spec.examples or ("a cat walking over grass",))[:count]


def _compared(model: LoadedModel, options: argparse.Namespace, prompt: str, seed: int) -> Report:
    policy, steps = policy_named(DEFAULT_POLICY), model.spec.defaults.steps
    tracks = []
    for name in options.schedules:
        schedule = load_preset(name, steps).schedule
        if name != "flat":  # flat without a cache is the baseline
            tracks.append(Track(name, schedule, policy))
        tracks += [Track(f"{name}+{cache}", schedule, policy, parse_shorthand(cache)) for cache in options.caches]
    experiment = make_experiment(model.spec, tracks, Settings(prompt=prompt, seed=seed))
    with tempfile.TemporaryDirectory() as folder:
        return compare(experiment, model, Path(folder), noise_floor=False)


def _print(reports: Sequence[Report], schedules: Sequence[str], caches: Sequence[str]) -> None:
    print("| schedule | cache | evaluations computed | denoising s | speed-up | by FLOPs | PSNR to uncached, dB |")
    print("|---|---|---|---|---|---|---|")
    for name in schedules:
        for cache in ("none", *caches):
            label = ("baseline" if name == "flat" else name) if cache == "none" else f"{name}+{cache}"
            runs = [next(run for run in report.runs if run.name == label) for report in reports]
            print(_line(name, cache, runs))


def _line(name: str, cache: str, runs: Sequence[Run]) -> str:
    failed = next((run for run in runs if run.status != "done"), None)
    if failed:
        return f"| {name} | {cache} | {failed.error} | | | | |"
    counts = [run.evaluations for run in runs if run.evaluations]
    computed = "..".join(str(x) for x in sorted({min(c.computed for c in counts), max(c.computed for c in counts)}))
    passes = counts[0].computed + counts[0].skipped
    seconds = statistics.median(run.latency.denoise_s or 0.0 for run in runs)
    speedup = statistics.median(run.speedup.measured or 0.0 for run in runs)
    by_flops = statistics.mean(run.speedup.by_flops or 0.0 for run in runs)
    found = [run.uncached.similarity.psnr.mean for run in runs if run.uncached]
    known = [value for value in found if value is not None]
    psnr = f"{statistics.mean(known):.1f}" if known else "–"
    return f"| {name} | {cache} | {computed} of {passes} | {seconds:.2f} | {speedup:.2f} | {by_flops:.2f} | {psnr} |"


def _fit(model: LoadedModel) -> None:
    """Record a flat run of every example, fit, and write the polynomials where `which_model` finds them."""
    recordings: list[Recording] = []
    for seed, prompt in enumerate(_prompts(model, len(model.spec.examples) or 1)):
        experiment = make_experiment(model.spec, [], Settings(prompt=prompt, seed=seed))
        scheduler = scheduler_for(model.pipe, None, experiment.shift)
        with patched(model.pipe, scheduler=scheduler), recorded(model.pipe) as recorder:
            model.pipe(
                **experiment.call(),
                height=experiment.height,
                width=experiment.width,
                num_inference_steps=experiment.steps,
                generator=torch.Generator().manual_seed(seed),
                output_type="latent",
            )
        recordings += recorder.tracks.values()
    found = fit_coefficients(recordings)
    path = Path(find_model(model.spec.id).location) / "resolute.json"
    document = json.loads(path.read_text("utf-8"))
    document["teacache"] = {"modulation": list(found.modulation), "embedding": list(found.embedding)}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(document["teacache"]))
    modulation, embedding = fitted_points(recordings)
    shares = explained(found.modulation, *modulation), explained(found.embedding, *embedding)
    print("R² {:.2f} over the modulation, {:.2f} over the embedding".format(*shares))


if __name__ == "__main__":
    main()
