"""An experiment: one prompt, one seed, one model, and the schedules to compare. Parsed once, frozen, reproducible."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from engine.caches.cache_choice import CacheChoice
from engine.caches.which_model import checked
from engine.errors import InvalidInput
from engine.experiments.settings import CheckedSettings, Settings, checked_settings, checked_text, enough_steps
from engine.hpdm.level_choice import LevelChoice, checked_level_schedule, checked_levels, level_schedule, level_sizes
from engine.models.catalogue import ModelSpec
from engine.schedules.latent_sizes import LatentSize, full_size, merged, stage_sizes
from engine.schedules.lightx2v_keys import export
from engine.schedules.schedule import ResolutionSchedule, Stage, flat, own_steps
from engine.switching.policies import DEFAULT_POLICY, FORMER_DEFAULT, Policy, policy_named
from engine.wording import steps_text

MAX_TRACKS = 64
MAX_NAME = 200  # characters of a track's name
BASELINE = "baseline"
SECOND = "guidance_scale_2"  # what pipelines of two experts call the second one's guidance
FORMAT = 1  # of the document that an experiment is written as


@dataclass(frozen=True)
class Track:
    """One schedule under one policy, with or without a cache, and the name that tables and files use.

    `steps` are those that it keeps whatever the experiment has (None: it has the experiment's); in an experiment its
    schedule is always over the steps that it runs.
    """

    name: str
    schedule: ResolutionSchedule
    policy: Policy
    cache: CacheChoice | None = None
    levels: LevelChoice | None = None  # of a hierarchical patch model, which has no policy and no cache
    steps: int | None = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that run: all of the schedule's, or as many levels as were chosen."""
        return self.schedule.stages[: self.levels.levels if self.levels else None]

    @property
    def told(self) -> str:
        """What a table shows of how the schedule is run: its levels, or its policy and steps of its own."""
        if self.levels:
            return self.levels.told
        return self.policy.name if self.steps is None else f"{self.policy.name}, {steps_text(self.steps)}"

    @property
    def slug(self) -> str:
        """The name as part of a file name: lower case letters, digits, dots and dashes, at most 60."""
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower().replace("%", "pct")).strip("-.")[:60] or "run"

    def document(self) -> dict[str, Any]:
        """As plain data; a track without a cache, or without steps of its own, says nothing of them."""
        cache = {"cache": self.cache.document()} if self.cache else {}
        levels = {"levels": self.levels.document()} if self.levels else {}
        steps = {} if self.steps is None else {"steps": self.steps}
        return {"name": self.name, "policy": self.policy.name, **export(self.schedule), **cache, **levels, **steps}

    def fitted(self, steps: int) -> ResolutionSchedule:
        """The schedule over this track's own steps, or else over `steps`. Raises InvalidInput where it does not fit."""
        return self.schedule.with_steps(self.steps or steps)

    def without_cache(self, other: Track) -> bool:
        """Whether `other` is this track without its cache; where nothing is switched no policy has a say."""
        flat_both = self.schedule.is_flat and other.schedule.is_flat
        same = self.schedule == other.schedule or (
            flat_both and self.schedule.infer_steps == other.schedule.infer_steps
        )
        return other.cache is None and same and (self.schedule.is_flat or self.policy == other.policy)


@dataclass(frozen=True, kw_only=True)
class Experiment(CheckedSettings):
    """All that decides the pixels of a comparison, except the machine. Build it with `make_experiment`."""

    spec: ModelSpec
    tracks: tuple[Track, ...]

    @property
    def most_steps(self) -> int:
        """The steps of the longest run."""
        return max(self.steps, *(track.steps or 0 for track in self.tracks), 0)

    @property
    def baseline(self) -> Track:
        return baseline_of(self.spec, self.steps)

    def sizes(self, schedule: ResolutionSchedule) -> tuple[LatentSize, ...]:
        """The latent grid of every stage of a schedule; of a model with levels, of every level."""
        if self.spec.levels:
            return level_sizes(self.spec.levels)
        geometry = self.spec.geometry
        return stage_sizes(schedule, full_size(geometry, self.height, self.width, self.frames), geometry.patch)

    def as_run(self, track: Track) -> ResolutionSchedule:
        """A track's schedule as its policy runs it: neighbouring stages that come out at one size are one."""
        if self.spec.levels or not track.policy.merges:
            return track.schedule
        return merged(track.schedule, self.sizes(track.schedule))[0]

    def call(self) -> dict[str, Any]:
        """The pipeline's own arguments, except size, steps and generator."""
        family = self.spec.family
        call: dict[str, Any] = {"prompt": self.prompt, family.guidance: self.guidance}
        if self.guidance_2 is not None:
            call[SECOND] = self.guidance_2
        if family.negative:
            call["negative_prompt"] = self.negative_prompt
        if family.output == "video":
            call[family.frames] = self.frames
        if family.text_length:
            call[family.text_length] = self.spec.defaults.max_sequence_length
        return call

    def document(self) -> dict[str, Any]:
        """The experiment as plain data, for reports, links and metadata."""
        return {
            "resolute_experiment": FORMAT,
            "model": self.spec.id,
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "height": self.height,
            "width": self.width,
            "frames": self.frames,
            "fps": self.fps,
            "steps": self.steps,
            "guidance": self.guidance,
            **({} if self.guidance_2 is None else {"guidance_2": self.guidance_2}),
            "shift": self.shift,
            "solver": self.solver,
            **self.conditions.document(),
            "tracks": [track.document() for track in self.tracks],
        }


