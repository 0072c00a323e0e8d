"""What runs have taken on this machine, kept by what they were and where they ran: the page predicts from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from engine.costs.timings import HW, Probe, TimingKey, Timings
from engine.jobs.database import Store, now
from engine.reports.schema import Run


def learn(store: Store, key: TimingKey, run: Run) -> None:
    """Add a finished run to the timings of its key; a reused one has taken nothing here."""
    if run.status == "done" and not run.reused:
        _change(store, key, lambda timings: timings.with_run(run))


@dataclass(frozen=True)
class TimingBook:
    """Keeps what a comparison has timed besides its runs; `engine.comparing.listeners.Learner`."""

    store: Store
    key: TimingKey

    def has(self, size: HW) -> bool:
        """Whether a step at a latent size (height, width) has been timed."""
        rows = self.store.read("SELECT document FROM timings WHERE key = ?", self.key.text)
        timings = _parsed(rows[0]["document"]) if rows else None
        return timings is not None and timings.has(size)

    def probed(self, probes: Sequence[Probe]) -> None:
        """Add timed steps that belong to no run."""
        _change(self.store, self.key, lambda timings: timings.with_probes(probes))


def _change(store: Store, key: TimingKey, change: Callable[[Timings], Timings]) -> None:
    with store.transaction() as db:
        row = db.execute("SELECT document FROM timings WHERE key = ?", (key.text,)).fetchone()
        timings = (_parsed(row["document"]) if row else None) or Timings(key=key)
        db.execute(
            "INSERT INTO timings VALUES (?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET document = excluded.document, updated = excluded.updated",
            (key.text, change(timings).model_dump_json(), now()),
        )


def known(store: Store, workload: str) -> Timings | None:
    """The timings of a workload on the device that ran it last; None where nothing has been measured."""
    rows = store.read("SELECT key, document FROM timings ORDER BY updated DESC")
    found = (_parsed(row["document"]) for row in rows if row["key"].startswith(f"{workload} on "))
    return next((timings for timings in found if timings and timings.key.workload == workload), None)


def _parsed(document: str) -> Timings | None:
    """Timings of this version; those of another are measured anew."""
    try:
        return Timings.model_validate_json(document)
    except ValidationError:
        return None
