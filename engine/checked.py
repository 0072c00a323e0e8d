"""Numbers, flags and words from outside: what counts as one, and the refusals that most fields share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeGuard

from engine.errors import InvalidInput
from engine.strict_json import shown


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is an integer; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is an integer or a float, be it NaN or infinite; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked_integer(field: str, value: object, low: int, high: int, written: Callable[[object], str] = shown) -> int:
    """An integer in `low..high`. Raises InvalidInput naming the field, the value as `written`, and the range."""
    if is_integer(value) and low <= value <= high:
        return value
    raise InvalidInput(field, f"{field} is {written(value)}; it must be an integer in {low}..{high}.")


def checked_number(field: str, value: object, low: float, high: float) -> float:
    """A number in a finite range `low..high`. Raises InvalidInput, also for NaN and integers that are no float."""
    if is_number(value) and low <= value <= high:
        return float(value)
    raise InvalidInput(field, f"{field} is {shown(value)}; it must be a number in {low:g}..{high:g}.")


def checked_flag(field: str, value: object) -> bool:
    """True or False. Raises InvalidInput naming the field and the value."""
    if isinstance(value, bool):
        return value
    raise InvalidInput(field, f"{field} is {shown(value)}; it must be true or false.")


def checked_choice(field: str, value: object, choices: Sequence[str]) -> str:
    """One of two or more words. Raises InvalidInput naming the field, the value and the words."""
    if isinstance(value, str) and value in choices:
        return value
    raise InvalidInput(field, f"{field} is {shown(value)}; it must be {', '.join(choices[:-1])} or {choices[-1]}.")
