"""The queue's state changes, each one transaction. Whoever wins a race, exactly one terminal state is stored.

queued ──claim──> running ──> done | failed | cancelled
   └── cancel ──> cancelled   └── its process died ──> interrupted
any terminal state with an unfinished run ──retry──> queued
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from engine.experiments.experiment import Experiment, Track
from engine.jobs.database import Store, now
from engine.jobs.job_errors import NotFound, NotNow, QueueFull
from engine.jobs.limits import Limits
from engine.reports.schema import Run

_INSERT_RUN = "INSERT INTO runs (job_id, number, name, policy, plan, steps) VALUES (?, ?, ?, ?, ?, ?)"
End = Literal["done", "failed", "cancelled", "interrupted"]


@dataclass(frozen=True)
class Claimed:
    """A job that this worker now owns."""

    id: str
    document: str
    noise_floor: bool


@dataclass(frozen=True)
class Flags:
    """What the owner has asked for: cancel all, skip these runs. `lost`: the job is no longer this worker's."""

    cancel: bool
    skip: frozenset[int]
    lost: bool = False


@dataclass(frozen=True)
class RunProgress:
    """Where a run is; what is None is left as it is."""

    phase: str
    step: int | None = None
    stage: int | None = None
    rate: float | None = None
    seconds_left: float | None = None
    preview: str | None = None


def insert(
    store: Store,
    job_id: str,
    experiment: Experiment,
    *,
    visitor: str,
    owner: str = "",
    noise_floor: bool,
    limits: Limits,
    write: Callable[[], None],
) -> None:
    """Put a job at the end of the queue. `write` makes its folder: before the commit, so that neither is without
    the other. Raises QueueFull, StorageError."""
    with store.transaction() as db:
        _refuse_a_crowd(db, visitor, limits)
        values = (job_id, _ticket(db), visitor, *_told(experiment), noise_floor, now(), owner)
        db.execute(
            "INSERT INTO jobs (id, ticket, visitor, document, model, words, noise_floor, created, owner)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        db.executemany(
            _INSERT_RUN,
            [_run_values(job_id, number, track) for number, track in enumerate(tracks_of(experiment))],
        )
        write()


def insert_lost(
    store: Store,
    job_id: str,
    experiment: Experiment,
    *,
    created: float,
    pinned: bool,
    runs: Mapping[int, Run],
    size: int,
) -> None:
    """Put a job that only its folder tells of into the database: done where all its runs are, else interrupted."""
    tracks = tracks_of(experiment)
    whole = len(runs) == len(tracks)
    status, why = ("done", None) if whole else ("interrupted", "its entry in the database was lost")
    with store.transaction() as db:
        db.execute(
            "INSERT INTO jobs (id, ticket, visitor, document, model, words, created, ended, status, error, pinned,"
            " bytes) VALUES (?, ?, '', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (job_id, _ticket(db), *_told(experiment), created, created, status, why, pinned, size),
        )
        db.executemany(_INSERT_RUN, [_run_values(job_id, number, track) for number, track in enumerate(tracks)])
        for number, run in runs.items():
            record_run(db, job_id, number, run)
        _end_runs(db, job_id, "interrupted", why or "")


def lose(store: Store, job_id: str, numbers: Iterable[int]) -> None:
    """Runs whose files are gone are no longer done."""
    with store.transaction() as db:
        db.executemany(
            "UPDATE runs SET status = 'failed', error = 'its files are missing', video = NULL, heatmap = NULL"
            " WHERE job_id = ? AND number = ?",
            [(job_id, number) for number in numbers],
        )


def tracks_of(experiment: Experiment) -> tuple[Track, ...]:
    """The runs of an experiment by number: the baseline is 0."""
    return (experiment.baseline, *experiment.tracks)


def dumps(experiment: Experiment) -> str:
    """The experiment as text that `parse_experiment` reads."""
    return json.dumps(experiment.document(), ensure_ascii=False, allow_nan=False)


def _told(experiment: Experiment) -> tuple[str, str, str]:
    """The document, and what the library is sorted and searched by: the model and all words, the prompt's first."""
    words = (experiment.prompt, experiment.spec.id, *(track.name for track in tracks_of(experiment)))
    return dumps(experiment), experiment.spec.id, "\n".join(words).casefold()


def _run_values(job_id: str, number: int, track: Track) -> tuple[object, ...]:
    plan = json.dumps([(stage.first, stage.last, stage.rate) for stage in track.stages])
    policy = track.told if number or track.levels else None
    return job_id, number, track.name, policy, plan, track.stages[-1].last


