"""The report of one comparison, `report.json`: a versioned schema, explained in docs/report.md.

What could not be measured is null with a reason beside it, never 0. Seconds, bytes and steps (which count from 1) as
named. What a run took is `run_costs`, how like it is to others `closeness`, its levels `level_videos`.
"""

from __future__ import annotations

import operator
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, FiniteFloat, model_validator

from engine.caches.cache_choice import parse_cache
from engine.hpdm.level_choice import MAX_LEVELS, parse_levels
from engine.reports.closeness import Bands, Similarity, Uncached
from engine.reports.level_videos import LevelVideo
from engine.reports.report_fields import (
    MAX_RUNS,
    CacheKeys,
    Count,
    FileName,
    LevelKeys,
    Name,
    Part,
    Positive,
    ScheduleKeys,
    Text,
    Whole,
)
from engine.reports.run_costs import EvaluationCounts, Latency, Memory, Speedup, StageEntry
from engine.schedules.schedule import MAX_STAGES, MAX_STEPS
from engine.wording import steps_text

VERSION: Literal[2] = 2  # what differs in earlier ones: engine.reports.earlier_versions


class VideoSize(Part):
    """Size of the video: pixels and frames."""

    width: Count
    height: Count
    frames: Count


class PictureName(Part):
    """A picture that the runs started from: its name, and its size in pixels. Its file is `input-SHA256.png`."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    width: Count
    height: Count


class ControlVideoName(PictureName):
    """A video that the runs followed; `frames` is how many it has. Its file is `input-SHA256.mp4`."""

    frames: Count


class Environment(Part):
    """What the runs were made with; nothing that identifies a person or a machine."""

    resolute: Name
    python: Name
    torch: Name
    diffusers: Name | None = None
    platform: Name
    device: Name
    device_name: Name | None = None
    dtype: Name
    threads: Count | None = None
    loading: Annotated[
        tuple[Text, ...], Field(max_length=64, fail_fast=True)
    ] = ()  # offload, tiling, quantised weights, LoRA


class Run(Part):
    """One schedule under one policy, and what came of it. `steps` are those that it has of its own."""

    name: Name
    policy: Name | None
    schedule: ScheduleKeys
    steps: Annotated[int | None, Field(ge=1, le=MAX_STEPS, exclude_if=operator.not_)] = None
    status: Literal["done", "failed", "cancelled"]
    error: Text | None = None
    stages: Annotated[tuple[StageEntry, ...], Field(max_length=MAX_STAGES, fail_fast=True)] = ()
    sigmas: Annotated[tuple[FiniteFloat, ...], Field(max_length=MAX_STEPS, fail_fast=True)] = ()
    # Of a model of two experts alone: which one ran at each step, 1 the one for high noise.
    experts: Annotated[
        tuple[Literal[1, 2], ...], Field(max_length=MAX_STEPS, fail_fast=True, exclude_if=operator.not_)
    ] = ()
    latency: Latency = Latency()
    memory: Memory
    flops: Whole | None = None
    speedup: Speedup = Speedup()
    similarity: Similarity
    cache: CacheKeys | None = None
    evaluations: EvaluationCounts | None = None
    uncached: Uncached | None = None
    video: FileName | None = None
    heatmap: FileName | None = None
    levels: LevelKeys | None = None  # of a hierarchical patch model
    pyramid: Annotated[tuple[LevelVideo, ...], Field(max_length=MAX_LEVELS, fail_fast=True)] = ()
    reused: Text | None = None
    disturbed: Annotated[Text, Field(min_length=1, max_length=500)] | None = (
        None  # why its seconds are not to be trusted
    )
    bands: Bands | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Run:
        if self.status == "failed" and not self.error:
            raise ValueError("a failed run needs its error")
        if self.status == "done" and self.error:
            raise ValueError("a run that is done has no error")
        if self.uncached is not None and self.cache is None:
            raise ValueError("a run without a cache is not compared with an uncached one")
        expected = 1
        for stage in self.stages:
            if stage.first_step != expected:
                raise ValueError(f"a stage starts at step {stage.first_step}, expected {expected}")
            expected = stage.last_step + 1
        return self

    @property
    def told_policy(self) -> str | None:
        """Policy, cache and steps of its own, or levels, in one line, as tables show them; None for most baselines."""
        cache = str(parse_cache(self.cache)) if self.cache else None
        levels = parse_levels(self.levels).told if self.levels else None
        steps = steps_text(self.steps) if self.steps else None
        return ", ".join(word for word in (self.policy, cache, levels, steps) if word) or None

    def stage_of(self, step: int) -> StageEntry | None:
        """The stage that a step (from 1) belongs to; None where the stages are not known."""
        return next((stage for stage in self.stages if stage.first_step <= step <= stage.last_step), None)


class Report(Part):
    """One comparison: the baseline, always first, and the runs beside it."""

    version: Literal[2] = VERSION
    created: AwareDatetime
    model: Name
    prompt: Text
    negative_prompt: Text = ""
    seed: Whole
    size: VideoSize
    fps: Positive
    steps: Annotated[int, Field(ge=1, le=1000)]
    guidance: FiniteFloat
    guidance_2: FiniteFloat | None = None  # of the second expert
    shift: Positive | None
    solver: Name
    image: PictureName | None = None
    last_image: PictureName | None = None
    video: ControlVideoName | None = None
    environment: Environment
    heatmap_gain: Positive | None = None
    noise_floor: Similarity | None = None
    noise_floor_reason: Text | None = None
    other_seed: Similarity | None = None
    other_seed_reason: Text | None = "reports of before do not have it"
    runs: Annotated[tuple[Run, ...], Field(min_length=1, max_length=MAX_RUNS, fail_fast=True)]

    @model_validator(mode="after")
    def _consistent(self) -> Report:
        names = [run.name for run in self.runs]
        if names[0] != "baseline":
            raise ValueError(f'the first run must be named "baseline", got {names[0][:40]!r}')
        if len(set(names)) < len(names):
            raise ValueError("two runs have the same name")
        if self.noise_floor is None and not self.noise_floor_reason:
            raise ValueError("a noise_floor that is null needs its noise_floor_reason")
        if self.runs[0].steps is not None:
            raise ValueError("the baseline has the report's steps and none of its own")
        for run in self.runs:
            steps = self.steps_of(run)
            longest = max(len(run.latency.steps_s), len(run.memory.steps_bytes), len(run.sigmas), len(run.experts))
            if longest > steps or (run.stages and run.stages[-1].last_step > steps):
                whose = "the report's" if run.steps is None else "its own"
                raise ValueError(f"run {run.name[:40]!r} has more steps than {whose} {steps}")
        return self

    def steps_of(self, run: Run) -> int:
        """The number of steps that a run was to take: its own, or the report's."""
        return run.steps or self.steps

    @property
    def most_steps(self) -> int:
        """The steps of the longest run."""
        return max(self.steps_of(run) for run in self.runs)

    @property
    def baseline(self) -> Run:
        return self.runs[0]

    @property
    def disturbed(self) -> tuple[str, ...]:
        """The names of finished runs whose seconds are not to be trusted."""
        return tuple(run.name for run in self.runs if run.status == "done" and run.disturbed)
