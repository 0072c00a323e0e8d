"""Measure a saved model: `python -m training.evaluate --model weights/emoji-wan`.

Reconstruction PSNR of the autoencoder on unseen scenes, and prompt adherence at flat rates 1, 3/4 and 1/2:
does the judge (see `training.judge`) find in the generated clip what the prompt asked for?
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import WanPipeline

from training.config import MOTIONS, RATES, Recipe
from training.data import UNSEEN, Scenes
from training.judge import Judge, load, truth
from training.recipes import RECIPES
from training.runtime import contact_sheet, psnr, write_atomic
from training.scenes import Scene, full_caption, scale
from training.train_dit import generate

FIRST = UNSEEN + (1 << 20)


def prompts(scenes: Scenes, count: int, first: int = 0) -> list[tuple[str, Scene]]:
    """Canonical captions of unseen scenes, every emoji and every motion equally often; `first` is the first one's."""
    out = []
    for i in range(first, first + count):
        scene = scenes.scene(FIRST + i)
        name, motion = scenes.names[i % len(scenes.names)], MOTIONS[i % len(MOTIONS)]
        actor = replace(scene.actors[0], name=name, motion=motion)
        scene = replace(scene, actors=(actor,), caption=full_caption((actor,), scene.background))
        out.append((scene.caption, scene))
    return out


@torch.no_grad()
def reconstruction(pipe: Any, scenes: Scenes, count: int) -> dict[str, float]:
    """PSNR in dB of whole unseen scenes through the autoencoder, by rate: mean over scenes."""
    out = {}
    for rate in RATES:
        values = []
        for n in range(UNSEEN, UNSEEN + count):
            clip = scale(scenes.clip(n), round(scenes.cfg.side * rate))[None]
            back = pipe.vae.decode(pipe.vae.encode(clip).latent_dist.mode()).sample
            values.append(psnr(back, clip))
        out[str(rate)] = float(np.mean(values))
    return out


def adherence(
    pipe: Any, recipe: Recipe, judge: Judge, wanted: list[tuple[str, Scene]], rate: float, sheet: Path, batch: int = 6
) -> dict[str, float]:
    """Share of clips in which the judge finds what was asked for, by head; all with its standard error."""
    right: dict[str, list[bool]] = {k: [] for k in judge.classes}
    shown, labels, seconds = [], [], 0.0
    for start in range(0, len(wanted), batch):
        part = wanted[start : start + batch]
        began = time.monotonic()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            clips = generate(pipe, recipe, [p for p, _ in part], rate=rate, seed=start)
        seconds += time.monotonic() - began
        for (caption, scene), answer, clip in zip(part, judge.answers(clips), clips, strict=True):
            for k, v in truth(scene).items():
                right[k].append(answer[k] == v)
            shown.append(clip[:, ::4])
            labels.append(f"{caption} | judged: {answer['emoji']}, {answer['motion']}")
    contact_sheet(sheet, shown[:24], labels[:24])
    share = {k: float(np.mean(v)) for k, v in right.items()}
    error = math.sqrt(share["emoji"] * (1 - share["emoji"]) / len(wanted))
    return {**share, "emoji_error": error, "clips": len(wanted), "seconds": seconds / len(wanted)}


def main() -> None:
    """Measure a saved model and write the figures and the sheets."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="nano")
    parser.add_argument("--model", type=Path, default=Path("weights/emoji-wan"))
    parser.add_argument("--judge", type=Path, default=None)
    parser.add_argument("--count", type=int, default=144)
    parser.add_argument("--scenes", type=int, default=50, help="for the reconstruction")
    parser.add_argument("--rate", type=float, action="append")
    parser.add_argument("--guidance", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    recipe = RECIPES[args.recipe]
    if args.guidance:
        recipe = replace(recipe, guidance=args.guidance)
    torch.set_num_threads(args.threads or recipe.threads)
    folder = args.out or Path("runs") / recipe.name / "eval"
    scenes = Scenes.open(replace(recipe.scenes, two_actors=0.0))
    judge = load(args.judge or Path("runs") / recipe.name / "judge.pt", recipe.scenes.frames)
    pipe: Any = WanPipeline.from_pretrained(args.model)
    pipe.set_progress_bar_config(disable=True)
    result: dict[str, Any] = {"guidance": recipe.guidance, "steps": recipe.steps, "adherence": {}}
    if args.scenes:
        result["psnr"] = reconstruction(pipe, scenes, args.scenes)
    wanted = prompts(scenes, args.count)
    for rate in args.rate or RATES:
        result["adherence"][str(rate)] = adherence(pipe, recipe, judge, wanted, rate, folder / f"sheet-{rate}.png")
        print(rate, result["adherence"][str(rate)], flush=True)
    write_atomic(folder / "result.json", lambda path: path.write_text(json.dumps(result, indent=1)))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
