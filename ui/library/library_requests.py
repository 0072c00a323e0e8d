"""What the library's widget may ask for, parsed once. Everything here came from a browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from engine.checked import checked_integer
from engine.errors import InvalidInput
from engine.jobs.library_query import Sort
from engine.strict_json import shown
from ui.comparator.across_jobs import Pick, parse_picks
from ui.shared.event_data import checked_job, checked_object, checked_word

Shelf = Literal["all", "pinned", "deleted"]
ChangeName = Literal["show", "pin", "unpin", "delete", "restore", "purge", "dismiss", "restart"]

PAGE = 24  # jobs that are shown first, and that every "show more" adds
MOST = 100 * PAGE
MAX_SEARCH = 200  # characters


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
class Leave:
    """The studio is wanted: with a job, with several runs side by side, or as it was (both empty)."""

    job: str = ""
    runs: tuple[Pick, ...] = ()


def parse_change(data: object) -> Change:
    """The data of an `.input` event. Raises InvalidInput naming the field, the value and the legal ones."""
    fields = checked_object("the library's event", data)
    query = parse_query(fields.get("query", {}))
    name = checked_word("action", fields.get("action"), get_args(ChangeName))
    if name == "dismiss":
        return Change(name, query, notice=checked_integer("notice", fields.get("notice"), 1, 2**53))  # type: ignore[arg-type]
    job = "" if name in ("show", "restart") else checked_job(fields.get("job"))
    return Change(name, query, job)  # type: ignore[arg-type]


def parse_query(data: object) -> Query:
    """What a browser wants to see; what it does not say is as at first. Raises InvalidInput."""
    fields = checked_object("query", data)
    search = fields.get("search", "")
    if not isinstance(search, str) or len(search) > MAX_SEARCH:
        raise InvalidInput("search", f"search is {shown(search)}; it must be text of at most {MAX_SEARCH} characters.")
    return Query(
        search,
        checked_word("sort", fields.get("sort", "newest"), get_args(Sort)),  # type: ignore[arg-type]
        checked_word("shelf", fields.get("shelf", "all"), get_args(Shelf)),  # type: ignore[arg-type]
        checked_integer("count", fields.get("count", PAGE), 1, MOST),
    )


def parse_leave(data: object) -> Leave:
    """The data of a `.select` event. Raises InvalidInput."""
    fields = checked_object("the library's event", data)
    name = checked_word("action", fields.get("action"), ("open", "compare", "studio"))
    if name == "open":
        return Leave(checked_job(fields.get("job")))
    return Leave(runs=parse_picks(fields.get("runs"))) if name == "compare" else Leave()
