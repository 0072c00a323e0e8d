"""The study's two sets of prompts, captions of scenes that were never trained on, and the judge that marks the videos.

*Development* prompts are those that a constant of the engine was ever chosen on, seeds 0 to 3. *Held-out* ones share no
prompt with them and have seeds of their own: nothing was chosen on them, and no figure but this study's is of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from engine.errors import InvalidInput, ModelNotFound
from training.data import Scenes
from training.evaluate import prompts
from training.judge import Judge, load, truth
from training.recipes import RECIPES
from training.scenes import Scene

DEVELOPMENT, HELD_OUT = "development", "held-out"
FIRST = {DEVELOPMENT: 0, HELD_OUT: 2000}  # number of the first scene of a set
FIRST_SEED = {DEVELOPMENT: 0, HELD_OUT: 7000}
MOST = 160  # prompts of a set: as many as the development set has ever had
RECIPE = "nano"  # of the shipped model: its grammar, and its judge


@dataclass(frozen=True)
class Wanted:
    """A prompt and the scene that it names."""

    prompt: str
    scene: Scene


def wanted(count: int, of: str = HELD_OUT) -> list[Wanted]:
    """The first prompts of a set. Raises InvalidInput for more than it has.

    As `training.evaluate` makes them: no emoji has the same motion twice within 144, grounds are drawn. A scene whose
    caption stands among the development prompts is passed over in the held-out set.
    """
    if not 1 <= count <= MOST:
        raise InvalidInput("prompts", f"prompts is {count}; a set has 1 to {MOST}.")
    taken = {one.prompt for one in _scenes(MOST, FIRST[DEVELOPMENT])} if of == HELD_OUT else set()
    spare = len(taken)  # more are passed over never
    return [one for one in _scenes(count + spare, FIRST[of]) if one.prompt not in taken][:count]


def _scenes(count: int, first: int) -> list[Wanted]:
    cfg = replace(RECIPES[RECIPE].scenes, two_actors=0.0)
    scenes = Scenes(cfg, {name: np.empty(0) for name in cfg.emoji})  # nothing is drawn: no pictures needed
    return [Wanted(caption, scene) for caption, scene in prompts(scenes, count, first)]


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
