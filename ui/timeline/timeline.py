"""The timeline widget: a person edits schedules or level tracks in the browser, Python receives a parsed `Board`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gradio as gr

from engine.errors import InvalidInput
from ui.shared.widget import Widget
from ui.timeline.board import MAX_TRACKS, Board, parse_board


class Timeline(Widget):
    """A board of tracks over one ruler of denoising steps; the baseline is always drawn first.

    Handlers receive a `Board` (None before there is a value) and give back a `Board` or its plain value. `context`
    tells what the chosen model can run and what that costs (docs/architecture.md); give a new one with
    `Timeline(context=…)`. Listen to `.input` with `trigger_mode="always_last"`: other modes drop events of a burst.
    """

    scripts: ClassVar[tuple[str, ...]] = (
        "schedule.js",
        "levels.js",
        "tip.js",
        "ruler.js",
        "caching.js",
        "lane.js",
        "levellane.js",
        "menu.js",
        "numbers.js",
        "gestures.js",
        "edits.js",
    )

    def __init__(
        self, value: Any = None, *, context: Mapping[str, Any] | None = None, label: str = "Schedules", **options: Any
    ) -> None:
        self.context = context
        super().__init__(value, context=context, label=label, **options)

    def preprocess(self, payload: Any) -> Board | None:  # type: ignore[override]
        if payload is None or payload == "":
            return None
        try:
            return parse_board(payload, (self.context or {}).get("max_tracks", MAX_TRACKS))
        except InvalidInput as error:
            raise gr.Error(str(error), print_exception=False) from None

    def postprocess(self, value: Any) -> dict[str, Any] | None:  # type: ignore[override]
        if value is None:
            return None
        return value.value() if isinstance(value, Board) else parse_board(value, MAX_TRACKS).value()

    def api_info(self) -> dict[str, Any]:
        track = {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "policy": {"type": "string"},
                "colour": {"type": "integer"},
                "resolution_rate": {"type": "array", "items": {"type": "number"}},
                "changing_resolution_steps": {"type": "array", "items": {"type": "integer"}},
                "cache": {"type": "object"},
                "levels": {"type": "object"},
                "steps": {"type": "integer"},
            },
        }
        return {
            "type": "object",
            "properties": {"infer_steps": {"type": "integer"}, "tracks": {"type": "array", "items": track}},
        }

    def example_value(self) -> dict[str, Any]:
        track = {
            "name": "Two-stage 0.75",
            "policy": "anchored",
            "colour": 1,
            "resolution_rate": [0.75],
            "changing_resolution_steps": [15],
        }
        return {"infer_steps": 30, "tracks": [track]}

    example_payload = example_value