def _refuse_a_crowd(db: sqlite3.Connection, visitor: str, limits: Limits) -> None:
    waiting = db.execute(
        "SELECT count(*), coalesce(sum(visitor = ?), 0) FROM jobs WHERE status = 'queued'", (visitor,)
    ).fetchone()
    if waiting[1] >= limits.waiting_visitor:
        raise QueueFull(f"{waiting[1]} jobs of yours wait already, the most there may be; cancel one, or wait.")
    if waiting[0] >= limits.waiting:
        raise QueueFull(f"{waiting[0]} jobs wait already, the most there may be; try again later.")


def _ticket(db: sqlite3.Connection) -> int:
    sql = "UPDATE counters SET value = value + 1 WHERE name = 'ticket' RETURNING value"
    return int(db.execute(sql).fetchone()[0])


def claim(store: Store) -> Claimed | None:
    """Take the job that has waited longest, or None where none waits. No two workers get the same."""
    if not store.read("SELECT 1 FROM jobs WHERE status = 'queued' LIMIT 1"):
        return None
    with store.transaction() as db:
        row = db.execute(
            "UPDATE jobs SET status = 'running', started = ?, ended = NULL, error = NULL, phase = 'starting'"
            " WHERE id = (SELECT id FROM jobs WHERE status = 'queued' ORDER BY ticket LIMIT 1)"
            " RETURNING id, document, noise_floor",
            (now(),),
        ).fetchone()
        return Claimed(row["id"], row["document"], bool(row["noise_floor"])) if row else None


def flags(store: Store, job_id: str) -> Flags:
    """What has been asked of a running job; cheap enough for every step."""
    row = store.read("SELECT status, cancel FROM jobs WHERE id = ?", job_id)
    skip = store.read("SELECT number FROM runs WHERE job_id = ? AND skip", job_id)
    lost = not row or row[0]["status"] != "running"
    return Flags(lost or bool(row[0]["cancel"]), frozenset(number for (number,) in skip), lost)


def job_phase(store: Store, job_id: str, phase: str | None) -> None:
    """What a running job does outside its runs."""
    with store.transaction(lasting=False) as db:
        db.execute("UPDATE jobs SET phase = ? WHERE id = ? AND status = 'running'", (phase, job_id))


def start_run(store: Store, job_id: str, number: int) -> None:
    """Record that a run of a running job starts; also one that was done, where a retry needs its frames again."""
    with store.transaction(lasting=False) as db:
        db.execute(
            "UPDATE runs SET status = 'running', phase = 'starting', step = 0, stage = NULL, rate = NULL"
            " WHERE job_id = ? AND number = ? AND EXISTS (SELECT 1 FROM jobs WHERE id = job_id AND status = 'running')",
            (job_id, number),
        )


def progress(store: Store, job_id: str, number: int, at: RunProgress) -> None:
    """Record where a run is."""
    with store.transaction(lasting=False) as db:
        db.execute(
            "UPDATE runs SET status = 'running', phase = ?, step = coalesce(?, step), stage = coalesce(?, stage),"
            " rate = coalesce(?, rate), seconds_left = ?, preview = coalesce(?, preview)"
            " WHERE job_id = ? AND number = ? AND status IN ('queued', 'running')",
            (at.phase, at.step, at.stage, at.rate, at.seconds_left, at.preview, job_id, number),
        )


def end_run(store: Store, job_id: str, number: int, run: Run) -> None:
    """Record how a run ended, as the report has it."""
    with store.transaction() as db:
        record_run(db, job_id, number, run)


def record_run(db: sqlite3.Connection, job_id: str, number: int, run: Run) -> None:
    """The row of a run as its report has it; a preview is kept where there is no video."""
    db.execute(
        "UPDATE runs SET status = ?, phase = NULL, seconds_left = NULL, error = ?, reused = ?, video = ?, heatmap = ?,"
        " step = CASE WHEN ? = 'done' THEN steps ELSE step END,"
        " preview = CASE WHEN ? = 'done' THEN NULL ELSE preview END"
        " WHERE job_id = ? AND number = ?",
        (run.status, run.error, run.reused, run.video, run.heatmap, run.status, run.status, job_id, number),
    )


