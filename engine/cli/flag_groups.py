"""Flags of the command line that come to a command as one value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

Command = Callable[..., None]


def grouped(
    parameter: str, flags: Sequence[inspect.Parameter], make: Callable[..., Any]
) -> Callable[[Command], Command]:
    """A decorator of typer commands: the flags stand where `parameter` stood, which gets what `make` makes of them."""
    names = [flag.name for flag in flags]

    def decorated(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        shown: list[inspect.Parameter] = []
        for one in own.parameters.values():
            shown += flags if one.name == parameter else [one]
        shown = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in shown]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            made = make(**{name: values.pop(name) for name in names})
            command(**values, **{parameter: made})

        run.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in shown} | {"return": None}
        return run

    return decorated
