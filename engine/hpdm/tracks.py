"""Tracks of a hierarchical patch model: made of a choice, and those to begin with. No torch."""

from __future__ import annotations

from engine.experiment import Track
from engine.hpdm.choice import LevelChoice, level_schedule
from engine.hpdm.config import HpdmConfig
from engine.policies import DEFAULT_POLICY, policy_named


def level_track(name: str, choice: LevelChoice, config: HpdmConfig, steps: int) -> Track:
    """A track by levels over `steps` steps in all."""
    return Track(name, level_schedule(config, steps), policy_named(DEFAULT_POLICY), None, choice)


def default_level_tracks(config: HpdmConfig, steps: int) -> list[Track]:
    """What shows most at first: no overlap, no kept features, and a stop one level early."""
    choices = [("No overlap", LevelChoice(overlap="none")), ("Context recomputed", LevelChoice(context="off"))]
    if config.levels > 1:
        choices.append((f"Stop at level {config.levels - 1}", LevelChoice(levels=config.levels - 1)))
    return [level_track(name, choice, config, steps) for name, choice in choices]
