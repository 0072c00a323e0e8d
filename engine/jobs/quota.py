"""Keeping the disk from filling up: the trash goes first, then the oldest results that nobody has pinned."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from engine.comparing.baseline_store import Baselines
from engine.jobs import job_folders
from engine.jobs.data_dir import DataDir
from engine.jobs.database import Store, now
from engine.jobs.job_errors import StorageError
from engine.jobs.limits import Limits
from engine.jobs.notices import notice

TRASH_S = 7 * 24 * 3600.0  # how long a deleted job can be brought back


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes of results, of those in the trash, of kept baselines; what results may take; what the disk has left."""

    results: int
    trash: int
    baselines: int
    quota: float
    free: int


def disk_use(store: Store, data: DataDir, limits: Limits) -> DiskUse:
    """What is taken, and what may be."""
    sql = "SELECT coalesce(sum(bytes), 0), coalesce(sum(bytes) FILTER (WHERE deleted IS NOT NULL), 0) FROM jobs"
    results, trash = store.read(sql)[0]
    baselines = Baselines(data.baselines, limits.baseline_bytes).size()
    return DiskUse(results - trash, trash, baselines, limits.disk_bytes, data.free_bytes())


def prune(store: Store, data: DataDir, limits: Limits) -> list[str]:
    """Remove old trash, then whatever is over the quota; returns the ids. Waiting and running jobs are spared."""
    removed = [job_id for (job_id,) in store.read("SELECT id FROM jobs WHERE deleted < ?", now() - TRASH_S)]
    for job_id in removed:
        purge(store, data, job_id)
    total = store.read("SELECT coalesce(sum(bytes), 0) FROM jobs")[0][0]
    lost = []
    if total > limits.disk_bytes:
        rows = store.read(
            "SELECT id, bytes, deleted FROM jobs WHERE status NOT IN ('queued', 'running') AND (NOT pinned OR deleted)"
            " ORDER BY deleted IS NULL, coalesce(deleted, ended, created)"
        )
        for job_id, size, deleted in rows:
            if total <= limits.disk_bytes:
                break
            if purge(store, data, job_id):
                total -= size
                removed.append(job_id)
                lost += [] if deleted else [job_id]
    if lost:
        with contextlib.suppress(StorageError):
            many = f"The {len(lost)} oldest results were" if len(lost) > 1 else "The oldest result was"
            notice(
                store, "quota", f"{many} removed to stay under {limits.disk_bytes / 1e9:.3g} GB; pin what must stay."
            )
    return removed


def purge(store: Store, data: DataDir, job_id: str) -> bool:
    """Remove a finished job for good; False where it has become another's meanwhile."""
    with store.transaction() as db:
        gone = db.execute(
            "DELETE FROM jobs WHERE id = ? AND status NOT IN ('queued', 'running') AND (NOT pinned OR deleted)",
            (job_id,),
        ).rowcount
    if gone:  # the row first: a folder without a row is found and removed at the next start
        job_folders.remove(data.trash / job_id)
        job_folders.remove(data.job(job_id))
    return bool(gone)
