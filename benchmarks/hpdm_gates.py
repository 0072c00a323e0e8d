"""Whether a hierarchical model is good enough: every gate of docs/hpdm.md, one line each, for one model or several.

    python -m benchmarks.hpdm_gates                                  # the shipped weights
    python -m benchmarks.hpdm_gates --model OLD --model NEW          # before and after

Each model runs as its resolute.json says, which is what the studio runs. Colour errors are in steps of 1/255. Ground:
the rows above and below the emoji, which no scene of the recipe reaches; its true colour is the prompt's. The judge is
`training.judge`'s. Each model's figures go to runs/hpdm-bench/gates-NAME.json, and are measured anew with `--again`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from engine.hpdm.hpdm_model import Hpdm
from engine.hpdm.nested_patches import pyramid
from engine.hpdm.patch_noise import add_noise
from engine.hpdm.seams import frame_jumps, seam_ratio
from engine.hpdm.tile_sampler import Cascade, Sampling, sample_level, sample_levels
from engine.hpdm.weights_folder import load_hpdm
from training.config import HpdmRecipe
from training.data import Scenes
from training.evaluate_hpdm import JUDGE, generate, marks, prompts, settings_of
from training.judge import load
from training.recipes import HPDM_RECIPES
from training.runtime import psnr, write_atomic
from training.scenes import Scene, render

STEP = 127.5  # of 1/255, in -1..1
SIGMA = 60.0  # nearly pure noise: what the context alone says
GROUND = 6 / 64  # share of the height above and below the emoji, as size and jitter of the scenes leave it


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound on one figure."""

    name: str
    figure: str
    holds: Callable[[float], bool]
    bound: str


def gates(levels: int) -> list[Gate]:
    """Those of a model with so many levels."""
    top, out = levels - 1, []
    for k in range(1, levels):
        out += [
            Gate(f"level {k}: error at sigma {SIGMA:g}, of its enlarged parent's", f"context{k}", _below(1), "< 1"),
            Gate(f"level {k}: sampled, above its enlarged parent, dB", f"gain{k}", _above(2), "≥ 2"),
        ]
    return [
        *out,
        Gate("noise between tiles, 1/255", "tile", _below(1), "≤ 1"),
        Gate("noise of pixels, 1/255", "pixel", _below(2), "≤ 2"),
        Gate("ground's bias, 1/255", "bias", _below(3), "≤ 3"),
        Gate("frame jumps at tile ends, of those elsewhere", "jumps", _below(1.2), "≤ 1.2"),
        Gate("seam ratio, of real clips'", "seams", lambda x: abs(x - 1) <= 0.05, "0.95 to 1.05"),
        Gate("emoji right at level 0", "emoji0", _above(0.9), "≥ 0.9"),
        Gate(f"emoji right at level {top}", f"emoji{top}", _above(0.95), "≥ 0.95"),
        Gate(f"motion right at level {top}", f"motion{top}", _above(0.95), "≥ 0.95"),
        Gate("CPU seconds a video", "seconds", _below(10), "≤ 10"),
    ]


def _below(bound: float) -> Callable[[float], bool]:
    return lambda x: x <= bound


def _above(bound: float) -> Callable[[float], bool]:
    return lambda x: x >= bound


def ground_noise(video: Tensor, true: Tensor, patch: Sequence[int]) -> dict[str, float]:
    """Of the plain ground of a video (3, F, H, W) whose colour is `true` (3,): in steps of 1/255.

    `tile`: deviation of the means of its parts in different tiles; `pixel`: deviation within them; `bias`: of the mean.
    """
    f, _, w = patch
    rows = int(video.shape[2] * GROUND)
    bands = torch.stack([video[:, :, :rows], video[:, :, -rows:]], 1) * STEP  # (3, 2, F, rows, W)
    cells = bands.unflatten(4, (-1, w)).unflatten(2, (-1, f))  # (3, 2, F/f, f, rows, W/w, w)
    means = cells.mean((3, 4, 6), keepdim=True)
    return {
        "tile": math.sqrt(float((means - means.mean((1, 2, 5), keepdim=True)).square().mean())),
        "pixel": math.sqrt(float((cells - means).square().mean())),
        "bias": float((bands.mean((1, 2, 3, 4)) - true * STEP).abs().mean()),
    }


@torch.no_grad()
def context_error(model: Hpdm, labels: Tensor, levels: Sequence[Tensor], level: int) -> float:
    """Error of the clean estimate from nearly pure noise on true parents, over that of enlarging the parent."""
    cascade = _on_true_parents(
        model, labels, Sampling((1,) * model.config.levels, "none", tile_batch=48), levels, level
    )
    sampler = cascade.sampler(level)
    phi = math.atan(SIGMA * sampler.b)
    z = add_noise(levels[level], cascade.noise(level), torch.tensor([phi]), sampler.b)
    found = sampler.denoise(z, phi)
    trivial = _enlarged(levels, level)
    return float((found - levels[level]).square().mean().sqrt() / (trivial - levels[level]).square().mean().sqrt())


@torch.no_grad()
def gain(model: Hpdm, labels: Tensor, how: Sampling, levels: Sequence[Tensor], level: int) -> tuple[float, float]:
    """PSNR, dB, of a level sampled on true parents and of enlarging the parent, mean over videos."""
    cascade = _on_true_parents(model, labels, how, levels, level)
    found, trivial = sample_level(cascade.sampler(level), cascade.noise(level)), _enlarged(levels, level)
    pairs = [(psnr(a, t), psnr(e, t)) for a, e, t in zip(found, trivial, levels[level], strict=True)]
    return sum(p for p, _ in pairs) / len(pairs), sum(q for _, q in pairs) / len(pairs)


