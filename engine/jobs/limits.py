"""What a visitor may ask for: one table, the operator's to change, checked before anything is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from engine.errors import InvalidInput
from engine.experiments.experiment import Experiment
from engine.jobs.job_errors import OverLimit
from engine.models.catalogue import catalogue
from engine.schedules.schedule import ResolutionSchedule

PREFIX = "RESOLUTE_MAX_"


def _limit(default: float, what: str) -> float:
    return field(default=default, metadata={"what": what})


@dataclass(frozen=True)
class Limits:
    """The table. Every value can be set by an environment variable: RESOLUTE_MAX_STEPS and so on."""

    steps: float = _limit(200, "denoising steps of a run")
    pixels: float = _limit(1920 * 1088, "width times height of a frame, in pixels")
    frames: float = _limit(161, "frames of a video")
    tracks: float = _limit(8, "schedules beside the baseline")
    work: float = _limit(5e8, "steps x tokens, summed over all runs, guidance counted double")
    waiting: float = _limit(50, "waiting jobs in all")
    waiting_visitor: float = _limit(10, "waiting jobs of one visitor")
    minutes: float = _limit(720, "minutes that a job may take")
    disk_bytes: float = _limit(20e9, "bytes of all results; the oldest that are not pinned go first")
    baseline_bytes: float = _limit(4e9, "bytes of baselines kept for reuse")
    input_bytes: float = _limit(1e9, "bytes of pictures kept for runs to start from; the least recently used go first")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Limits:
        """The table with the operator's changes. Raises InvalidInput for a value that is no number above 0."""
        names = {one.name: f"{PREFIX}{one.name.upper()}" for one in fields(cls)}
        return cls(**{name: _number(key, environ[key]) for name, key in names.items() if environ.get(key)})

    def to_environment(self) -> dict[str, str]:
        """The table for another process's `from_environment`."""
        return {f"{PREFIX}{one.name.upper()}": repr(getattr(self, one.name)) for one in fields(self)}

    def check(self, experiment: Experiment) -> None:
        """Raises OverLimit naming the limit, what was asked for, and what the comparison would cost."""
        if experiment.spec.id not in catalogue() or catalogue()[experiment.spec.id] != experiment.spec:
            raise InvalidInput("model", f"model {experiment.spec.id[:80]!r} is not one of this server's.")
        work = work_of(experiment)
        asked = {
            "steps": experiment.most_steps,
            "pixels": experiment.width * experiment.height,
            "frames": experiment.frames,
            "tracks": len(experiment.tracks),
            "work": work,
        }
        for name, value in asked.items():
            limit = getattr(self, name)
            if not value <= limit:
                raise OverLimit(
                    name,
                    f"{_count(value)} {_WHAT[name]} were asked for; at most {_count(limit)} are allowed here. "
                    f"The comparison would cost {cost_text(experiment, work)}.",
                )


_WHAT = {one.name: one.metadata["what"] for one in fields(Limits)}


def work_of(experiment: Experiment) -> int:
    """Steps x tokens over all runs, the baseline included; guidance runs the network twice a step."""
    passes = 2 if experiment.guidance > 1 else 1
    schedules = (experiment.baseline.schedule, *(track.schedule for track in experiment.tracks))
    return passes * sum(_token_steps(experiment, schedule) for schedule in schedules)


def _token_steps(experiment: Experiment, schedule: ResolutionSchedule) -> int:
    sizes = experiment.sizes(schedule)
    return sum(stage.steps * size.tokens for stage, size in zip(schedule.stages, sizes, strict=True))


def cost_text(experiment: Experiment, work: int) -> str:
    """What a comparison costs, for a refusal."""
    runs = len(experiment.tracks) + 1
    steps = f"up to {most}" if (most := experiment.most_steps) > experiment.steps else str(most)
    return f"{runs} runs of {steps} steps, {_count(work)} token steps in all"


def _count(value: float) -> str:
    return f"{value:.3g}" if value >= 1e7 else f"{value:,.0f}"


def _number(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InvalidInput(key, f"{key} is {text[:40]!r}; it must be a number above 0.")
    return value
