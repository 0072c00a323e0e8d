"""An experiment: one prompt, one seed, one model, and the schedules to compare. Parsed once, frozen, reproducible."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.caches.cache_choice import CacheChoice
from engine.caches.which_model import checked
from engine.errors import InvalidInput
from engine.experiments.conditions import Conditions, checked_conditions
from engine.experiments.lightx2v_config import RunSettings
from engine.hpdm.level_choice import LevelChoice, checked_level_schedule, checked_levels, level_schedule, level_sizes
from engine.hpdm.prompt_words import understand
from engine.models.catalogue import ModelSpec
from engine.models.solver_choice import checked_shift_use, checked_solver
from engine.schedules.latent_sizes import LatentSize, checked_size, full_size, stage_sizes
from engine.schedules.lightx2v_keys import export
from engine.schedules.schedule import ResolutionSchedule, Stage, checked_steps, flat
from engine.switching.policies import DEFAULT_POLICY, FORMER_DEFAULT, Policy, policy_named

MAX_PROMPT = 2000
MAX_SEED = 2**53 - 1  # survives JavaScript
MAX_TRACKS = 64
MAX_NAME = 200  # characters of a track's name
BASELINE = "baseline"
SECOND = "guidance_scale_2"  # what pipelines of two experts call the second one's guidance
FORMAT = 1  # of the document that an experiment is written as


@dataclass(frozen=True)
class Track:
    """One schedule under one policy, with or without a cache, and the name that tables and files use."""

    name: str
    schedule: ResolutionSchedule
    policy: Policy
    cache: CacheChoice | None = None
    levels: LevelChoice | None = None  # of a hierarchical patch model, which has no policy and no cache

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that run: all of the schedule's, or as many levels as were chosen."""
        return self.schedule.stages[: self.levels.levels if self.levels else None]

    @property
    def told(self) -> str:
        """What a table shows of how the schedule is run: its levels, or its policy."""
        return self.levels.told if self.levels else self.policy.name

    @property
    def slug(self) -> str:
        """The name as part of a file name: lower case letters, digits, dots and dashes, at most 60."""
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower().replace("%", "pct")).strip("-.")[:60] or "run"

    def document(self) -> dict[str, Any]:
        """As plain data; a track without a cache says nothing of one."""
        cache = {"cache": self.cache.document()} if self.cache else {}
        levels = {"levels": self.levels.document()} if self.levels else {}
        return {"name": self.name, "policy": self.policy.name, **export(self.schedule), **cache, **levels}

    def without_cache(self, other: Track) -> bool:
        """Whether `other` is this track without its cache; where nothing is switched no policy has a say."""
        same = self.schedule == other.schedule or (self.schedule.is_flat and other.schedule.is_flat)
        return other.cache is None and same and (self.schedule.is_flat or self.policy == other.policy)


@dataclass(frozen=True)
class Experiment:
    """All that decides the pixels of a comparison, except the machine. Build it with `make_experiment`."""

    spec: ModelSpec
    prompt: str
    negative_prompt: str
    seed: int
    height: int
    width: int
    frames: int
    fps: int
    steps: int
    guidance: float
    guidance_2: float | None  # of the second expert; None for a model of one
    shift: float | None  # None: as the model's own scheduler has it, which may go by the size
    solver: str | None
    tracks: tuple[Track, ...]
    conditions: Conditions = field(default_factory=Conditions)

    @property
    def baseline(self) -> Track:
        return baseline_of(self.spec, self.steps)

    def sizes(self, schedule: ResolutionSchedule) -> tuple[LatentSize, ...]:
        """The latent grid of every stage of a schedule; of a model with levels, of every level."""
        if self.spec.levels:
            return level_sizes(self.spec.levels)
        geometry = self.spec.geometry
        return stage_sizes(schedule, full_size(geometry, self.height, self.width, self.frames), geometry.patch)

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


def make_experiment(
    spec: ModelSpec,
    tracks: Iterable[Track],
    *,
    prompt: object,
    seed: object = 0,
    negative_prompt: object = None,
    steps: object = None,
    height: object = None,
    width: object = None,
    frames: object = None,
    guidance: object = None,
    guidance_2: object = None,
    shift: object = None,
    solver: object = None,
    image: object = None,
    last_image: object = None,
    video: object = None,
    settings: RunSettings | None = None,
) -> Experiment:
    """Check everything that came from outside and freeze it.

    What is None is taken from `settings` (a LightX2V config's), then from the model's defaults. Tracks are brought to
    `steps` and must fit the model at this size. A picture that the model needs may be missing: it is asked for when
    the experiment is run. Raises InvalidInput naming field, value and remedy.
    """
    own, given = spec.defaults, settings or RunSettings()
    size = checked_size(
        spec.geometry,
        _first(height, given.height, own.height),
        _first(width, given.width, own.width),
        _frames(spec, frames, given.frames),
    )
    if spec.levels and size != (own.height, own.width, own.frames):
        raise InvalidInput(
            "height",
            f"{spec.title} makes {own.width}x{own.height} with {own.frames} frames and no other size; "
            "stop at a lower level for a smaller video.",
        )
    if spec.levels and isinstance(prompt, str):
        understand(prompt, spec.levels.conditions)
    count = checked_steps(_first(steps, own.steps))
    if count < spec.family.least_steps:
        raise InvalidInput("steps", f"steps is {count}; {spec.title} needs at least {spec.family.least_steps}.")
    scales = _guidance(spec, guidance, guidance_2, given)
    return Experiment(
        spec=spec,
        prompt=_text("prompt", prompt),
        negative_prompt=_negative(spec, negative_prompt),
        seed=_seed(seed),
        height=size[0],
        width=size[1],
        frames=size[2],
        fps=own.fps,
        steps=count,
        guidance=scales[0],
        guidance_2=scales[1],
        shift=_shift(spec, shift, given.shift),
        solver=checked_solver(solver, spec.pipeline, spec.scheduler),
        tracks=_checked_tracks(tracks, count, spec, size),
        conditions=checked_conditions(spec, size[2], image=image, last_image=last_image, video=video),
    )


