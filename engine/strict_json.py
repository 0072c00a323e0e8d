"""Reading JSON from people: one small, strict reader for presets, configs, links and stored experiments.

Python's own reader takes NaN, 1e999, duplicate keys (the last one wins, silently) and any depth (RecursionError).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import InvalidInput

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 40
MAX_KEYS = 512  # of one object; a run of a report has 23
MAX_KEY = 200  # characters of one
_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Bounds:
    """How much of a document is read: its bytes, and how many values, keys and brackets it may have in all.

    Both are known before anything is parsed, and what is parsed takes at most some 100 bytes of memory an item.
    """

    size: int
    items: int


SMALL = Bounds(MAX_BYTES, MAX_BYTES)  # presets, configs, links, experiments


def loads(data: bytes | str, what: str, bounds: Bounds = SMALL) -> dict[str, Any]:
    """Parse one JSON object strictly.

    `what` names the source in messages (a file name, "the link"). Refused with InvalidInput: more bytes or items than
    `bounds`, a byte-order mark or any encoding but UTF-8, truncated text, nesting over 32, duplicate keys, over 512 of
    one object, NaN and infinities (also as 1e999), integers over 40 digits, lone surrogates, anything but an object
    at the top.
    """
    if len(data) > bounds.size:
        _refuse(what, f"is {len(data):,} bytes long; at most {bounds.size:,} are read")
    if (items := items_of(data)) > bounds.items:
        _refuse(what, f"holds {items:,} values, keys and brackets; at most {bounds.items:,} are read")
    text = _decode(data, what)
    _check_depth(text, what)
    try:
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: _unique(pairs, what),
            parse_constant=lambda word: _refuse(what, f"holds {word}, which JSON numbers cannot be"),
            parse_float=lambda digits: _finite(digits, what),
            parse_int=lambda digits: _bounded(digits, what),
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidInput(what, f"{what} is not complete, valid JSON: {error.msg.lower()} at {where}.") from None
    if not isinstance(value, dict):
        _refuse(what, f"holds a {_json_type(value)} at the top; an object {{...}} is needed")
    return value


def dumps(value: Mapping[str, Any]) -> str:
    """Write an object as indented UTF-8 JSON text; NaN and infinities raise ValueError."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _decode(data: bytes | str, what: str) -> str:
    if isinstance(data, str):
        text = data
    else:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:4]:
            _refuse(what, "is UTF-16 or UTF-32 text; save it as UTF-8")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            _refuse(what, f"is not UTF-8 text (byte {error.start}); save it as UTF-8")
    if text.startswith("\ufeff"):
        _refuse(what, "begins with a byte-order mark; save it as UTF-8 without BOM")
    return text


def items_of(data: bytes | str) -> int:
    """At least as many values, keys and brackets as a JSON text holds; what looks like them within texts counts too."""
    if isinstance(data, str):
        return sum(map(data.count, ",:[{"))
    return sum(map(data.count, (b",", b":", b"[", b"{")))


# A text that does not end is taken to the end, or each of its quotes would be looked at as a beginning.
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def _check_depth(text: str, what: str) -> None:
    """Refuse deep nesting before the parser recurses into it; brackets inside strings do not count."""
    depth = 0
    for found in _MARKS.finditer(text):
        mark = text[found.start()]
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                _refuse(what, f"is nested more than {MAX_DEPTH} levels deep")
        elif mark != '"':
            depth -= 1


def _unique(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    if len(pairs) > MAX_KEYS:
        _refuse(what, f"holds an object of {len(pairs):,} keys; at most {MAX_KEYS} are read")
    result: dict[str, Any] = {}
    for key, value in pairs:
        if len(key) > MAX_KEY:
            _refuse(what, f"holds a key of {len(key):,} characters; at most {MAX_KEY} are read")
        if key in result:
            _refuse(what, f'has the key "{shown(key)}" twice; keep one')
        for text in (key, value):
            if isinstance(text, str) and _HALVES.search(text):
                _refuse(what, f'has half of a surrogate pair under the key "{shown(key)}"; it is not valid text')
        result[key] = value
    return result


def _finite(digits: str, what: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        _refuse(what, f"holds the number {shown(digits)}, which is too large")
    return value


def _bounded(digits: str, what: str) -> int:
    if len(digits) > MAX_DIGITS:
        _refuse(what, f"holds an integer of {len(digits)} digits; at most {MAX_DIGITS} are read")
    return int(digits)


def shown(value: object, limit: int = 40) -> str:
    """A value as it may stand in a message: printable, at most `limit` characters."""
    text = value[: limit + 1] if isinstance(value, str) else repr(value)
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _json_type(value: object) -> str:
    names = {list: "list", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _refuse(what: str, reason: str) -> Any:
    raise InvalidInput(what, f"{what} {reason}.")
