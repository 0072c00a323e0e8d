"""What the library's widget shows: jobs as cards, the disk, notices; as plain JSON, made from jobs and their reports.

    {"query": {"search": "", "sort": "newest", "shelf": "all", "count": 24}, "total": 130, "every": 200,
     "jobs": [{"id": "…", "prompt": "…", "model": "Emoji-Wan (shipped)", "seed": 7, "size": "128×128, 17 frames",
               "width": 128, "height": 128,
               "created": 1.7e9, "status": "done", "sentence": "Done; 3 of 3 runs are finished.", "pinned": false,
               "yours": true,
               "deleted": null, "bytes": 812000, "archive": "archive/ID.zip" | null,
               "runs": [{"number": 0, "name": "baseline", "colour": 0, "policy": null, "status": "done", "error": null,
                         "poster": "media/ID/00.png" | null, "video": "media/ID/00.mp4" | null, "steps": 30,
                         "stages": [[1, 15, 0.75], [16, 30, 1.0]], "facts": [["Time", "4.1 s", "reason" | null]]}]}],
     "manage": true,
     "disk": {"used": 1.2e9, "quota": 2e10, "trash": 0, "baselines": 0, "free": 9e10,
              "next": {"prompt": "…", "created": 1.7e9} | null},
     "notices": [{"id": 3, "created": 1.7e9, "kind": "worker", "text": "…"}], "worker": "sentence" | null,
     "ephemeral": "sentence" | null, "said": {"text": "…", "undo": "job id" | null} | null}

Times are seconds since 1970, sizes bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.jobs.job_view import JobView, RunView
from engine.jobs.service import Jobs
from engine.jobs.visitors import Visitor
from engine.reports.run_display import colour_of
from engine.reports.schema import Report, Run
from ui.comparator.comparator_value import facts_of_run
from ui.library.library_requests import Query
from ui.shared.words import model_title

SHOWN_FACTS = ("Time", "Speed-up", "PSNR")


def signature(jobs: Jobs) -> str:
    """A text that changes whenever the library would look different; cheap enough for every poll."""
    notices = [(notice.id, notice.created) for notice in jobs.notices()]  # a dismissed notice's id is given again
    return f"{jobs.library_revision()}/{notices}/{jobs.worker.status}"


def library_value(
    jobs: Jobs, query: Query, said: dict[str, Any] | None = None, *, by: Visitor | None = None
) -> dict[str, Any]:
    """The widget's value, as it is shown to `by`; `said` tells what has just been done."""
    deleted = query.shelf == "deleted"
    pinned = True if query.shelf == "pinned" else None
    found = jobs.library(query.search, query.sort, pinned, deleted=deleted, limit=query.count, by=by)
    worker = jobs.worker
    return {
        "query": query.to_json(),
        "total": jobs.library_count(query.search, pinned, deleted=deleted, by=by),
        "every": jobs.library_count(by=by),
        "jobs": [
            card(view, None if deleted else jobs.report(view.id), jobs.rights.may_change(view.id, by)) for view in found
        ],
        "manage": jobs.rights.may_manage(by),
        "disk": _disk(jobs, by),
        "notices": [
            {"id": notice.id, "created": notice.created, "kind": notice.kind, "text": notice.text}
            for notice in jobs.notices()
        ],
        "worker": worker.sentence if worker.status == "stopped" else None,
        "ephemeral": jobs.ephemeral,
        "said": said,
    }


def card(view: JobView, report: Report | None, yours: bool = True) -> dict[str, Any]:
    """A job as the list shows it; it can be changed where it is `yours`.

    The files of a deleted job are not served, so it has no pictures.
    """
    reported = {run.name: run for run in report.runs} if report else {}
    served = view.deleted is None
    return {
        "id": view.id,
        "prompt": view.prompt,
        "model": model_title(view.model),
        "seed": view.seed,
        "size": f"{view.width}×{view.height}, {view.frames} {'frame' if view.frames == 1 else 'frames'}",
        "width": view.width,
        "height": view.height,
        "created": view.created,
        "status": view.status,
        "sentence": view.sentence,
        "pinned": view.pinned,
        "yours": yours,
        "deleted": view.deleted,
        "bytes": view.bytes,
        "archive": f"archive/{view.id}.zip" if served and report and view.finished else None,
        "runs": [_run(view.id, run, reported, served) for run in view.runs],
    }


def _run(job: str, run: RunView, report: Mapping[str, Run], served: bool) -> dict[str, Any]:
    done, reported = run.status == "done" and served, report.get(run.name)
    facts = facts_of_run(reported, run.number, report.get("baseline")) if reported and run.status == "done" else ()
    wanted = SHOWN_FACTS if run.number else ("Time",)
    return {
        "number": run.number,
        "name": run.name,
        "colour": colour_of(run.number),
        "policy": run.policy,
        "status": run.status,
        "error": run.error,
        "poster": f"media/{job}/{run.poster}" if done and run.poster else None,
        "video": f"media/{job}/{run.video}" if done and run.video else None,
        "steps": run.steps,
        "stages": [[stage.first, stage.last, stage.rate] for stage in run.stages_plan],
        "facts": [[fact.label, fact.text, fact.reason] for fact in facts if fact.label in wanted],
    }


def _disk(jobs: Jobs, by: Visitor | None) -> dict[str, Any]:
    """What is taken, what may be, and which job would go first."""
    disk, first = jobs.disk(), jobs.first_to_go(by=by)
    return {
        "used": disk.results + disk.trash,
        "quota": disk.quota,
        "trash": disk.trash,
        "baselines": disk.baselines,
        "free": disk.free,
        "next": {"prompt": first.prompt, "created": first.created} if first else None,
    }
