"""How every handler of the page is called: quietly, and with refusals told as one sentence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from engine.errors import ResoluteError

# Through Gradio's queue, for only there do its toasts reach the page; without a limit, as no handler computes for long.
QUIET: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
POLLED: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
    "trigger_mode": "once",
}


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """What this project refuses becomes one sentence on the page, which stays as it is.

    It is no error of Gradio's, since that would draw its own mark over everything that the handler may change.
    """

    @functools.wraps(handler)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except ResoluteError as error:
            refuse(error)
            return gr.skip()

    return wrapped


def refuse(error: ResoluteError) -> None:
    """Tell on the page what is refused, and why."""
    gr.Warning(str(error), duration=10, title="Not done")