def baseline_of(spec: ModelSpec, steps: int) -> Track:
    """What every run is measured against: full resolution at every step; of a model by levels, the whole pyramid."""
    policy, levels = policy_named(DEFAULT_POLICY), spec.levels
    if levels:
        return Track(BASELINE, level_schedule(levels, steps), policy, None, checked_levels(None, levels))
    return Track(BASELINE, flat(steps), policy)


def make_experiment(spec: ModelSpec, tracks: Iterable[Track], asked: Settings) -> Experiment:
    """Check everything that came from outside and freeze it. Raises InvalidInput naming field, value and remedy.

    Tracks without steps of their own are brought to those that are asked for; all must fit the model at this size.
    """
    settings = checked_settings(spec, asked)
    return Experiment(spec=spec, tracks=_checked_tracks(tracks, spec, settings), **vars(settings))


def _checked_tracks(tracks: Iterable[Track], spec: ModelSpec, settings: CheckedSettings) -> tuple[Track, ...]:
    """Tracks that the model can run with these settings, with names of their own."""
    result: list[Track] = []
    for track in tracks:
        fitted = _level_track(track, spec, settings) if spec.levels else _scheduled_track(track, spec, settings)
        result.append(replace(fitted, name=_free_name(track.name, {BASELINE, *(one.name for one in result)})))
    if len(result) > MAX_TRACKS:
        raise InvalidInput("schedule", f"{len(result)} schedules were asked for; at most {MAX_TRACKS} fit one report.")
    return tuple(result)


def _level_track(track: Track, spec: ModelSpec, settings: CheckedSettings) -> Track:
    """A track of a hierarchical patch model, with the number of levels filled in."""
    assert spec.levels is not None
    levels = checked_levels(track.levels, spec.levels)
    if track.steps is not None:
        raise InvalidInput(
            "steps", f"{spec.title} shares its steps among levels; leave out those of {track.name[:60]!r}."
        )
    schedule = checked_level_schedule(track.schedule, spec.levels, settings.steps)
    if track.policy.name not in (DEFAULT_POLICY, FORMER_DEFAULT):
        raise InvalidInput("policy", f"policy is {track.policy.name!r}; {spec.title} switches nothing: leave it out.")
    return Track(track.name, schedule, policy_named(DEFAULT_POLICY), checked(track.cache, spec), levels)


def _scheduled_track(track: Track, spec: ModelSpec, settings: CheckedSettings) -> Track:
    """A track along a resolution schedule, at its own or the settings' steps."""
    if track.levels:
        raise InvalidInput(
            "levels", f"{spec.title} has no levels; choose a resolution schedule for {track.name[:60]!r}."
        )
    own, schedule = own_steps(track.steps), track.fitted(settings.steps)
    if own is not None:
        enough_steps(spec, own, f"steps of {track.name[:60]!r}")
    full = full_size(spec.geometry, settings.height, settings.width, settings.frames)
    stage_sizes(schedule, full, spec.geometry.patch)  # raises where a stage would be less than a patch
    return Track(track.name, schedule, track.policy, checked(track.cache, spec), steps=own)


def _free_name(wanted: str, taken: set[str]) -> str:
    """A name for a table, with a number behind it where another track has it."""
    name, copy = checked_text("name", wanted, MAX_NAME, lines=False), 2
    while name in taken:
        name, copy = f"{wanted[: MAX_NAME - 6]} ({copy})", copy + 1
    return name
