"""What the board is filled from: files that are dropped on the page, presets by name or in words, a first choice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine import strict_json
from engine.caches.cache_choice import split_shorthand
from engine.errors import InvalidInput
from engine.experiments.documents import load_experiment, parse_experiment
from engine.experiments.experiment import Experiment, Track
from engine.experiments.level_tracks import default_level_tracks
from engine.experiments.presets import NAMED, SHORTHAND, Preset, load_preset, parse_preset, preset_names
from engine.hpdm.level_choice import KEYS, LevelChoice, checked_level_schedule, checked_levels, parse_level_words
from engine.models.catalogue import ModelSpec, catalogue_model
from engine.schedules.schedule import ResolutionSchedule, flat
from engine.strict_json import shown
from engine.switching.policies import DEFAULT_POLICY, policy_named
from ui.timeline.board import COLOURS, MAX_NAME, MAX_TRACKS, Board, BoardTrack

ORDINARY = ("flat", *preset_names())
LEVEL_WORDS = re.compile(rf"(?:{'|'.join(KEYS)})=")
MAX_DOCUMENTS = 16  # LightX2V documents kept a page, to be written back with their unknown keys


@dataclass(frozen=True)
class Opened:
    """What a file held: an experiment, or the board with one track more."""

    board: Board
    experiment: Experiment | None = None
    documents: Mapping[str, Any] = field(default_factory=dict)


def open_file(path: str | None, board: Board, documents: Mapping[str, Any], spec: ModelSpec) -> Opened:
    """Read a dropped file by what it is; a schedule must fit `spec`, an experiment names a model of the catalogue.

    Raises InvalidInput in one sentence.
    """
    if not path:
        raise InvalidInput("file", "no file arrived; drop it again.")
    file = Path(path)
    if file.suffix.lower() == ".mp4" or file.name == "report.json":
        return Opened(board, load_experiment(file, models=catalogue_model))
    data = _read(file)
    document = strict_json.loads(data, file.name)
    if "resolute_experiment" in document:
        return Opened(board, parse_experiment(data, file.name, models=catalogue_model))
    preset = parse_preset(data, file.name)
    changed = added(board, preset, spec)
    kept = dict(list(documents.items())[-MAX_DOCUMENTS + 1 :])
    if "resolute_preset" not in document:
        kept[changed.lanes[-1].name] = document
    return Opened(changed, None, kept)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(strict_json.MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput("file", f"{file.name[:80]} cannot be read: {error.strerror}.") from None


def preset_of(name: object, steps: int) -> Preset:
    """A bundled preset by its name; a stranger's word never names a path."""
    if not isinstance(name, str) or name not in ORDINARY:
        raise InvalidInput("preset", f"preset is {shown(name, 60)}; it must be one of {', '.join(ORDINARY)}.")
    return load_preset(name, steps)


def parse_schedule_text(text: object, steps: int) -> Preset:
    """A schedule that a program sent: a preset's name or shorthand, maybe with a cache behind it, or JSON text.

    Of a model by levels its words, as `levels=2,overlap=none`. Raises InvalidInput.
    """
    if isinstance(text, str) and LEVEL_WORDS.match(text):
        return Preset(text[:MAX_NAME], flat(steps), levels=parse_level_words(text))
    schedule, cache = split_shorthand(text) if isinstance(text, str) else (text, None)
    if cache is not None:
        return replace(parse_schedule_text(schedule, steps), name=str(text), cache=cache)
    if isinstance(text, str) and text.lstrip().startswith("{"):
        return parse_preset(text, "the schedule")
    named = NAMED.fullmatch(text) if isinstance(text, str) else None
    if isinstance(text, str) and (SHORTHAND.fullmatch(text) or (named and named["name"] in ORDINARY)):
        return load_preset(text, steps)
    return preset_of(text, steps)


def added(board: Board, preset: Preset, spec: ModelSpec) -> Board:
    """The board with one lane more, over the board's steps or the preset's own, in a colour that no lane has.

    Raises InvalidInput for a preset of another kind than the model.
    """
    if len(board.lanes) >= MAX_TRACKS:
        raise InvalidInput("tracks", f"The board holds {MAX_TRACKS} tracks already; remove one first.")
    used = [lane.colour for lane in board.lanes]
    colour = min(range(1, COLOURS + 1), key=lambda number: (used.count(number), number))
    names, name, copy = {lane.name for lane in board.lanes}, preset.name[:MAX_NAME], 2
    while name in names:
        name, copy = f"{preset.name[: MAX_NAME - 5]} ({copy})", copy + 1
    policy = policy_named(preset.policy or DEFAULT_POLICY).name
    schedule, levels = _fitted(preset, board.infer_steps, spec)
    lane = BoardTrack(name, policy, colour, schedule, preset.cache, levels, preset.steps)
    return replace(board, lanes=(*board.lanes, lane))


def _fitted(preset: Preset, steps: int, spec: ModelSpec) -> tuple[ResolutionSchedule, LevelChoice | None]:
    """A preset's schedule over `steps` steps, and its choice of levels for a model that has them."""
    if spec.levels is None:
        if preset.levels is None:
            return preset.schedule.with_steps(preset.steps or steps), None
        raise InvalidInput(
            "preset", f"“{preset.name}” is a level track, and {spec.title} has no levels; choose Emoji-HPDM first."
        )
    if preset.levels is None:
        raise InvalidInput(
            "preset",
            f"“{preset.name}” is a resolution schedule, and {spec.title} runs by levels; add a level track with the "
            "board's “Add track” instead, or choose another model first.",
        )
    if preset.steps is not None:
        raise InvalidInput(
            "preset", f"“{preset.name}” has steps of its own, and {spec.title} shares them among levels."
        )
    return checked_level_schedule(preset.schedule, spec.levels, steps), checked_levels(preset.levels, spec.levels)


def first_tracks(spec: ModelSpec, steps: int) -> list[Track]:
    """What a fresh board compares: a two-stage and a U-shaped schedule; of a model with levels, what shows most."""
    if spec.levels:
        return default_level_tracks(spec.levels, steps)
    presets = (load_preset(name, steps) for name in ("two-stage-0.5", "u-0.75"))
    return [
        Track(preset.name, preset.schedule.with_steps(steps), policy_named(preset.policy or DEFAULT_POLICY))
        for preset in presets
    ]
