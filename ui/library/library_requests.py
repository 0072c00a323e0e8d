"""What the library's widget may ask for, parsed once. Everything here came from a browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from engine.checked import checked_integer
from engine.errors import InvalidInput
from engine.jobs.library_query import Sort
from engine.strict_json import shown

Shelf = Literal["all", "pinned", "deleted"]
ChangeName = Literal["show", "pin", "unpin", "delete", "restore", "purge", "dismiss", "restart"]

PAGE = 24  # jobs that are shown first, and that every "show more" adds
MOST = 100 * PAGE
MAX_SEARCH = 200  # characters
MIN_RUNS, MAX_RUNS = 2, 8  # of a comparison across jobs
MAX_NUMBER = 64


@dataclass(frozen=True, slots=True)
class Query:
    """What is to be shown: words, order, shelf, and how many jobs at most."""

    search: str = ""
    sort: Sort = "newest"
    shelf: Shelf = "all"
    count: int = PAGE

    def to_json(self) -> dict[str, Any]:
        return {"search": self.search, "sort": self.sort, "shelf": self.shelf, "count": self.count}


@dataclass(frozen=True, slots=True)
class Change:
    """Something is done to a job (`job`) or a notice (`notice`), and the list is shown anew."""

    name: ChangeName
    query: Query
    job: str = ""
    notice: int = 0


@dataclass(frozen=True, slots=True)
class Pick:
    """One run of one job; number 0 is the baseline."""

    job: str
    number: int


@dataclass(frozen=True, slots=True)
class Leave:
    """The studio is wanted: with a job, with several runs side by side, or as it was (both empty)."""

    job: str = ""
    runs: tuple[Pick, ...] = ()


def parse_change(data: object) -> Change:
    """The data of an `.input` event. Raises InvalidInput naming the field, the value and the legal ones."""
    fields = _object(data, "the library's event")
    query = parse_query(fields.get("query", {}))
    name = _one_of("action", fields.get("action"), get_args(ChangeName))
    if name == "dismiss":
        return Change(name, query, notice=checked_integer("notice", fields.get("notice"), 1, 2**53))  # type: ignore[arg-type]
    job = "" if name in ("show", "restart") else _job(fields.get("job"))
    return Change(name, query, job)  # type: ignore[arg-type]


def parse_query(data: object) -> Query:
    """What a browser wants to see; what it does not say is as at first. Raises InvalidInput."""
    fields = _object(data, "query")
    search = fields.get("search", "")
    if not isinstance(search, str) or len(search) > MAX_SEARCH:
        raise InvalidInput("search", f"search is {shown(search)}; it must be text of at most {MAX_SEARCH} characters.")
    return Query(
        search,
        _one_of("sort", fields.get("sort", "newest"), get_args(Sort)),  # type: ignore[arg-type]
        _one_of("shelf", fields.get("shelf", "all"), get_args(Shelf)),  # type: ignore[arg-type]
        checked_integer("count", fields.get("count", PAGE), 1, MOST),
    )


def parse_leave(data: object) -> Leave:
    """The data of a `.select` event. Raises InvalidInput."""
    fields = _object(data, "the library's event")
    name = _one_of("action", fields.get("action"), ("open", "compare", "studio"))
    if name == "open":
        return Leave(_job(fields.get("job")))
    return Leave(runs=parse_picks(fields.get("runs"))) if name == "compare" else Leave()


def parse_picks(data: object) -> tuple[Pick, ...]:
    """The runs of a comparison across jobs, as [job, number] pairs, each once. Raises InvalidInput."""
    if not isinstance(data, list) or not MIN_RUNS <= len(data) <= MAX_RUNS:
        raise InvalidInput("runs", f"{MIN_RUNS} to {MAX_RUNS} runs can stand side by side; choose so many.")
    picks = []
    for item in data:
        if not isinstance(item, list) or len(item) != 2:
            raise InvalidInput("runs", f"runs holds {shown(item)}; a run is its job's id and its number.")
        picks.append(Pick(_job(item[0]), checked_integer("number", item[1], 0, MAX_NUMBER)))
    if len(set(picks)) < len(picks):
        raise InvalidInput("runs", "a run was chosen twice; choose each once.")
    return tuple(picks)


def picks_of(text: str) -> tuple[Pick, ...]:
    """The runs that an address names, as `ID.NUMBER,ID.NUMBER`. Raises InvalidInput."""
    pairs = [part.rpartition(".") for part in text[:1000].split(",")]
    return parse_picks(
        [[job, int(number) if number.isascii() and number.isdigit() else -1] for job, _, number in pairs]
    )


def _object(data: object, what: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise InvalidInput(what, f"{what} is {shown(data)}; it must be an object.")
    return data


def _one_of(field: str, value: object, legal: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in legal:
        raise InvalidInput(field, f"{field} is {shown(value)}; it must be one of {', '.join(legal)}.")
    return value


def _job(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 64:
        raise InvalidInput("job", f"job is {shown(value)}; it must be a job's id.")
    return value
