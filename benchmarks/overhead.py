"""What a comparison costs beside its denoising, encoding and decoding. `python -m benchmarks.overhead`.

A comparison of the baseline and three tracks is run several times in one process, as the studio's worker runs them: the
first pays for what is done once a process (kernels chosen, sizes warmed up, FLOPs counted), the others show what every
comparison costs. Encoding is the text's and the run's video; heat-maps, metrics, stills, the report and its page are
the rest. A heat-map is a video too, so comparisons are run without them as well: that is the rest without their
encoding. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

from benchmarks.schedules import NAMES
from benchmarks.speed import Watch
from engine.comparing.comparison import compare
from engine.comparing.result_files import ResultFiles
from engine.comparing.run_entry import environment
from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.models.loading import LoadedModel, load_model
from engine.switching.policies import DEFAULT_POLICY, policy_named


def one(model: LoadedModel, experiment: Experiment, heat: bool = True) -> dict[str, float]:
    """Seconds of one comparison, with or without heat-maps: in all, and of its phases as the report has them."""
    written = nullcontext() if heat else patch.object(ResultFiles, "heat", return_value=None)
    with tempfile.TemporaryDirectory() as folder, written:
        begun = time.perf_counter()
        report = compare(experiment, model, Path(folder), noise_floor=False)
        wall = time.perf_counter() - begun
    phases = [run.latency for run in report.runs]
    parts = {
        "denoise_s": sum(p.denoise_s or 0.0 for p in phases),
        "decode_s": sum(p.decode_s or 0.0 for p in phases),
        "encode_s": sum((p.encode_s or 0.0) + (p.condition_s or 0.0) for p in phases) + (phases[0].text_s or 0.0),
    }
    return {"wall_s": wall, **parts, "overhead": wall / sum(parts.values()) - 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji-wan")
    parser.add_argument("--rounds", type=int, default=5, help="comparisons, after the first")
    parser.add_argument("--out", type=Path, default=Path("out/overhead.json"))
    options = parser.parse_args()
    watch, model = Watch(), load_model(options.model)
    steps = model.spec.defaults.steps
    tracks = [Track(name, load_preset(s, steps).schedule, policy_named(DEFAULT_POLICY)) for name, s in NAMES.items()]
    prompt = (model.spec.examples or ("a test",))[0]
    experiments = [
        make_experiment(model.spec, tracks, Settings(prompt=prompt, seed=seed)) for seed in range(options.rounds + 1)
    ]
    rounds, bare = [one(model, experiments[0])], []
    for experiment in experiments[1:]:
        rounds.append(one(model, experiment))
        bare.append(one(model, experiment, heat=False))
    later = statistics.median(found["overhead"] for found in rounds[1:])
    without = statistics.median(found["overhead"] for found in bare)
    result = {
        "environment": environment(model).model_dump(),
        "processor_share_of_others": watch.others(),
        "rounds": rounds,
        "rounds_without_heat_maps": bare,
        "overhead_first": rounds[0]["overhead"],
        "overhead_median": later,
        "overhead_median_without_heat_maps": without,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print("| comparison | wall s | denoise s | decode s | encode s | beside them |\n|---|---|---|---|---|---|")
    for number, found in enumerate(rounds):
        cells = " | ".join(f"{found[key]:.2f}" for key in ("wall_s", "denoise_s", "decode_s", "encode_s"))
        print(f"| {number + 1} | {cells} | {found['overhead']:.1%} |")
    print(f"\nMedian after the first {later:.1%}, without heat-maps {without:.1%}.")
    print(f"Others took {result['processor_share_of_others']:.0%} of the machine; ffmpeg counts among them.")


if __name__ == "__main__":
    main()
