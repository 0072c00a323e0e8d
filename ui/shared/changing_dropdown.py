"""A list to choose from whose choices change with the page."""

from __future__ import annotations

from typing import Any

import gradio as gr


class Choice(gr.Dropdown):
    """A dropdown that hands any text to its handler, which parses it.

    While several components change at once, an event of one may still bring another's old choice; Gradio would refuse
    the whole event for it.
    """

    is_template = True  # the browser shows Gradio's own list

    def preprocess(self, payload: Any) -> str | None:
        return payload if isinstance(payload, str) else None