def _on_true_parents(model: Hpdm, labels: Tensor, how: Sampling, levels: Sequence[Tensor], level: int) -> Cascade:
    cascade = Cascade(model, labels, how, seed=11)
    for k in range(level):
        cascade.finish(k, levels[k])
    return cascade


def _enlarged(levels: Sequence[Tensor], level: int) -> Tensor:
    return interpolate(levels[level - 1], size=levels[level].shape[2:], mode="trilinear", align_corners=False)


def clips_of(recipe: HpdmRecipe, scenes: Scenes, wanted: Sequence[Scene]) -> Tensor:
    """The scenes themselves, (V, 3, F, H, W)."""
    return torch.stack([render(s, scenes.pictures, recipe.scenes.side, recipe.scenes.frames) for s in wanted])


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one model."""
    model, how, recipe = load_hpdm(folder), settings_of(folder), HPDM_RECIPES["xs"]
    scenes, judge = Scenes.open(recipe.scenes), load(options.judge, JUDGE.scenes.frames)
    wanted = prompts(recipe, scenes, options.prompts)
    some, top = wanted[: options.videos], model.config.levels - 1
    real = clips_of(recipe, scenes, some)
    out: dict[str, Any] = {"model": folder.name, "steps": how.steps, "overlap": how.overlap, "guidance": how.guidance}
    begun = time.process_time()
    videos = generate(model, some, how, 8, 0)
    out["seconds"] = (time.process_time() - begun) / len(some)
    out |= _looks(videos[top], real, model.config.patch, model)
    labels = _labels(model, some)
    few = slice(0, options.parents)
    levels = [v[few] for v in pyramid(real, model.config)]
    for k in range(1, top + 1):
        out[f"context{k}"] = context_error(model, labels[few], levels, k)
        out[f"psnr{k}"], out[f"enlarged{k}"] = gain(model, labels[few], how, levels, k)
        out[f"gain{k}"] = out[f"psnr{k}"] - out[f"enlarged{k}"]
    coarsest = [sample_levels(model, _labels(model, wanted), how, seed=500, levels=1)[0], *videos[1:]]
    for k, (video, asked) in enumerate(zip(coarsest, (wanted, *[some] * top), strict=True)):
        found = marks(judge, video, asked)
        out |= {f"{name}{k}": found[name] for name in ("emoji", "motion", "color")}
    rendered = marks(judge, real, some)
    return out | {"judge_emoji": rendered["emoji"], "judge_motion": rendered["motion"]}


def _labels(model: Hpdm, wanted: Sequence[Scene]) -> Tensor:
    from engine.hpdm.prompt_words import understand

    return torch.tensor([understand(s.caption, model.config.conditions).labels for s in wanted])


def _looks(videos: Tensor, real: Tensor, patch: Sequence[int], model: Hpdm) -> dict[str, float]:
    """Noise, bias, jumps and seams of the finest level's videos (V, 3, F, H, W); true ground from the real clips."""
    noise = [ground_noise(v, r[:, 0, 0, 0], patch) for v, r in zip(videos, real, strict=True)]
    out = {k: math.sqrt(sum(n[k] ** 2 for n in noise) / len(noise)) for k in ("tile", "pixel")}
    out["bias"] = sum(n["bias"] for n in noise) / len(noise)
    rows = int(videos.shape[3] * GROUND)
    at, elsewhere = frame_jumps(torch.cat([videos[..., :rows, :], videos[..., -rows:, :]], 3), patch[0])
    out |= {"jump_at_ends": at * STEP, "jump_elsewhere": elsewhere * STEP, "jumps": at / elsewhere}
    ratios = [[seam_ratio(v, model.config) or 0.0 for v in batch] for batch in (videos, real)]
    own, theirs = (sum(r) / len(r) for r in ratios)
    return out | {"seam_ratio": own, "seam_ratio_real": theirs, "seams": own / theirs}


def table(rows: Sequence[dict[str, Any]], levels: int) -> str:
    """A gate a line, a model a column."""
    out = ["| Gate | Bound | " + " | ".join(r["model"] for r in rows) + " |", "|---" * (2 + len(rows)) + "|"]
    for gate in gates(levels):
        cells = [f"{r[gate.figure]:.3g} {'holds' if gate.holds(r[gate.figure]) else 'fails'}" for r in rows]
        out.append(f"| {gate.name} | {gate.bound} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, action="append", help="saved model; several are told side by side")
    parser.add_argument("--judge", type=Path, default=Path("runs/nano/judge.pt"))
    parser.add_argument("--prompts", type=int, default=120, help="for the coarsest level")
    parser.add_argument("--videos", type=int, default=24, help="whole runs")
    parser.add_argument("--parents", type=int, default=8, help="of these, sampled on true parents too")
    parser.add_argument("--again", action="store_true", help="measure anew")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for folder in options.model or [Path("weights/emoji-hpdm")]:
        path = Path("runs/hpdm-bench") / f"gates-{folder.name}.json"
        if options.again or not path.exists():
            found = json.dumps(measure(folder, options), indent=1)
            write_atomic(path, lambda part, text=found: part.write_text(text))  # type: ignore[misc]
        rows.append(json.loads(path.read_text()))
        print(json.dumps(rows[-1]), flush=True)
    print(table(rows, 1 + sum(key.startswith("context") for key in rows[0])))


if __name__ == "__main__":
    main()
