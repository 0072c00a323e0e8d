"""Making database and folders agree again, after a process died and at every start.

What a report says is finished, and whose files are there, is finished. What was running is interrupted and never
starts again by itself. Half-written files go. A folder that the database does not know is taken in again.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from engine.comparing.baseline_store import Baselines
from engine.errors import ResoluteError
from engine.experiments.documents import parse_experiment
from engine.jobs import job_folders, queue
from engine.jobs.data_dir import DataDir
from engine.jobs.database import Store, now
from engine.jobs.logs import event
from engine.jobs.notices import notice
from engine.models.catalogue import catalogue_model
from engine.reports.html import write_index
from engine.texts import plain


def settle_running(store: Store, data: DataDir, why: str) -> list[str]:
    """End every job that is stored as running: its process is gone. Returns the interrupted ones."""
    interrupted = []
    for job_id in queue.running(store):
        folder = data.job(job_id)
        rows = store.read("SELECT name FROM runs WHERE job_id = ? ORDER BY number", job_id)
        done = job_folders.finished_runs(folder, [plain(name) for (name,) in rows])
        job_folders.tidy(folder)
        _write_page(folder)
        state = queue.settle(store, job_id, done.items(), job_folders.size_of(folder), why)
        event("job settled", job=job_id, status=state, why=why)
        if state == "interrupted":
            interrupted.append(job_id)
    return interrupted


def recover(store: Store, data: DataDir, why: str) -> None:
    """At a start: settle what was running, empty the trash of strangers, take lost folders in, drop lost files."""
    settle_running(store, data, why)
    known = {row["id"]: row for row in store.read("SELECT id, deleted FROM jobs")}
    for job_id in job_folders.ids_in(data.trash):
        if job_id not in known:
            job_folders.remove(data.trash / job_id)
        elif known[job_id]["deleted"] is None:
            job_folders.move(data.trash / job_id, data.jobs / job_id)
    taken = 0
    for job_id in job_folders.ids_in(data.jobs):
        if job_id not in known:
            taken += adopt(store, data, job_id)
        elif known[job_id]["deleted"] is not None:
            job_folders.move(data.jobs / job_id, data.trash / job_id)
        else:
            _agree(store, data, job_id)
    for job_id in known.keys() - job_folders.ids_in(data.jobs) - job_folders.ids_in(data.trash):
        _agree(store, data, job_id)
    Baselines(data.baselines, 0).tidy()
    if taken:
        notice(store, "database", f"{taken} results were found without their entries in the database and taken in.")


def adopt(store: Store, data: DataDir, job_id: str) -> bool:
    """Take a folder into the database by its `job.json` and report; what tells nothing is left, or removed if empty."""
    folder = data.job(job_id)
    job_folders.tidy(folder)
    record = job_folders.record_of(folder) or {}
    try:
        experiment = parse_experiment(
            str(record.get("document", "")), f"jobs/{job_id}/{job_folders.JOB}", catalogue_model
        )
    except ResoluteError as error:
        event("folder not understood", job=job_id, error=str(error))
        with contextlib.suppress(OSError):
            folder.rmdir()
        return False
    names = [track.name for track in queue.tracks_of(experiment)]
    _write_page(folder)  # before its size is taken: the page is most of it
    queue.insert_lost(
        store,
        job_id,
        experiment,
        created=_moment(record.get("created")),
        pinned=record.get("pinned") is True,
        runs=job_folders.finished_runs(folder, names),
        size=job_folders.size_of(folder),
    )
    event("folder taken in", job=job_id)
    return True


def _agree(store: Store, data: DataDir, job_id: str) -> None:
    """Never a row without its file: a run whose video is gone is no longer done. No half-written file stays."""
    folder = data.job(job_id)
    rows = store.read("SELECT number, video FROM runs WHERE job_id = ? AND status = 'done'", job_id)
    lost = [number for number, video in rows if not video or not (folder / video).is_file()]
    if lost:
        event("files lost", job=job_id, runs=lost)
        queue.lose(store, job_id, lost)
    job_folders.remove_parts(folder)


def _moment(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 < value < 1e11 else now()


def _write_page(folder: Path) -> None:
    """`index.html` of what has finished, where the process died before it was written."""
    report = job_folders.report_of(folder)
    if report is not None and not (folder / job_folders.PAGE).exists():
        with contextlib.suppress(ResoluteError, OSError):
            write_index(report, folder)
