"""Which jobs the library shows: searched, sorted and cut to a page by the database, so that memory stays what it is."""

from __future__ import annotations

from typing import Literal

from engine.jobs.database import Store

Seen = tuple[str, list[object]] | None  # the condition of what somebody may be shown; None: all

Sort = Literal["newest", "oldest", "prompt", "model", "largest"]
PAGE = 100  # jobs that are listed where nobody says how many
SORTS: dict[str, str] = {
    "newest": "created DESC, id",
    "oldest": "created, id",
    "prompt": "words, created DESC",  # the words begin with the prompt
    "model": "model, created DESC",
    "largest": "bytes DESC, created DESC",
}


def page(
    store: Store, sort: str, limit: int | None, search: str, pinned: bool | None, deleted: bool, seen: Seen = None
) -> list[str]:
    """The ids of the first `limit` jobs of a shelf (all if None), in order."""
    where, values = _shelf(search, pinned, deleted, seen)
    sql = f"SELECT id FROM jobs WHERE {where} ORDER BY {SORTS.get(sort, SORTS['newest'])} LIMIT ?"
    return [job_id for (job_id,) in store.read(sql, *values, -1 if limit is None else max(0, limit))]


def count(store: Store, search: str, pinned: bool | None, deleted: bool, seen: Seen = None) -> int:
    """How many jobs a shelf holds."""
    where, values = _shelf(search, pinned, deleted, seen)
    return int(store.read(f"SELECT count(*) FROM jobs WHERE {where}", *values)[0][0])


def first_to_go(store: Store) -> str | None:
    """The job that the quota would take first, the trash apart."""
    sql = (
        "SELECT id FROM jobs WHERE deleted IS NULL AND NOT pinned AND status NOT IN ('queued', 'running')"
        " ORDER BY coalesce(ended, created) LIMIT 1"
    )
    return next((job_id for (job_id,) in store.read(sql)), None)


def _shelf(search: str, pinned: bool | None, deleted: bool, seen: Seen) -> tuple[str, list[object]]:
    """The condition of a shelf: in the trash or not, pinned or not, every word of `search` somewhere in the job's."""
    parts = [f"deleted IS {'NOT ' if deleted else ''}NULL"]
    values: list[object] = []
    if pinned is not None:
        parts, values = [*parts, "pinned = ?"], [int(pinned)]
    if seen is not None:
        parts, values = [*parts, seen[0]], [*values, *seen[1]]
    words = search.casefold().split()
    return " AND ".join([*parts, *["instr(words, ?)"] * len(words)]), [*values, *words]
