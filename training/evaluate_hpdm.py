"""Mark a saved hierarchical model with the judge of emoji-wan, level by level: `python -m training.evaluate_hpdm`.

The judge (`training.judge`) looks at 64 px, every fourth of 17 frames: a level's video is made larger in space
(bicubic) and its frames are repeated in time until it is that long. The same is done to rendered clips, which tells how
much of a low mark is the level's few pixels and not the model.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.hpdm.hpdm_model import Hpdm
from engine.hpdm.nested_patches import pyramid
from engine.hpdm.prompt_words import understand
from engine.hpdm.tile_sampler import Sampling, sample_levels
from engine.hpdm.weights_folder import load_hpdm
from training.config import HpdmRecipe
from training.data import Scenes
from training.hpdm_data import HELD_OUT, scene
from training.judge import SIDE, Judge, load
from training.recipes import HPDM_RECIPES, RECIPES
from training.runtime import contact_sheet, write_atomic
from training.scenes import Scene, full_caption, render, scale

JUDGE = RECIPES["nano"]


def prompts(recipe: HpdmRecipe, scenes: Scenes, count: int) -> list[Scene]:
    """Unseen scenes, every emoji and every motion equally often; their captions are the prompts."""
    out = []
    for i in range(count):
        shown = scene(recipe, scenes, HELD_OUT + i)
        name = scenes.names[i % len(scenes.names)]
        motion = recipe.motions[i // len(scenes.names) % len(recipe.motions)]
        actor = replace(shown.actors[0], name=name, motion=motion)
        out.append(Scene((actor,), shown.background, full_caption((actor,), shown.background)))
    return out


def settings_of(folder: Path, **changes: Any) -> Sampling:
    """How a saved model is run in the studio, by its resolute.json; `changes` that are not None go before it."""
    raw = json.loads((folder / "resolute.json").read_text("utf-8"))
    own = {"steps": tuple(raw["steps"]), "overlap": raw["overlap"], "cache": raw["cache"], "guidance": raw["guidance"]}
    return Sampling(**{**own, **{k: v for k, v in changes.items() if v is not None}}, tile_batch=64)


def as_judged(video: Tensor, frames: int = JUDGE.scenes.frames) -> Tensor:
    """A level's videos (V, 3, f, h, w) as the judge's clips (V, 3, frames, 64, 64)."""
    index = (torch.arange(frames) * video.shape[2] // frames).clamp(max=video.shape[2] - 1)
    return scale(video, SIDE)[:, :, index]


def marks(judge: Judge, video: Tensor, wanted: Sequence[Scene]) -> dict[str, float]:
    """Share of videos in which the judge finds what was asked for, and the standard error of the emoji's."""
    answers = judge.answers(as_judged(video))
    right = {
        "emoji": [a["emoji"] == s.actors[0].name for a, s in zip(answers, wanted, strict=True)],
        "motion": [a["motion"] == s.actors[0].motion for a, s in zip(answers, wanted, strict=True)],
        "color": [a["color"] == s.background.color for a, s in zip(answers, wanted, strict=True)],
    }
    share = {k: float(np.mean(v)) for k, v in right.items()}
    return {**share, "emoji_error": math.sqrt(share["emoji"] * (1 - share["emoji"]) / len(wanted))}


def generate(model: Hpdm, wanted: Sequence[Scene], how: Sampling, batch: int, seed: int) -> list[Tensor]:
    """Videos of each level (V, 3, f, h, w) for the scenes' captions, by the prompts alone."""
    rows = []
    for start in range(0, len(wanted), batch):
        said = [understand(s.caption, model.config.conditions).labels for s in wanted[start : start + batch]]
        rows.append(sample_levels(model, torch.tensor(said), how, seed=seed + start))
    return [torch.cat(level) for level in zip(*rows, strict=True)]


def sheet(path: Path, videos: Sequence[Tensor], wanted: Sequence[Scene], judge: Judge) -> None:
    """Four frames of each level a row, coarsest first, below each the prompt and what the judge saw at each level."""
    answers = [judge.answers(as_judged(v)) for v in videos]
    rows, labels = [], []
    for n, shown in enumerate(wanted):
        big = [torch.nn.functional.interpolate(v[n : n + 1], size=(16, SIDE, SIDE))[0] for v in videos]
        rows.append(torch.cat([b[:, [0, 5, 10, 15]] for b in big], 1))
        labels.append(f"{shown.caption} | judged: {', '.join(a[n]['emoji'] for a in answers)}")
    contact_sheet(path, rows, labels)


def main() -> None:
    """Mark a saved model and write the figures and a sheet."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--recipe", choices=HPDM_RECIPES, default="xs")
    parser.add_argument("--model", type=Path, default=Path("weights/emoji-hpdm"))
    parser.add_argument("--judge", type=Path, default=Path("runs/nano/judge.pt"))
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--overlap", default=None, help="and guidance and steps: the model's own if not given")
    parser.add_argument("--guidance", type=float, default=None)
    parser.add_argument("--steps", type=int, nargs="+", default=None)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe, model = HPDM_RECIPES[args.recipe], load_hpdm(args.model)
    scenes, judge = Scenes.open(recipe.scenes), load(args.judge, JUDGE.scenes.frames)
    wanted = prompts(recipe, scenes, args.count)
    steps = tuple(args.steps) if args.steps else None
    how = settings_of(args.model, steps=steps, overlap=args.overlap, guidance=args.guidance)
    began = time.monotonic()
    videos = generate(model, wanted, how, args.batch, args.seed)
    seconds = (time.monotonic() - began) / args.count
    real = torch.stack([render(s, scenes.pictures, recipe.scenes.side, recipe.scenes.frames) for s in wanted])
    result: dict[str, Any] = {"guidance": how.guidance, "steps": how.steps, "overlap": how.overlap, "seconds": seconds}
    for name, levels in (("generated", videos), ("rendered", pyramid(real, model.config))):
        result[name] = {f"level{k}": marks(judge, v, wanted) for k, v in enumerate(levels)}
    folder = args.out or Path("runs") / f"hpdm-{recipe.name}" / "eval"
    sheet(folder / "sheet.png", videos, wanted[:24], judge)
    write_atomic(folder / "result.json", lambda path: path.write_text(json.dumps(result, indent=1)))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
