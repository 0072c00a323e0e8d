"""How every handler of the page is called: quietly, and with refusals told as one sentence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from engine.errors import ResoluteError

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """What this project refuses becomes one sentence on the page; nothing else of an error leaves the server."""

    @functools.wraps(handler)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except ResoluteError as error:
            raise gr.Error(str(error), duration=10, title="Not done", print_exception=False) from None

    return wrapped
