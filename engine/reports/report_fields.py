"""The kinds of fields that a report is made of: bounded numbers, plain file names, documents of other parts.

Parts are frozen pydantic models that refuse unknown fields and anything not finite.
"""

from __future__ import annotations

import json
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, JsonValue

from engine.caches.cache_choice import parse_cache
from engine.errors import InvalidInput
from engine.hpdm.level_choice import parse_levels
from engine.texts import plain

MAX_RUNS = 65  # the baseline, and as many schedules as a comparison takes
MAX_TILES = 4096
MAX_NAME = 200
MAX_TEXT = 4000  # characters of a prompt, an error, a reason
MAX_KEYS_BYTES = 64 * 1024  # of a schedule, a cache or a choice of levels, as JSON


def _plain_file(name: str) -> str:
    """A file beside the report. Refuses folders, so that a stranger's report cannot name other files."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", name):
        raise ValueError("a file name of letters, digits and ._- without a folder is needed")
    return name


def _lines(text: str) -> str:
    return plain(text, lines=True)


def _bounded(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(json.dumps(value, allow_nan=False)) > MAX_KEYS_BYTES:
        raise ValueError(f"at most {MAX_KEYS_BYTES} bytes are read")
    return value


def _known_cache(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _bounded(value)
    try:
        parse_cache(value)
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    return value


def _known_levels(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _bounded(value)
    try:
        parse_levels(value)
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    return value


# The texts of a report of before may hold what none may: it is taken out (`engine.texts`), and lengths are of the rest.
Name = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(plain), Field(min_length=1)]
Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_lines)]
Whole = Annotated[int, Field(ge=0)]
Bytes = Whole
Index = Whole
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
NotNegative = Annotated[FiniteFloat, Field(ge=0)]
Seconds = NotNegative
FileName = Annotated[str, AfterValidator(_plain_file)]
LevelKeys = Annotated[dict[str, JsonValue], AfterValidator(_known_levels)]
ScheduleKeys = Annotated[dict[str, JsonValue], AfterValidator(_bounded)]
CacheKeys = Annotated[dict[str, JsonValue], AfterValidator(_known_cache)]


class Part(BaseModel):
    """A part of a report."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
