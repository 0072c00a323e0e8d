"""The pyramid view as a Gradio component."""

from __future__ import annotations

from typing import Any

from ui.pyramid.value import Pyramid
from ui.widget import Widget


class PyramidView(Widget):
    """The levels of a hierarchical patch model side by side, in step; nothing at all where no run has levels.

    The value is a `Pyramid` or None. Nothing comes back from a browser.
    """

    scripts = (
        "../comparator/lockstep.js",
        "../comparator/slides.js",
        "../comparator/media.js",
        "parts.js",
        "tiles.js",
        "level.js",
    )

    def __init__(self, value: Pyramid | None = None, **options: Any) -> None:
        super().__init__(value, **options)

    def postprocess(self, value: Pyramid | dict[str, Any] | None) -> dict[str, Any] | None:  # type: ignore[override]
        """A `Pyramid`, or the JSON of one."""
        return value.to_json() if isinstance(value, Pyramid) else value

    def preprocess(self, payload: object) -> None:
        """Nothing: a browser has no say in what a pyramid is."""
        return None

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

    def example_payload(self) -> None:
        return None

    def example_value(self) -> None:
        return None
