"""The pyramid view as a Gradio component."""

from __future__ import annotations

from typing import Any

from ui.pyramid.pyramid_value import Pyramid
from ui.shared.widget import PLAYING, Display


class PyramidView(Display):
    """The levels of a hierarchical patch model side by side, in step; nothing at all where no run has levels.

    The value is a `Pyramid` or None. Nothing comes back from a browser.
    """

    scripts = (*PLAYING, "parts.js", "tiles.js", "level.js")

    def __init__(self, value: Pyramid | None = None, **options: Any) -> None:
        super().__init__(value, **options)
