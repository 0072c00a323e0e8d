"""What a widget's event brings, one field at a time, checked. Everything here came from a browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import InvalidInput
from engine.strict_json import shown


def checked_object(what: str, value: object) -> Mapping[str, Any]:
    """An object of fields. Raises InvalidInput."""
    if not isinstance(value, Mapping):
        raise InvalidInput(what, f"{what} is {shown(value)}; it must be an object.")
    return value


def checked_word(field: str, value: object, legal: tuple[str, ...]) -> str:
    """One of a few words. Raises InvalidInput naming them."""
    if not isinstance(value, str) or value not in legal:
        raise InvalidInput(field, f"{field} is {shown(value)}; it must be one of {', '.join(legal)}.")
    return value


def checked_job(value: object) -> str:
    """What may be the id of a job; whether there is such a job is asked later. Raises InvalidInput."""
    if not isinstance(value, str) or not 1 <= len(value) <= 64:
        raise InvalidInput("job", f"job is {shown(value)}; it must be a job's id.")
    return value
