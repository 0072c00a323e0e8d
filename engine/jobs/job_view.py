"""What the page sees of a job: frozen snapshots, made from rows alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.experiments.documents import parse_experiment
from engine.experiments.experiment import Experiment
from engine.models.catalogue import catalogue_model
from engine.texts import plain

FINISHED = ("done", "failed", "cancelled", "interrupted")


@dataclass(frozen=True, slots=True)
class StageSpan:
    """Consecutive steps at one rate, as the experiment asks for them; steps count from 1."""

    first: int
    last: int
    rate: float


@dataclass(frozen=True, slots=True)
class RunView:
    """One run of a job. Files are names inside the job; `preview` is a data URI; `stage` counts from 1.

    `phase` is what it does now ("denoising", "decoding", …), None where it does not run. `seconds_left` is of the
    whole run, None where not known yet. `skipping` is True from the request until the run has ended.
    """

    number: int
    name: str
    policy: str | None
    status: str
    phase: str | None
    step: int
    steps: int
    stage: int | None
    stages: int
    rate: float | None
    seconds_left: float | None
    preview: str | None
    error: str | None
    reused: str | None
    video: str | None
    heatmap: str | None
    poster: str | None
    skipping: bool
    stages_plan: tuple[StageSpan, ...]


@dataclass(frozen=True, slots=True)
class JobView:
    """One job at one moment; `revision` changes whenever anything else here does.

    `position` counts the waiting jobs from 1, None where it does not wait. `document` is the experiment as
    `engine.experiments.documents.parse_experiment` reads it. `created`, `started`, `ended` and `deleted` are seconds
    since 1970.
    `stopping` is True from the request to cancel until the job has ended. `bytes` is what its files take.
    """

    id: str
    revision: int
    status: str
    phase: str | None
    error: str | None
    position: int | None
    stopping: bool
    pinned: bool
    created: float
    started: float | None
    ended: float | None
    deleted: float | None
    bytes: int
    document: str
    model: str
    prompt: str
    negative_prompt: str
    seed: int
    steps: int
    width: int
    height: int
    frames: int
    fps: int
    runs: tuple[RunView, ...]

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more by itself."""
        return self.status in FINISHED

    @property
    def experiment(self) -> Experiment:
        """What was asked for, ready to run again. Raises ModelNotFound where its model is no longer here."""
        return parse_experiment(self.document, "the job", catalogue_model)

    @property
    def can_retry(self) -> bool:
        """Whether a retry would run anything."""
        return self.finished and any(run.status != "done" for run in self.runs)

    @property
    def sentence(self) -> str:
        """The job's state in words."""
        return _sentence(self)


def job_view(row: sqlite3.Row, runs: Sequence[sqlite3.Row], position: int | None) -> JobView:
    """A snapshot from a job's row and those of its runs, in order."""
    document: dict[str, Any] = json.loads(row["document"])
    return JobView(
        id=row["id"],
        revision=row["revision"],
        status=row["status"],
        phase=row["phase"],
        error=row["error"],
        position=position,
        stopping=bool(row["cancel"]) and row["status"] == "running",
        pinned=bool(row["pinned"]),
        created=row["created"],
        started=row["started"],
        ended=row["ended"],
        deleted=row["deleted"],
        bytes=row["bytes"],
        document=row["document"],
        runs=tuple(map(run_view, runs)),
        **{key: _told(document[key]) for key in _FROM_DOCUMENT},
    )


def _told(value: Any) -> Any:
    """A job of before may hold what no text may now; the report and the experiment are read without it too."""
    return plain(value, lines=True) if isinstance(value, str) else value


_FROM_DOCUMENT = ("model", "prompt", "negative_prompt", "seed", "steps", "width", "height", "frames", "fps")


def run_view(row: sqlite3.Row) -> RunView:
    """A snapshot from a run's row."""
    plan = tuple(StageSpan(*stage) for stage in json.loads(row["plan"]))
    return RunView(
        number=row["number"],
        name=plain(row["name"]),
        policy=row["policy"],
        status=row["status"],
        phase=row["phase"],
        step=row["step"],
        steps=row["steps"],
        stage=row["stage"],
        stages=len(plan),
        rate=row["rate"],
        seconds_left=row["seconds_left"],
        preview=row["preview"],
        error=row["error"],
        reused=row["reused"],
        video=row["video"],
        heatmap=row["heatmap"],
        poster=f"{row['number']:02d}.png" if row["video"] else None,
        skipping=bool(row["skip"]) and row["status"] in ("queued", "running"),
        stages_plan=plan,
    )


def without_previews(view: JobView) -> JobView:
    """The same without what only a running job's page needs."""
    return replace(view, runs=tuple(replace(run, preview=None) for run in view.runs))


def _sentence(view: JobView) -> str:
    if view.status == "queued":
        ahead = (view.position or 1) - 1
        return "Next in the queue." if not ahead else f"Waiting: {ahead} {'job' if ahead == 1 else 'jobs'} ahead."
    if view.status == "running":
        phase = view.phase or next((run.phase for run in view.runs if run.phase), "finishing")
        return f"Stopping after {phase}." if view.stopping else f"{phase[0].upper()}{phase[1:]}."
    done = sum(run.status == "done" for run in view.runs)
    shown = f"{done} of {len(view.runs)} runs are finished"
    told = {"done": "Done", "failed": "Failed", "cancelled": "Cancelled", "interrupted": "Interrupted"}[view.status]
    return f"{told}: {view.error}" if view.error else f"{told}; {shown}."
