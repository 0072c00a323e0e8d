"""What the parts of the hierarchical patch model cost and give, beside the paper's figures in docs/hpdm.md.

    python -m benchmarks.hpdm adaptive      # a training step with adaptive computation and without: FLOPs, bytes, time
    python -m benchmarks.hpdm memory        # peak activations against the size of the video; a full-resolution RIN
    python -m benchmarks.hpdm cache         # the same video with the context cache off, on the device, on the CPU
    python -m benchmarks.hpdm seams         # overlap none, spatial, full: seams, disagreement of neighbours, time

Each writes runs/hpdm-bench/NAME.json and shows what is there; `--again` measures anew. Bytes are of live tensors, exact
on any machine; seconds are of the CPU, the fastest of rounds that take turns. The ablation is
`python -m benchmarks.hpdm_ablation`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.live_bytes import LiveBytes
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.hpdm_model import Hpdm, LevelInput
from engine.hpdm.nested_patches import draw_offsets
from engine.hpdm.pyramid_run import run_hpdm
from engine.hpdm.sampling_request import make_request
from engine.hpdm.seams import disagreement, seam_ratio
from engine.hpdm.tile_sampler import Cascade, Sampling, sample_levels
from engine.hpdm.weights_folder import load_hpdm
from training.data import Scenes
from training.hpdm_data import HELD_OUT, Clips
from training.recipes import HPDM_RECIPES
from training.runtime import write_atomic

FOLDER = Path("runs/hpdm-bench")
Row = dict[str, Any]


def shape(name: str, **changes: Any) -> HpdmConfig:
    """A recipe's model with made-up labels, for costs that do not depend on the weights."""
    labels = {"emoji": tuple("abcdefgh"), "motion": tuple("ijk")}
    return replace(HPDM_RECIPES[name].model, conditions=labels, **changes)


def inputs(config: HpdmConfig, batch: int) -> list[LevelInput]:
    """Nested random patches, one a level and video."""
    offsets = draw_offsets(config, batch, np.random.default_rng(0))
    labels = torch.zeros(batch, len(config.conditions), dtype=torch.long)
    return [LevelInput(torch.randn(batch, 3, *config.patch), torch.rand(batch), o, labels) for o in offsets]


def training_step(model: Hpdm, given: list[LevelInput]) -> None:
    """Forward and backward, no update."""
    torch.stack([(v - 1).square().mean() for v, _ in model(given)]).sum().backward()
    model.zero_grad(set_to_none=True)


def peak(work: Callable[[], object]) -> int:
    """Bytes alive at once of all that the work makes."""
    with LiveBytes() as live:
        work()
    return live.peak