def _checked_tracks(
    tracks: Iterable[Track], steps: int, spec: ModelSpec, size: tuple[int, int, int]
) -> tuple[Track, ...]:
    """Tracks at the experiment's step count, each fitting the model, with names of their own."""
    full, result, names = full_size(spec.geometry, *size), [], {BASELINE}
    for track in tracks:
        levels = None
        if spec.levels:
            levels = checked_levels(track.levels, spec.levels)
            schedule = checked_level_schedule(track.schedule, spec.levels, steps)
            if track.policy.name not in (DEFAULT_POLICY, FORMER_DEFAULT):
                raise InvalidInput(
                    "policy", f"policy is {track.policy.name!r}; {spec.title} switches nothing: leave it out."
                )
        else:
            if track.levels:
                raise InvalidInput(
                    "levels", f"{spec.title} has no levels; choose a resolution schedule for {track.name[:60]!r}."
                )
            schedule = track.schedule.with_steps(steps)
            stage_sizes(schedule, full, spec.geometry.patch)
        name, copy = _text("name", track.name, MAX_NAME), 2
        while name in names:
            name, copy = f"{track.name[: MAX_NAME - 6]} ({copy})", copy + 1
        names.add(name)
        policy = policy_named(DEFAULT_POLICY) if spec.levels else track.policy
        result.append(Track(name, schedule, policy, checked(track.cache, spec), levels))
    if len(result) > MAX_TRACKS:
        raise InvalidInput("schedule", f"{len(result)} schedules were asked for; at most {MAX_TRACKS} fit one report.")
    return tuple(result)


def _guidance(spec: ModelSpec, asked: object, second: object, given: RunSettings) -> tuple[float, float | None]:
    """Guidance, and that of the second expert: None for a model of one, whatever a LightX2V config was made for.

    Pipelines go by the first alone whether they guide at all, so a second that is left out is off with it.
    """
    own, most = spec.defaults, spec.most_guidance
    first = checked_number("guidance", _first(asked, given.guidance, own.guidance), 0.0, most)
    if not spec.two_experts:
        if second is None:
            return first, None
        raise InvalidInput(
            "guidance_2", f"guidance_2 is {str(second)[:40]}; {spec.title} has one expert: leave it out."
        )
    off = first <= 1 and (asked is not None or given.guidance_2 is None)
    found = _first(second, first if off else None, given.guidance_2, own.guidance_2)
    low = checked_number("guidance_2", found, 0.0, most)
    if first <= 1 < low:
        raise InvalidInput(
            "guidance_2",
            f"guidance_2 is {low:g} beside guidance {first:g}, which turns it off for both experts; "
            "set guidance_2 to 1, or guidance above 1.",
        )
    return first, low


def _shift(spec: ModelSpec, asked: object, given: float | None) -> float | None:
    """The flow's shift; None leaves the model's own scheduler as it is. A LightX2V config's is for flows alone."""
    if spec.levels:
        if asked is not None:
            raise InvalidInput("shift", f"{spec.title} has noise levels of its own; leave shift out.")
        return None
    checked_shift_use(asked, spec.title, spec.scheduler)
    flow = spec.process in ("flow", "inverted")
    value = _first(asked, given if flow else None, spec.defaults.shift)
    return None if value is None else checked_number("shift", value, 0.01, 100.0)


def _negative(spec: ModelSpec, asked: object) -> str:
    text = _text("negative_prompt", _first(asked, spec.defaults.negative_prompt), empty=True)
    if text.strip() and not spec.family.negative:
        raise InvalidInput("negative_prompt", f"{spec.title} takes no negative prompt; leave it empty.")
    return text


def _frames(spec: ModelSpec, asked: object, given: int | None) -> object:
    """The number of frames; a still has one, whatever length a LightX2V config was made for."""
    if spec.family.output == "video":
        return _first(asked, given, spec.defaults.frames)
    if asked not in (None, 1):
        raise InvalidInput("frames", f"frames is {str(asked)[:40]}; {spec.title} makes stills, which have 1.")
    return 1


def _first(*values: object) -> object:
    return next((value for value in values if value is not None), None)


def _text(field: str, value: object, limit: int = MAX_PROMPT, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (empty or value.strip()):
        raise InvalidInput(
            field, f"{field} is {'empty' if isinstance(value, str) else 'not text'}; write what to show."
        )
    if len(value) > limit:
        raise InvalidInput(field, f"{field} has {len(value):,} characters; at most {limit:,} are taken.")
    if any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in value):
        raise InvalidInput(field, f"{field} holds a NUL or half of a surrogate pair, which is not text; remove it.")
    return value


def _seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        raise InvalidInput("seed", f"seed is {str(value)[:40]}; it must be an integer in 0..{MAX_SEED}.")
    return value


def checked_number(field: str, value: object, low: float, high: float) -> float:
    """A number from outside, in a finite range; NaN and integers that are no float are outside of it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # type: ignore[operator]
        raise InvalidInput(field, f"{field} is {str(value)[:40]}; it must be a number in {low:g}..{high:g}.")
    return float(value)  # type: ignore[arg-type]
