"""Deep context fusion against shallow and none, several seeds each, at a small size: docs/hpdm.md has the table.

    python -m benchmarks.hpdm_ablation                       # goes on from runs/hpdm-bench/ablation.json
    python -m benchmarks.hpdm_ablation --seeds 5 --steps 1000

Every variant sees the same clips, noise and number of steps. Errors are of held-out clips, with finished levels below
as in sampling; seams are of samples with tiles side by side.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import avg_pool3d

from engine.hpdm.hpdm_model import Hpdm, LevelInput
from engine.hpdm.nested_patches import crop, draw_offsets, pyramid
from engine.hpdm.patch_noise import PHI_MIN, add_noise, net_input, x0_from_v
from engine.hpdm.seams import disagreement, seam_ratio
from engine.hpdm.tile_sampler import Cascade, Sampling, sample_levels
from training.config import HpdmRecipe
from training.data import Scenes
from training.hpdm_data import FIRST, HELD_OUT, Clips
from training.optim import split
from training.recipes import HPDM_RECIPES
from training.runtime import Ema, Run, write_atomic
from training.train_hpdm import EDGES, build, step

FUSIONS = ("dcf", "shallow", "none")
ANGLES = (0.4, 0.8, 1.2, 1.5)
HOW = Sampling((12, 8, 6), "none", "device", tile_batch=64)
RESULT = Path("runs/hpdm-bench/ablation.json")


def small(steps: int) -> HpdmRecipe:
    """`xs` at half its width, for runs of a minute; the rate decays over the last half of the steps."""
    xs = HPDM_RECIPES["xs"]
    model = replace(xs.model, dim=32, latent_dim=48, latents=12)
    return replace(xs, name="ablation", model=model, batch=8, coarse=8, clips=600, ema=0.99, minutes=steps / 60)


def trained(recipe: HpdmRecipe, clips: Clips, names: Sequence[str], fusion: str, seed: int, steps: int) -> Hpdm:
    """The averaged weights after so many steps, whatever time they take."""
    variant = replace(recipe, model=replace(recipe.model, fusion=fusion))  # type: ignore[arg-type]
    model = build(variant, names, seed)
    ticks = iter(range(1 << 30))
    optimizers = split(model, recipe.lr, recipe.muon, EDGES)
    run = Run(Path("unused"), model, optimizers, Ema(model, recipe.ema), recipe.minutes, lambda: float(next(ticks)))
    while run.step < steps:
        step(run, variant, clips, seed)
    averaged: Hpdm = run.ema.module
    return averaged


@torch.no_grad()
def errors(model: Hpdm, clips: Clips, level: int) -> dict[str, float]:
    """Mean squared error of the clean estimate of held-out patches of a level, by angle, levels below finished."""
    config, out = model.config, {}
    offsets = draw_offsets(config, len(clips.labels), np.random.default_rng(1))
    patches = [
        crop(x, o, config.patch)
        for x, o in zip(pyramid(clips.pixels.float() / 127.5 - 1, config), offsets, strict=True)
    ]
    for angle in ANGLES:
        given, generator = [], torch.Generator().manual_seed(2)
        z = patches[0]
        for k in range(level + 1):
            phi, b = torch.full((len(clips.labels),), angle if k == level else PHI_MIN), config.input_scales[k]
            z = add_noise(patches[k], torch.randn(patches[k].shape, generator=generator), phi, b)
            given.append(LevelInput(net_input(z, phi, b), phi, offsets[k], clips.labels))
        v = model(given)[level][0]
        x0 = x0_from_v(z, v, torch.full((len(z),), angle), config.input_scales[level]).clamp(-1, 1)
        out[f"{angle}"] = float((x0 - patches[level]).square().mean())
    return out | {"mean": statistics.mean(out.values())}


@torch.no_grad()
def seams(model: Hpdm, clips: Clips) -> dict[str, Any]:
    """Of samples with tiles side by side: seams, what level 2 keeps of level 1, how far neighbours disagree."""
    labels = clips.labels[:6]
    videos = sample_levels(model, labels, HOW, seed=3)
    top = len(videos) - 1
    across = Cascade(model, labels, replace(HOW, overlap="spatial"), seed=3)
    for k in range(top):
        across.finish(k, videos[k])
    return {
        "seam_ratio": statistics.mean(r for v in videos[top] if (r := seam_ratio(v, model.config)) is not None),
        "cross_level": float((avg_pool3d(videos[top], model.config.grow) - videos[top - 1]).abs().mean()),
        "disagreement": disagreement(across.sampler(top), videos[top], 1.2, across.noise(top)),
    }


def measure(
    fusion: str, seed: int, recipe: HpdmRecipe, data: tuple[Clips, Clips, Scenes], steps: int
) -> dict[str, Any]:
    """Train and measure one variant."""
    clips, held_out, scenes = data
    model = trained(recipe, clips, scenes.names, fusion, seed, steps).eval()
    found = {f"level{k}": errors(model, held_out, k) for k in (1, 2)}
    return {"fusion": fusion, "seed": seed, "steps": steps, **found, **seams(model, held_out)}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Mean and range over seeds, a variant a line."""

    def spread(values: Sequence[float]) -> str:
        return f"{statistics.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"

    out = [
        "| Fusion | Seeds | Level 1 MSE | Level 2 MSE | Seam ratio | Disagreement | Across levels |",
        "|---" * 7 + "|",
    ]
    for fusion in FUSIONS:
        own = [r for r in rows if r["fusion"] == fusion]
        if own:
            columns = [[r["level1"]["mean"] for r in own], [r["level2"]["mean"] for r in own]]
            columns += [[r[k] for r in own] for k in ("seam_ratio", "disagreement", "cross_level")]
            out.append(f"| `{fusion}` | {len(own)} | " + " | ".join(spread(c) for c in columns) + " |")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = small(options.steps)
    rows = json.loads(RESULT.read_text()) if RESULT.exists() else []
    scenes = Scenes.open(recipe.scenes)
    data = Clips(recipe, scenes, FIRST, recipe.clips), Clips(recipe, scenes, HELD_OUT, 96), scenes
    for seed in range(options.seeds):
        for fusion in FUSIONS:
            if not any((r["fusion"], r["seed"], r["steps"]) == (fusion, seed, options.steps) for r in rows):
                rows.append(measure(fusion, seed, recipe, data, options.steps))
                write_atomic(RESULT, lambda path: path.write_text(json.dumps(rows, indent=1)))
                print(rows[-1], flush=True)
    print(table([r for r in rows if r["steps"] == options.steps]))


if __name__ == "__main__":
    main()