def fastest(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """CPU seconds of each, the fastest of rounds that take turns; the first round does not count."""
    best = dict.fromkeys(works, float("inf"))
    for n in range(rounds + 1):
        for name, work in works.items():
            begun = time.process_time()
            work()
            if n:
                best[name] = min(best[name], time.process_time() - begun)
    return best


def adaptive(options: argparse.Namespace) -> list[Row]:
    """Levels per block 1/1/2/2/3/3 against 3 everywhere."""
    rows = []
    for name in ("xs", "mini"):
        models = {k: Hpdm(shape(name, **c)) for k, c in (("adaptive", {}), ("full", {"level_blocks": (3,) * 6}))}
        given = inputs(models["full"].config, options.batch)
        works = {k: partial(training_step, m, given) for k, m in models.items()}
        seconds = fastest(works, options.rounds)
        for k, model in models.items():
            with FlopCounterMode(display=False) as flops:
                training_step(model, given)
            row = {"model": name, "computation": k, "batch": options.batch, "gflop": flops.get_total_flops() / 1e9}
            rows.append(row | {"mib": peak(works[k]) / 2**20, "seconds": seconds[k]})
    for a, f in zip(rows[::2], rows[1::2], strict=True):
        a |= {"memory_saved": 1 - a["mib"] / f["mib"], "throughput_gained": f["seconds"] / a["seconds"] - 1}
    return rows


@torch.no_grad()
def memory(options: argparse.Namespace) -> list[Row]:
    """One denoising pass over the whole canvas with a warm cache, and one training step, at each size."""
    config = shape("xs", levels=4, level_blocks=(1, 2, 2, 3, 3, 4), input_scales=(1, 0.5, 0.25, 0.125))
    model, labels, rows = Hpdm(config).eval(), torch.zeros(1, 2, dtype=torch.long), []
    cascade = Cascade(model, labels, Sampling((1,) * 4, "spatial", "device", tile_batch=options.batch))
    for level in range(config.levels):
        sampler, z = cascade.sampler(level), cascade.noise(level)
        sampler.denoise(z, 1.0)  # fills the cache
        row: Row = {"size": "x".join(map(str, config.size(level))), "tiles": len(sampler.tiles)}
        row["tile_mib"] = peak(partial(sampler.denoise, z, 0.8, remember=False)) / 2**20
        row["cache_mib"], row["canvas_mib"] = cascade.cache.bytes / 2**20, z.nbytes / 2**20
        row["hpdm_train_mib"] = _train_peak(replace(config, **_first(config, level + 1)))
        whole = replace(config, patch=config.size(level), levels=1, level_blocks=(1,) * 6, input_scales=(1.0,))
        row["full_mib"] = peak(lambda c=whole: Hpdm(c)(inputs(c, 1))) / 2**20  # type: ignore[misc]
        row["full_train_mib"] = _train_peak(whole)
        rows.append(row)
        cascade.finish(level, z)
    return rows


def _first(config: HpdmConfig, levels: int) -> Row:
    """Changes that leave a config its first levels."""
    blocks = tuple(min(n, levels) for n in config.level_blocks)
    return {"levels": levels, "level_blocks": blocks, "input_scales": config.input_scales[:levels]}


@torch.enable_grad()
def _train_peak(config: HpdmConfig) -> float:
    model, given = Hpdm(config), inputs(config, 1)
    return peak(lambda: training_step(model, given)) / 2**20


def cache(options: argparse.Namespace) -> list[Row]:
    """The shipped model, one prompt, three caches."""
    model, results = load_hpdm(options.model), {}
    prompt = f"a {model.config.conditions['emoji'][0]}"

    def go(kind: str) -> None:
        request = make_request(
            model.config, prompt=prompt, cache=kind, steps=tuple(options.steps), memory_mib=options.memory_mib
        )
        results[kind] = run_hpdm(model, request)

    seconds = fastest({kind: partial(go, kind) for kind in ("off", "device", "cpu")}, options.rounds)
    rows = []
    for kind, result in results.items():
        apart = max(
            float((a.video - b.video).abs().max()) for a, b in zip(result.levels, results["off"].levels, strict=True)
        )
        row = {"cache": kind, "seconds": seconds[kind], "context_passes": result.contexts}
        rows.append(row | {"kept_mib": result.cache_bytes / 2**20, "largest_difference_to_off": apart})
    return rows


@torch.no_grad()
def seams(options: argparse.Namespace) -> list[Row]:
    """Samples of held-out labels with each overlap; the first row is real clips."""
    model, recipe = load_hpdm(options.model), HPDM_RECIPES["xs"]
    clips = Clips(recipe, Scenes.open(recipe.scenes), HELD_OUT, options.videos)
    real = clips.pixels.float() / 127.5 - 1
    rows: list[Row] = [{"overlap": "real clips", "seam_ratio": _mean([seam_ratio(v, model.config) for v in real])}]
    top = model.config.levels - 1
    for overlap in ("none", "spatial", "full"):
        how = Sampling(tuple(options.steps), overlap, "device", options.guidance, tile_batch=64)
        begun = time.process_time()
        videos = sample_levels(model, clips.labels, how, seed=options.seed)
        row: Row = {"overlap": overlap, "seconds_a_video": (time.process_time() - begun) / len(videos[0])}
        row["seam_ratio"] = _mean([seam_ratio(v, model.config) for v in videos[top]])
        across = Cascade(model, clips.labels, replace(how, overlap="full", guidance=1.0), options.seed)
        for level in range(top):
            across.finish(level, videos[level])
        row["disagreement"] = disagreement(across.sampler(top), videos[top], 1.2, across.noise(top))
        rows.append(row)
        print(row, flush=True)
    return rows


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def show(rows: list[Row]) -> None:
    """A table in Markdown."""
    names = list(dict.fromkeys(k for row in rows for k in row))
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for row in rows:
        cells = (row.get(k) for k in names)
        print("| " + " | ".join(f"{c:.4g}" if isinstance(c, float) else str(c or "") for c in cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    works = {"adaptive": adaptive, "memory": memory, "cache": cache, "seams": seams}
    parser.add_argument("what", choices=works)
    parser.add_argument("--model", type=Path, default=Path("weights/emoji-hpdm"))
    parser.add_argument("--again", action="store_true", help="measure anew")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs=3, default=[32, 16, 8])
    parser.add_argument("--memory-mib", type=int, default=16, help="for the tiles of a batch, in cache")
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    path = FOLDER / f"{options.what}.json"
    if options.again or not path.exists():
        rows = works[options.what](options)
        write_atomic(path, lambda part: part.write_text(json.dumps(rows, indent=1)))
    show(json.loads(path.read_text()))


if __name__ == "__main__":
    main()
