"""Views and reports of jobs, read from the database and the disk, and remembered as long as nothing has changed."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from sqlite3 import Row
from typing import Any

from pydantic import BaseModel

from engine.jobs import job_folders
from engine.jobs.data_dir import DataDir
from engine.jobs.database import Store
from engine.jobs.job_errors import NotFound
from engine.jobs.job_view import JobView, job_view
from engine.reports.schema import Report

REMEMBERED = 64  # views kept in memory
REPORT_BYTES = 64 * 2**20  # of all reports kept in memory


class Remembered:
    """Values by key, the least recently kept forgotten first. A value that alone is over the whole is not kept.

    `weigh` says what a value counts for, `most` how much all of them may. Threads may share it.
    """

    def __init__(self, most: int, weigh: Callable[[Any], int] = lambda value: 1) -> None:
        self._most, self._weigh = most, weigh
        self._kept: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def weight(self) -> int:
        """What all that is kept counts for."""
        with self._lock:
            return sum(weight for _, weight in self._kept.values())

    def get(self, key: str) -> Any:
        """What is kept under a key, or None."""
        with self._lock:
            return self._kept.get(key, (None, 0))[0]

    def keep(self, key: str, value: object) -> None:
        weight = self._weigh(value)
        with self._lock:
            self._kept.pop(key, None)
            if weight > self._most:
                return
            self._kept[key] = value, weight
            while sum(one for _, one in self._kept.values()) > self._most:
                self._kept.popitem(last=False)

    def forget(self, key: str) -> None:
        with self._lock:
            self._kept.pop(key, None)


def held_bytes(value: Any) -> int:
    """Bytes of memory that a report takes; what parts of it share is counted for each."""
    if isinstance(value, BaseModel):
        return sys.getsizeof(value) + sys.getsizeof(value.model_fields_set) + held_bytes(vars(value))
    if isinstance(value, dict):
        return sys.getsizeof(value) + sum(map(held_bytes, value.values()))
    if isinstance(value, tuple | list):
        return sys.getsizeof(value) + sum(map(held_bytes, value))
    return sys.getsizeof(value)


class RememberedViews:
    """The jobs of one database as the page sees them. Threads may share it."""

    def __init__(self, data: DataDir, store: Store) -> None:
        self._data, self._store = data, store
        self._views = Remembered(REMEMBERED)
        self._reports = Remembered(REPORT_BYTES, held_bytes)

    def view(self, job_id: str) -> JobView:
        """The job at this moment; the same object as long as nothing has changed. Raises NotFound."""
        self._data.job(job_id)
        try:
            revision = self.revision(job_id)
        except NotFound:
            self.forget(job_id)
            raise
        known: JobView | None = self._views.get(job_id)
        if known and known.revision == revision:
            return known
        view = self.where("WHERE id = ?", job_id)
        if not view:
            raise NotFound("there is no such job.")
        self._views.keep(job_id, view[0])
        return view[0]

    def revision(self, job_id: str) -> int:
        """`view(job_id).revision`, cheaper."""
        row = self._store.read("SELECT revision FROM jobs WHERE id = ?", job_id)
        if not row:
            raise NotFound("there is no such job.")
        return int(row[0]["revision"])

    def report(self, job_id: str) -> Report | None:
        """The report of what has finished so far; None where nothing has."""
        path = self._data.job(job_id) / job_folders.REPORT
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            return None
        known: tuple[int, Report] | None = self._reports.get(job_id)
        if known and known[0] == changed:
            return known[1]
        report = job_folders.report_of(path.parent)
        if report is not None:
            self._reports.keep(job_id, (changed, report))
        return report

    def where(self, where: str, *values: object) -> list[JobView]:
        """Views of the jobs that an SQL condition selects, from one state of the database."""
        rows = self._store.read(
            "SELECT *, CASE status WHEN 'queued' THEN"
            " (SELECT count(*) FROM jobs AS ahead WHERE ahead.status = 'queued' AND ahead.ticket <= jobs.ticket) END"
            f" AS position FROM jobs {where}",
            *values,
        )
        runs = self._store.read(
            f"SELECT * FROM runs WHERE job_id IN (SELECT id FROM jobs {where}) ORDER BY job_id, number", *values
        )
        of_job: dict[str, list[Row]] = defaultdict(list)
        for run in runs:
            of_job[run["job_id"]].append(run)
        return [job_view(row, of_job[row["id"]], row["position"]) for row in rows]

    def forget(self, job_id: str) -> None:
        """Let go what is remembered of a job."""
        self._views.forget(job_id)
        self._reports.forget(job_id)
