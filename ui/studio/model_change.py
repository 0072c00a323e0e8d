"""Another model is chosen: what of the page goes with it, what waits, and what the person is told.

Lanes of a resolution schedule and lanes by levels cannot become each other. Those of the kind that is left wait in the
page's state, with their model's fields, and come back when a model of their kind is chosen again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import InvalidInput
from engine.hpdm.prompt_words import understand
from engine.models.catalogue import SHIPPED, SHIPPED_LEVELS, ModelSpec, catalogue
from ui.studio.form import default_values, kept_pictures, whole
from ui.studio.opened_files import first_tracks
from ui.timeline.board import Board, board_of, parse_board, with_steps

STAYING = ("model", "prompt", "seed")  # as chosen now, whatever waited
KeptFields = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Switched:
    """The page for another model: its fields, its board, what waits by kind of model, and what to tell."""

    fields: dict[str, Any]
    board: Board
    kept: KeptFields
    notes: tuple[str, ...]


def kind_of(spec: ModelSpec) -> str:
    """Which lanes a model takes."""
    return "levels" if spec.levels else "schedules"


def switched(old: ModelSpec, spec: ModelSpec, values: Mapping[str, Any], board: Board, kept: KeptFields) -> Switched:
    """From `old` to `spec`: `values` are the form's, `kept` what earlier switches left waiting.

    Prompt, seed and pictures that both take stay. Raises InvalidInput where a value cannot be read at all.
    """
    fields = default_values(spec) | {"prompt": values["prompt"], "seed": whole(values["seed"])}
    fields |= kept_pictures(values, spec)
    if kind_of(old) == kind_of(spec):
        fitted, notes = with_steps(board, fields["steps"], spec.levels)
        return Switched(fields, fitted, kept, (*notes, *_read(spec, fields["prompt"])))
    waiting = {"model": old.id, "fields": dict(values), "board": board.value()}
    found, notes = kept.get(kind_of(spec)), [_left(old, spec, len(board.lanes))]
    if found is None:
        new = parse_board(board_of(first_tracks(spec, fields["steps"]), fields["steps"]))
    else:
        if found["model"] == spec.id:
            fields |= {name: value for name, value in found["fields"].items() if name not in STAYING}
        new, more = with_steps(parse_board(found["board"]), whole(fields["steps"]), spec.levels)
        notes += more
    told = tuple(note for note in (*notes, *_read(spec, fields["prompt"])) if note)
    return Switched(fields, new, {**kept, kind_of(old): waiting}, told)


def other_model(spec: ModelSpec) -> ModelSpec | None:
    """The shipped model of the other kind: what one of the two draws can be set beside what the other does."""
    name = {SHIPPED: SHIPPED_LEVELS, SHIPPED_LEVELS: SHIPPED}.get(spec.id)
    return catalogue().get(name) if name else None


def _left(old: ModelSpec, spec: ModelSpec, lanes: int) -> str:
    """What cannot be carried over, and that it is not lost."""
    if not lanes:
        return ""
    if spec.levels:
        tracks = "schedule waits" if lanes == 1 else f"{lanes} schedules wait"
        return f"{spec.title} runs by levels, not along a resolution schedule. Your {tracks} for when you come back."
    tracks = "level track waits" if lanes == 1 else f"{lanes} level tracks wait"
    return f"{spec.title} has no levels; it follows resolution schedules. Your {tracks} for when you come back."


def _read(spec: ModelSpec, prompt: Any) -> tuple[str, ...]:
    """What a model that knows words takes from a prompt that was written for another."""
    if spec.levels is None or not isinstance(prompt, str) or not prompt.strip():
        return ()
    try:
        words = understand(prompt, spec.levels.conditions).words.values()
    except InvalidInput as error:
        return (str(error),)
    return (f"Of this prompt it knows {' and '.join(f'“{word}”' for word in words)}, and no other word.",)
