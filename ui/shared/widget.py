"""The one way our widgets are made: a subclass of `gr.HTML` with a JS and a CSS file of its own beside it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr

SHARED = Path(__file__).with_name("shared.js")
# Scripts of widgets that show videos in step, from a widget's folder on.
PLAYING = tuple(f"../shared/playing/{name}.js" for name in ("controls", "lockstep", "slides", "media"))
ONE_NODE = '<div class="widget"></div>'  # constant: the DOM below it belongs to the script, so nothing is re-rendered


class Widget(gr.HTML):
    """A widget whose folder holds `NAME.js` and `NAME.css`; `shared.js` and its `scripts` stand before its script.

    The value is JSON. Never put a value into a template: texts from people reach the page by `textContent` alone.
    """

    scripts: ClassVar[tuple[str, ...]] = ()  # further files from the folder on, in order; all share one scope

    def __init__(self, value: Any = None, **options: Any) -> None:
        path = Path(inspect.getfile(type(self)))
        style = path.with_suffix(".css").read_text("utf-8")
        files = (SHARED, *(path.parent / name for name in self.scripts), path.with_suffix(".js"))
        super().__init__(
            value,
            html_template=ONE_NODE,
            css_template=style,
            js_on_load="\n".join(file.read_text("utf-8") for file in files),
            apply_default_css=False,
            container=False,
            padding=False,
            **options,
        )


class Display(Widget):
    """A widget that only shows: the value is JSON, or an object whose `to_json` gives it, and nothing comes back."""

    def postprocess(self, value: Any) -> Any:
        return value.to_json() if hasattr(value, "to_json") else value

    def preprocess(self, payload: object) -> None:
        """Nothing: a browser has no say in what was measured."""
        return None

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

    def example_payload(self) -> None:
        return None

    def example_value(self) -> None:
        return None
