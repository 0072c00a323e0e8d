"""Scenes by number, for training and for tests. `python -m training.data` fetches and shows some."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.assets import choose, load_cached
from training.config import SceneConfig
from training.recipes import RECIPES
from training.runtime import contact_sheet
from training.scenes import Scene, render, sample_scene, scale

CACHE = Path("data")
UNSEEN = 1 << 40  # scenes with this number or a higher one are never trained on


class Scenes:
    """The scenes of a recipe, by number. The same number is the same scene, everywhere."""

    def __init__(self, cfg: SceneConfig, pictures: Mapping[str, np.ndarray]) -> None:
        self.cfg, self.pictures, self.names = cfg, pictures, tuple(pictures)

    @classmethod
    def open(cls, cfg: SceneConfig, cache: Path = CACHE) -> Scenes:
        """With the pictures from the cache, fetched if need be."""
        names = cfg.emoji or choose(cache, cfg.limit)
        return cls(cfg, load_cached(cache, names, cfg.asset_side, cfg.animated))

    def scene(self, number: int) -> Scene:
        """What is in scene `number`."""
        return sample_scene(self.cfg, self.names, number)

    def clip(self, number: int, frames: int = 0, side: int = 0, every: int = 1) -> Tensor:
        """Scene `number` rendered: (3, frames, side, side) in -1..1."""
        cfg = self.cfg
        clip = render(self.scene(number), self.pictures, cfg.side, frames or cfg.frames, cfg.frames, every)
        return scale(clip, side or cfg.side)


def crops(scenes: Scenes, numbers: range, frames: int, side: int) -> Tensor:
    """A batch of crops (B, 3, frames, side, side), from scenes at 1, 3/4 and 1/2 of the native side."""
    out = []
    for number in numbers:
        rng = np.random.default_rng([7, number])
        whole = scenes.cfg.side
        sides = [s for s in (whole, whole, whole * 3 // 4, whole // 2) if s >= side]
        clip = scenes.clip(number, frames, int(rng.choice(sides)))
        y, x = (int(rng.integers(clip.shape[-1] - side + 1)) for _ in range(2))
        out.append(clip[..., y : y + side, x : x + side])
    return torch.stack(out)


def vocabulary(scenes: Scenes, count: int = 4000) -> Iterator[str]:
    """Captions to build a tokenizer from."""
    for number in range(count):
        yield scenes.scene(number).caption
    yield from (f"a {name}" for name in scenes.names)


def main() -> None:
    """Fetch the pictures of a recipe and write a sheet of scenes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="nano")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("runs/scenes.png"))
    args = parser.parse_args()
    scenes = Scenes.open(RECIPES[args.recipe].scenes)
    numbers = range(args.count)
    contact_sheet(args.out, [scenes.clip(n)[:, ::4] for n in numbers], [scenes.scene(n).caption for n in numbers])
    print(f"{len(scenes.names)} emoji; {args.count} scenes in {args.out}")


if __name__ == "__main__":
    main()
