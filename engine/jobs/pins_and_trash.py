"""What is kept and what is not: pins, and the trash, where a deleted job stays for a week."""

from __future__ import annotations

from engine.jobs import job_folders, logs, queue
from engine.jobs.data_dir import DataDir
from engine.jobs.database import Store, now
from engine.jobs.job_errors import NotFound, NotNow


def pin(store: Store, data: DataDir, job_id: str, pinned: bool) -> None:
    """Keep a job whatever the quota says, or no longer. Raises NotFound."""
    folder = data.job(job_id)
    _change(store, job_id, "pinned = ?", int(pinned))
    record = job_folders.record_of(folder)
    if record:  # only for the case that the database is lost
        job_folders.write_record(folder, record | {"pinned": pinned})


def delete(store: Store, data: DataDir, job_id: str, status: str) -> None:
    """Move a job to the trash; one that waits is cancelled. Raises NotNow for one that runs, NotFound."""
    folder = data.job(job_id)
    if status == "queued":
        queue.cancel(store, job_id)
        logs.event("cancel asked for", job=job_id)
    _change(store, job_id, "deleted = ?", now(), unless_running=True)
    job_folders.move(folder, data.trash / job_id)
    logs.event("job deleted", job=job_id)


def restore(store: Store, data: DataDir, job_id: str) -> None:
    """Bring a deleted job back. Raises NotFound."""
    folder = data.job(job_id)
    _change(store, job_id, "deleted = ?", None)
    job_folders.move(data.trash / job_id, folder)
    logs.event("job restored", job=job_id)


def _change(store: Store, job_id: str, assignment: str, value: object, *, unless_running: bool = False) -> None:
    with store.transaction() as db:
        row = db.execute("SELECT status FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFound("there is no such job.")
        if unless_running and row["status"] in ("queued", "running"):
            raise NotNow("the job is running; stop it first.")
        db.execute(f"UPDATE jobs SET {assignment} WHERE id = ?", (value, job_id))
