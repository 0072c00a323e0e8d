"""A judge of generated clips: a small classifier of emoji, motion, texture and colour.

It is trained on rendered scenes alone and never sees the generator. `python -m training.judge --recipe nano`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.autoencoder import quicken
from training.config import COLORS, MOTIONS, TEXTURES, Recipe, SceneConfig
from training.data import UNSEEN, Scenes
from training.recipes import RECIPES
from training.runtime import newest_vae, rate_at, write_atomic
from training.scenes import Scene, scale

SIDE = 64
EVERY = 4  # frames between those that it looks at
FIRST = 1 << 36  # its own scenes, apart from those of the generator


def classes(names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What it tells apart, by head."""
    return {"emoji": names, "motion": MOTIONS, "texture": TEXTURES, "color": tuple(COLORS)}


def truth(scene: Scene) -> dict[str, str]:
    """The right answers for a scene with one emoji."""
    actor, ground = scene.actors[0], scene.background
    return {"emoji": actor.name, "motion": actor.motion, "texture": ground.texture, "color": ground.color}


class Judge(nn.Module):
    """Convolutions on each frame; what is there from their mean, how it moves from their sequence."""

    def __init__(self, names: tuple[str, ...], frames: int, width: int) -> None:
        super().__init__()
        self.classes = classes(names)
        channels = (3, width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for c_in, c_out in pairwise(channels):
            layers += [nn.Conv2d(c_in, c_out, 3, 2 if c_in != c_out else 1, 1), nn.BatchNorm2d(c_out), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({k: nn.Linear(channels[-1], len(v)) for k, v in self.classes.items()})
        self.reduce = nn.Conv2d(channels[-1], 16, 1)
        hidden = 8 * width
        self.heads["motion"] = nn.Sequential(
            nn.Flatten(), nn.Linear(frames * 16 * 64, hidden), nn.ReLU(), nn.Linear(hidden, len(MOTIONS))
        )

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """Clips (B, 3, T, 64, 64) in -1..1 to logits by head."""
        b, _, t, _, _ = clips.shape
        features = self.trunk(clips.transpose(1, 2).flatten(0, 1))  # (B T, C, 8, 8)
        pooled = features.mean((2, 3)).view(b, t, -1).mean(1)  # (B, C)
        moving = self.reduce(features).view(b, t, 16, 8, 8)
        return {k: head(moving if k == "motion" else pooled) for k, head in self.heads.items()}

    @torch.no_grad()
    def answers(self, clips: Tensor) -> list[dict[str, str]]:
        """Its answer for each clip (B, 3, T, H, W) in -1..1, at any size, all frames given."""
        small = scale(clips[:, :, ::EVERY], SIDE)
        best = {k: v.argmax(1).tolist() for k, v in self.eval()(small).items()}
        return [{k: self.classes[k][best[k][i]] for k in best} for i in range(len(clips))]


def small_config(cfg: SceneConfig) -> SceneConfig:
    """The same scenes with one emoji, drawn at the judge's own size."""
    factor = SIDE / cfg.side
    period = (cfg.period[0] * factor, cfg.period[1] * factor)
    return replace(cfg, side=SIDE, two_actors=0.0, period=period, asset_side=round(cfg.asset_side * factor))


def disturb(clips: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur, noise, and small shifts of contrast and brightness, as a generator might have them."""
    b, c, t, h, w = clips.shape
    if rng.random() < 0.6:
        side = int(rng.integers(20, SIDE))
        flat = clips.transpose(1, 2).flatten(0, 1)
        small = F.interpolate(flat, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        flat = F.interpolate(small, size=(h, w), mode="bicubic", align_corners=False)
        clips = flat.view(b, t, c, h, w).transpose(1, 2)
    noise = torch.from_numpy(rng.standard_normal(clips.shape, dtype=np.float32))
    level, gain, offset = rng.uniform(0, 0.15), rng.uniform(0.85, 1.15), rng.uniform(-0.08, 0.08)
    return clips * gain + offset + level * noise


def batch(judge: Judge, scenes: Scenes, numbers: range) -> tuple[Tensor, dict[str, Tensor]]:
    """Clips (B, 3, T, side, side) and the class index of each by head."""
    answers = [truth(scenes.scene(n)) for n in numbers]
    clips = torch.stack([scenes.clip(n, every=EVERY) for n in numbers])
    return clips, {k: torch.tensor([v.index(a[k]) for a in answers]) for k, v in judge.classes.items()}


def train(recipe: Recipe, scenes: Scenes, seed: int = 0) -> Judge:
    """Train a judge; `scenes` are drawn with `small_config`."""
    cfg = recipe.judge
    torch.manual_seed(seed)
    frames = len(range(0, scenes.cfg.frames, EVERY))
    judge = Judge(scenes.names, frames, cfg.width)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=cfg.lr, weight_decay=0.01)
    for step in range(cfg.steps):
        rng = np.random.default_rng([3, step])
        start = FIRST + step * cfg.batch
        clips, labels = batch(judge, scenes, range(start, start + cfg.batch))
        logits = judge.train()(disturb(clips, rng))
        loss = sum((F.cross_entropy(logits[k], labels[k]) for k in labels), torch.zeros(()))
        for group in optimizer.param_groups:
            group["lr"] = cfg.lr * rate_at(step / cfg.steps, step, 50)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step={step} loss={float(loss.detach()):.3f}", flush=True)
    return judge


@torch.no_grad()
def accuracy(judge: Judge, scenes: Scenes, count: int, vae: Any = None) -> dict[str, float]:
    """Share of right answers on unseen scenes, by head; with `vae`, after a trip through it."""
    right = dict.fromkeys(judge.classes, 0)
    for n in range(UNSEEN, UNSEEN + count):
        clip = scenes.clip(n)[None]
        if vae is not None:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                clip = vae.decode(vae.encode(clip).latent_dist.mode()).sample.float()
        answer, wanted = judge.answers(clip)[0], truth(scenes.scene(n))
        for k in right:
            right[k] += answer[k] == wanted[k]
    return {k: v / count for k, v in right.items()}


def save(judge: Judge, recipe: Recipe, path: Path) -> None:
    """Weights and the names that it knows."""
    state = {"names": list(judge.classes["emoji"]), "weights": judge.state_dict(), "width": recipe.judge.width}
    write_atomic(path, lambda part: torch.save(state, part))


def load(path: Path, frames: int) -> Judge:
    """A saved judge of clips of `frames` frames."""
    state = torch.load(path, weights_only=True)
    judge = Judge(tuple(state["names"]), len(range(0, frames, EVERY)), state["width"])
    judge.load_state_dict(state["weights"])
    return judge.eval()


def main() -> None:
    """Train the judge of a recipe and state how far it can be trusted."""
    from diffusers import AutoencoderKLWan

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="nano")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--count", type=int, default=300, help="held-out scenes")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--from", dest="start", type=Path, help="saved pipeline, if the run has no autoencoder")
    args = parser.parse_args()
    recipe = RECIPES[args.recipe]
    torch.set_num_threads(args.threads or recipe.threads)
    folder = args.out or Path("runs") / recipe.name
    judge = train(recipe, Scenes.open(small_config(recipe.scenes)))
    save(judge, recipe, folder / "judge.pt")
    whole = Scenes.open(replace(recipe.scenes, two_actors=0.0))
    result = {"clean": accuracy(judge, whole, args.count)}
    vae = quicken(AutoencoderKLWan.from_pretrained(newest_vae(folder, args.start)).float())
    result["through_vae"] = accuracy(judge, whole, args.count // 3, vae)
    write_atomic(folder / "judge.json", lambda path: path.write_text(json.dumps(result, indent=1)))
    print(result)


if __name__ == "__main__":
    main()
