"""The study's prompts: captions of scenes that were never trained on, and the judge that marks what came of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from engine.errors import ModelNotFound
from training.data import Scenes
from training.evaluate import prompts
from training.judge import Judge, load, truth
from training.recipes import RECIPES
from training.scenes import Scene

RECIPE = "nano"  # of the shipped model: its grammar, and its judge


@dataclass(frozen=True)
class Wanted:
    """A prompt and the scene that it names."""

    prompt: str
    scene: Scene


def wanted(count: int) -> list[Wanted]:
    """As `training.evaluate` makes them: no emoji has the same motion twice within 144, grounds are drawn."""
    cfg = replace(RECIPES[RECIPE].scenes, two_actors=0.0)
    scenes = Scenes(cfg, {name: np.empty(0) for name in cfg.emoji})  # nothing is drawn: no pictures needed
    return [Wanted(caption, scene) for caption, scene in prompts(scenes, count)]


def open_judge(path: Path) -> Judge:
    """The judge of the shipped model's scenes. Raises ModelNotFound with the command that trains it."""
    if not path.is_file():
        raise ModelNotFound(
            f"{path} is not there; train the judge with `python -m training.judge --from weights/emoji-wan` first."
        )
    return load(path, RECIPES[RECIPE].scenes.frames)


def marks(judge: Judge, frames: np.ndarray, scene: Scene) -> dict[str, bool]:
    """What the judge finds in frames (T, H, W, 3) of [0, 1], against what the prompt asked for, by question."""
    clip = torch.from_numpy(frames).permute(3, 0, 1, 2)[None] * 2 - 1  # (1, 3, T, H, W)
    answer = judge.answers(clip)[0]
    return {question: answer[question] == right for question, right in truth(scene).items()}
