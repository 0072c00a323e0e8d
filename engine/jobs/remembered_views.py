"""Views and reports of jobs, read from the database and the disk, and remembered as long as nothing has changed."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from sqlite3 import Row

from engine.jobs import job_folders
from engine.jobs.data_dir import DataDir
from engine.jobs.database import Store
from engine.jobs.job_errors import NotFound
from engine.jobs.job_view import JobView, job_view
from engine.reports.schema import Report

REMEMBERED = 64  # views and reports kept in memory


class RememberedViews:
    """The jobs of one database as the page sees them. Threads may share it."""

    def __init__(self, data: DataDir, store: Store) -> None:
        self._data, self._store = data, store
        self._views: OrderedDict[str, JobView] = OrderedDict()
        self._reports: OrderedDict[str, tuple[int, Report]] = OrderedDict()
        self._remembering = threading.Lock()

    def view(self, job_id: str) -> JobView:
        """The job at this moment; the same object as long as nothing has changed. Raises NotFound."""
        self._data.job(job_id)
        try:
            revision = self.revision(job_id)
        except NotFound:
            self.forget(job_id)
            raise
        with self._remembering:
            known = self._views.get(job_id)
        if known and known.revision == revision:
            return known
        view = self.where("WHERE id = ?", job_id)
        if not view:
            raise NotFound("there is no such job.")
        self._remember(self._views, job_id, view[0])
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
        with self._remembering:
            known = self._reports.get(job_id)
        if known and known[0] == changed:
            return known[1]
        report = job_folders.report_of(path.parent)
        if report is not None:
            self._remember(self._reports, job_id, (changed, report))
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
        with self._remembering:
            self._views.pop(job_id, None)
            self._reports.pop(job_id, None)

    def _remember(self, memory: OrderedDict, key: str, value: object) -> None:
        with self._remembering:
            memory[key] = value
            memory.move_to_end(key)
            while len(memory) > REMEMBERED:
                memory.popitem(last=False)
