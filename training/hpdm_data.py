"""Scenes for the hierarchical model, rendered once and kept in memory, and what their captions say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from training.config import COLORS, HpdmRecipe
from training.data import UNSEEN, Scenes
from training.scenes import Scene, full_caption

FIRST = 1 << 34  # its own scenes, apart from those of the other models and of the judge
HELD_OUT = UNSEEN + (1 << 24)


def conditions(recipe: HpdmRecipe, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What a caption says, by condition, in the order of the label columns."""
    return {"emoji": tuple(names), "motion": recipe.motions, "color": tuple(COLORS)}


def scene(recipe: HpdmRecipe, scenes: Scenes, number: int) -> Scene:
    """Scene `number`, with a motion and a ground that the recipe has."""
    whole = scenes.scene(number)
    rng = np.random.default_rng([11, number])
    actor = replace(whole.actors[0], motion=recipe.motions[int(rng.integers(len(recipe.motions)))])
    ground = replace(whole.background, texture=recipe.textures[int(rng.integers(len(recipe.textures)))])
    return Scene((actor,), ground, full_caption((actor,), ground))


def labels(recipe: HpdmRecipe, names: Iterable[str], shown: Scene) -> list[int]:
    """Label of each condition, from 1; 0 is "not said"."""
    known = conditions(recipe, names)
    said = {"emoji": shown.actors[0].name, "motion": shown.actors[0].motion, "color": shown.background.color}
    return [known[k].index(v) + 1 for k, v in said.items()]


class Clips:
    """Clips (N, 3, F, side, side) uint8 and their labels (N, conditions), all in memory."""

    def __init__(self, recipe: HpdmRecipe, scenes: Scenes, first: int, count: int) -> None:
        from training.scenes import render

        cfg, pixels, said = scenes.cfg, [], []
        for number in range(first, first + count):
            shown = scene(recipe, scenes, number)
            clip = render(shown, scenes.pictures, cfg.side, cfg.frames)
            pixels.append(((clip + 1) * 127.5).round().byte())
            said.append(labels(recipe, scenes.names, shown))
        self.pixels, self.labels = torch.stack(pixels), torch.tensor(said)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Random clips (count, 3, F, side, side) in -1..1 and their labels."""
        index = torch.from_numpy(rng.integers(len(self.labels), size=count))
        return self.pixels[index].float() / 127.5 - 1, self.labels[index]