def end_job(
    store: Store, job_id: str, status: End, error: str | None, size: int, runs: Mapping[int, Run] | None = None
) -> bool:
    """Give a running job its terminal state; runs that have none yet get it too. False: another was first.

    `runs` are those that the report has as done: a row that could not be written in its time is now.
    """
    with store.transaction() as db:
        changed = db.execute(
            "UPDATE jobs SET status = ?, error = ?, phase = NULL, ended = ?, bytes = ?"
            " WHERE id = ? AND status = 'running'",
            (status, error, now(), size, job_id),
        ).rowcount
        if changed:
            for number, run in (runs or {}).items():
                record_run(db, job_id, number, run)
            why = {"cancelled": "cancelled before it was finished", "interrupted": "interrupted"}.get(status)
            _end_runs(db, job_id, "failed" if status == "done" else status, why or error or "it did not run")
        return bool(changed)


def _end_runs(db: sqlite3.Connection, job_id: str, status: str, error: str) -> None:
    db.execute(
        "UPDATE runs SET status = ?, error = coalesce(error, ?), phase = NULL, seconds_left = NULL"
        " WHERE job_id = ? AND status IN ('queued', 'running')",
        (status, error, job_id),
    )


def cancel(store: Store, job_id: str) -> None:
    """Cancel a waiting job at once and a running one within a step; nothing happens to a finished one."""
    with store.transaction() as db:
        _existing(db, job_id)
        if db.execute(
            "UPDATE jobs SET status = 'cancelled', ended = ? WHERE id = ? AND status = 'queued'", (now(), job_id)
        ).rowcount:
            _end_runs(db, job_id, "cancelled", "cancelled before it was started")
        db.execute("UPDATE jobs SET cancel = 1 WHERE id = ? AND status = 'running' AND NOT cancel", (job_id,))


def skip(store: Store, job_id: str, number: int) -> None:
    """Leave one run out: it ends as cancelled, the others go on. Nothing happens to a finished one."""
    with store.transaction() as db:
        _existing(db, job_id)
        if not db.execute("SELECT 1 FROM runs WHERE job_id = ? AND number = ?", (job_id, number)).fetchone():
            raise NotFound("there is no such run.")
        db.execute(
            "UPDATE runs SET skip = 1 WHERE job_id = ? AND number = ? AND status IN ('queued', 'running') AND NOT skip",
            (job_id, number),
        )


def retry(store: Store, job_id: str, visitor: str | None, limits: Limits, disturbed: bool = False) -> None:
    """Queue a finished job again for those of its runs that are not done. Raises NotNow, QueueFull.

    `disturbed`: some that are done are to be timed again.
    """
    with store.transaction() as db:
        row = _existing(db, job_id)
        if row["status"] in ("queued", "running"):
            raise NotNow("the job is not finished; there is nothing to retry.")
        if row["deleted"] is not None:
            raise NotNow("the job is deleted; bring it back first.")
        _refuse_a_crowd(db, visitor or row["visitor"], limits)
        reset = db.execute(
            "UPDATE runs SET status = 'queued', skip = 0, error = NULL, reused = NULL, step = 0, stage = NULL,"
            " rate = NULL, preview = NULL, video = NULL, heatmap = NULL WHERE job_id = ? AND status != 'done'",
            (job_id,),
        ).rowcount
        if not reset and not disturbed:
            raise NotNow("every run of the job is done and none was disturbed; there is nothing to retry.")
        db.execute(
            "UPDATE jobs SET status = 'queued', ticket = ?, error = NULL, cancel = 0, started = NULL, ended = NULL"
            " WHERE id = ?",
            (_ticket(db), job_id),
        )


def running(store: Store) -> list[str]:
    """The jobs that are stored as running."""
    return [job_id for (job_id,) in store.read("SELECT id FROM jobs WHERE status = 'running'")]


def settle(store: Store, job_id: str, runs: Iterable[tuple[int, Run]], size: int, why: str) -> str:
    """End a job whose process died: runs that its report has are kept, the others are interrupted.

    Returns the state: "done" where only the last row was missing, "cancelled" where that was asked for, else
    "interrupted"; it never goes back into the queue.
    """
    with store.transaction() as db:
        for number, run in runs:
            record_run(db, job_id, number, run)
        row = _existing(db, job_id)
        left = db.execute(
            "SELECT count(*) FROM runs WHERE job_id = ? AND status IN ('queued', 'running')", (job_id,)
        ).fetchone()[0]
        status = "done" if not left else "cancelled" if row["cancel"] else "interrupted"
        error = why if status == "interrupted" else None
        _end_runs(db, job_id, status, why if status == "interrupted" else "cancelled before it was finished")
        db.execute(
            "UPDATE jobs SET status = ?, error = ?, phase = NULL, ended = ?, bytes = ? WHERE id = ?",
            (status, error, now(), size, job_id),
        )
        return status


def _existing(db: sqlite3.Connection, job_id: str) -> sqlite3.Row:
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NotFound("there is no such job.")
    return row
