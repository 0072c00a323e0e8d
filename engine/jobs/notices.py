"""What happened that people should hear of: sentences with a time, kept in the database."""

from __future__ import annotations

from dataclasses import dataclass

from engine.jobs.database import Store, now
from engine.jobs.logs import event

KEPT = 50
SHOWN_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence; `kind` is "worker", "database", "quota" or "job"; `created` is seconds since 1970."""

    id: int
    created: float
    kind: str
    text: str
    job_id: str | None


def notice(store: Store, kind: str, text: str, job_id: str | None = None) -> None:
    """Keep a notice, and log it; the newest fifty are kept."""
    event("notice", job=job_id, kind=kind, text=text)
    with store.transaction() as db:
        sql = "INSERT INTO notices (created, kind, text, job_id) VALUES (?, ?, ?, ?)"
        db.execute(sql, (now(), kind, text, job_id))
        db.execute(f"DELETE FROM notices WHERE id <= (SELECT max(id) FROM notices) - {KEPT}")


def notices(store: Store, since: float | None = None) -> list[Notice]:
    """The notices of the last day, or since a moment; the newest first."""
    moment = now() - SHOWN_S if since is None else since
    rows = store.read("SELECT * FROM notices WHERE created >= ? ORDER BY id DESC", moment)
    return [Notice(*row) for row in rows]


def dismiss(store: Store, notice_id: int) -> None:
    """Show a notice no more."""
    with store.transaction() as db:
        db.execute("DELETE FROM notices WHERE id = ?", (notice_id,))
