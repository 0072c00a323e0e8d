"""What the timeline board holds, parsed once and frozen; and the two ways between it and an experiment's tracks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.caches.cache_choice import CacheChoice, parse_optional
from engine.checked import checked_integer
from engine.errors import InvalidInput
from engine.experiments.experiment import Track
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.level_choice import LevelChoice, checked_level_schedule, level_schedule, parse_optional_levels
from engine.schedules.schedule import ResolutionSchedule, checked_steps, own_steps, parse_schedule
from engine.strict_json import shown
from engine.switching.policies import policy_named
from engine.texts import check_plain

MAX_TRACKS = 8
MAX_NAME = 80
COLOURS = 7  # var(--run-1) to var(--run-7); 0 is the baseline's
BOARD_KEYS = ("infer_steps", "tracks")
TRACK_KEYS = ("name", "policy", "colour", "resolution_rate", "changing_resolution_steps")
OPTIONAL_KEYS = ("cache", "levels", "steps")


@dataclass(frozen=True)
class BoardTrack:
    """One lane of the board; `colour` counts from 1 to 7, `policy` is a name of the registry.

    `levels` is what a lane of a hierarchical patch model chooses; its schedule is then the model's own. `steps` are
    those that it keeps whatever the board has (None: the board's); its schedule is over the steps that it runs.
    """

    name: str
    policy: str
    colour: int
    schedule: ResolutionSchedule
    cache: CacheChoice | None = None
    levels: LevelChoice | None = None
    steps: int | None = None

    def value(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "policy": self.policy,
            "colour": self.colour,
            "resolution_rate": list(self.schedule.rates),
            "changing_resolution_steps": list(self.schedule.switch_steps),
            **({"cache": self.cache.document()} if self.cache else {}),
            **({"levels": self.levels.document()} if self.levels else {}),
            **({} if self.steps is None else {"steps": self.steps}),
        }

    def track(self, steps: int) -> Track:
        """The lane as a track of an experiment of `steps` steps. Raises InvalidInput where it does not fit."""
        schedule = self.schedule.with_steps(self.steps or steps)
        return Track(self.name, schedule, policy_named(self.policy), self.cache, self.levels, self.steps)


@dataclass(frozen=True)
class Board:
    """All lanes, without the baseline, which is always there. Schedules have `infer_steps` steps, or their own."""

    infer_steps: int
    lanes: tuple[BoardTrack, ...] = ()

    def tracks(self, steps: int | None = None) -> list[Track]:
        """The lanes as tracks of an experiment of `steps` steps (None: the board's own). Raises InvalidInput."""
        count = self.infer_steps if steps is None else steps
        return [lane.track(count) for lane in self.lanes]

    def value(self) -> dict[str, Any]:
        """The board as the widget takes it: plain JSON."""
        return {"infer_steps": self.infer_steps, "tracks": [lane.value() for lane in self.lanes]}


def parse_board(value: object, max_tracks: int = MAX_TRACKS) -> Board:
    """Check a board that came from a browser, a program or ourselves.

    Ranges: `infer_steps` 1..1000; at most `max_tracks` tracks; names of 1..80 characters; colours 1..7; rates and
    switch steps as `parse_schedule` takes them; `cache`, `levels` and `steps`, which may be missing, as `parse_cache`,
    `parse_levels` and `own_steps` take them; no unknown key. Raises InvalidInput naming track, field and remedy.
    """
    document = _object(value, "the board", BOARD_KEYS)
    steps = checked_steps(document["infer_steps"])
    tracks = document["tracks"]
    if not isinstance(tracks, list):
        raise InvalidInput("tracks", f"tracks is {shown(tracks)}; it must be a list.")
    if len(tracks) > max_tracks:
        raise InvalidInput("tracks", f"The board has {len(tracks)} tracks; at most {max_tracks} can be compared.")
    return Board(steps, tuple(_parse_track(track, k, steps) for k, track in enumerate(tracks, 1)))


def board_of(tracks: Iterable[Track], steps: int) -> dict[str, Any]:
    """The board's value for tracks of an experiment, brought to `steps` steps; colours go by position.

    Raises InvalidInput where a schedule does not fit into `steps`.
    """
    lanes = (
        BoardTrack(
            track.name[:MAX_NAME],
            track.policy.name,
            1 + k % COLOURS,
            track.fitted(steps),
            track.cache,
            track.levels,
            track.steps,
        )
        for k, track in enumerate(tracks)
    )
    return Board(checked_steps(steps), tuple(lanes)).value()


def with_steps(board: Board, steps: int, levels: HpdmConfig | None = None) -> tuple[Board, list[str]]:
    """The same shapes over another number of steps, with a sentence for every track that lost a stage.

    A lane with steps of its own stays as it is.

    Switch steps scale as in `ResolutionSchedule.with_steps`; a stage that would have no step left is left out instead
    of refusing the board, because a person who types a step count passes through small numbers. With `levels`, those
    of a hierarchical patch model, every level keeps a step: InvalidInput where there are too few.
    """
    checked_steps(steps)
    if levels:
        return replace(board, infer_steps=steps, lanes=_levelled(board, steps, levels)), []
    notes: list[str] = []
    lanes = []
    for lane in board.lanes:
        if lane.steps is not None:
            lanes.append(lane)
            continue
        try:
            schedule = lane.schedule.with_steps(steps)
        except InvalidInput:
            schedule = _squeezed(lane.schedule, steps)
            lost = len(lane.schedule.stages) - len(schedule.stages)
            notes.append(f'"{lane.name}" lost {lost} of its stages: they have no step left in {steps} steps.')
        lanes.append(replace(lane, schedule=schedule))
    return Board(steps, tuple(lanes)), notes


def snapped(board: Board, rates: Sequence[Mapping[str, Any]]) -> tuple[Board, list[str]]:
    """Raise every rate that the model cannot run to the smallest that it can, with a sentence for each.

    `rates` are those of the widget's context, ascending. Rates between two of them are left alone: they run at the
    size of the one below.
    """
    smallest = float(rates[0]["rate"])
    notes: list[str] = []
    lanes = []
    for lane in board.lanes:
        legal = tuple(max(rate, smallest) for rate in lane.schedule.rates)
        for old, new in zip(lane.schedule.rates, legal, strict=True):
            if old != new:
                notes.append(f'"{lane.name}": rate {old:g} is too small for this size and became {new:g}.')
        lanes.append(replace(lane, schedule=replace(lane.schedule, rates=legal)))
    return replace(board, lanes=tuple(lanes)), notes


def _levelled(board: Board, steps: int, config: HpdmConfig) -> tuple[BoardTrack, ...]:
    """The lanes over another number of steps; one whose levels have shares of their own keeps them where they fit."""
    new, old = level_schedule(config, steps), board.infer_steps
    lanes = []
    for lane in board.lanes:
        schedule = new
        if old >= config.levels and lane.schedule != level_schedule(config, old):
            with contextlib.suppress(InvalidInput):
                schedule = checked_level_schedule(lane.schedule, config, steps)
        lanes.append(replace(lane, schedule=schedule))
    return tuple(lanes)


def _squeezed(schedule: ResolutionSchedule, steps: int) -> ResolutionSchedule:
    """Scaled switch steps, without the stages that would be empty."""
    rates: list[float] = []
    switches: list[int] = []
    for rate, step in zip(schedule.rates, schedule.switch_steps, strict=True):
        scaled = min(math.floor(step * steps / schedule.infer_steps + 0.5), steps - 1)
        if scaled > (switches[-1] if switches else 0):
            rates.append(rate)
            switches.append(scaled)
    return parse_schedule(steps, rates, switches)


def _parse_track(value: object, position: int, steps: int) -> BoardTrack:
    where = f"track {position}"
    document = _object(value, where, TRACK_KEYS, OPTIONAL_KEYS)
    try:
        own = own_steps(document.get("steps"))
        return BoardTrack(
            _name(document["name"]),
            policy_named(document["policy"]).name,
            checked_integer("colour", document["colour"], 1, COLOURS),
            parse_schedule(own or steps, document["resolution_rate"], document["changing_resolution_steps"]),
            parse_optional(document.get("cache")),
            parse_optional_levels(document.get("levels")),
            own,
        )
    except InvalidInput as error:
        raise InvalidInput(error.field, f"Track {position}: {error}") from None


def _object(value: object, where: str, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """A JSON object with exactly these keys, and no others but the optional ones."""
    if not isinstance(value, dict):
        raise InvalidInput(where, f"{where} is {shown(value)}; it must be an object with {', '.join(keys)}.")
    for key in keys:
        if key not in value:
            raise InvalidInput(key, f'{where} lacks the key "{key}".')
    known = (*keys, *optional)
    for key in value:
        if key not in known:
            raise InvalidInput(str(key)[:40], f'{where} has the unknown key "{shown(key)}"; known: {", ".join(known)}.')
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput("name", "name is empty or not text; give the track a name.")
    if len(value) > MAX_NAME:
        raise InvalidInput("name", f"name has {len(value):,} characters; at most {MAX_NAME} are taken.")
    check_plain("name", value)
    return value.strip()
