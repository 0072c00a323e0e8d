"""The three schedules that every table of this project uses."""

from __future__ import annotations

from engine.experiments.presets import load_preset
from engine.schedules.schedule import ResolutionSchedule

NAMES = {
    "two-stage 0.75 @ 50 %": "0.75@50%",
    "two-stage 0.5 @ 50 %": "0.5@50%",
    "U 1.0/0.75/1.0 @ 20/70 %": "1/0.75@20%/70%",
}


def study_schedules(steps: int) -> dict[str, ResolutionSchedule]:
    """The schedules by name, at a step count."""
    return {name: load_preset(short, steps).schedule for name, short in NAMES.items()}
