"""Tracks of a hierarchical patch model: made of a choice, and those to begin with. No torch."""

from __future__ import annotations

from engine.experiments.experiment import Track
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.level_choice import LevelChoice, level_schedule
from engine.switching.policies import DEFAULT_POLICY, policy_named


def level_track(name: str, choice: LevelChoice, config: HpdmConfig, steps: int) -> Track:
    """A track by levels over `steps` steps in all."""
    return Track(name, level_schedule(config, steps), policy_named(DEFAULT_POLICY), None, choice)


def default_level_tracks(config: HpdmConfig, steps: int) -> list[Track]:
    """What shows most at first: no overlap, no kept features, and a stop one level early."""
    choices = [LevelChoice(overlap="none"), LevelChoice(context="off")]
    if config.levels > 1:
        choices.append(LevelChoice(levels=config.levels - 1))
    return [level_track(choice.name(config.levels), choice, config, steps) for choice in choices]


def offered_choices(config: HpdmConfig) -> list[tuple[LevelChoice, str]]:
    """What a person may want to add, each with a sentence on what it shows."""
    every = config.levels
    offered = [
        (LevelChoice(every), "As the baseline is: every level, tiles that overlap by half in height and width."),
        (LevelChoice(every, "none"), "Tiles side by side: the fewest network passes, and seams where they meet."),
        (LevelChoice(every, "full"), "Tiles that overlap in time too: the most network passes."),
        (LevelChoice(every - 1), "Stops a level early: a smaller, finished video, enlarged to be compared."),
        (LevelChoice(every, context="off"), "Features of finished levels are computed anew at every step: the same "
         "picture, more time, less memory."),
        (LevelChoice(every, context="cpu"), "Features of finished levels are kept in the machine's memory."),
    ]  # fmt: skip
    return [(choice, why) for choice, why in offered if choice.levels]
