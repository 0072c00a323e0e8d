"""From a job, or the stored example, to what the widgets show."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.jobs.job_view import JobView, RunView
from engine.jobs.notices import Notice
from engine.jobs.service import Jobs
from engine.reports import report_file
from engine.reports.run_display import colour_of
from engine.reports.schema import Report
from ui.comparator.comparator_value import ComparatorValue, PlannedStage, Tile, comparison_of_report, facts_of_run
from ui.pyramid.pyramid_value import Pyramid, pyramid_of
from ui.studio import charts as drawn

EXAMPLE = Path(__file__).parents[1] / "example"
EXAMPLE_KEY = "example"
EXAMPLE_NOTE = "A stored example, made by the shipped model. Change a schedule and press Run to make your own."


@lru_cache(maxsize=1)
def example_report() -> Report | None:
    """The stored example's report; None in a checkout without it."""
    path = EXAMPLE / "report.json"
    return report_file.load(path) if path.is_file() else None


def example_comparison() -> ComparatorValue | None:
    """The stored example as the comparator shows it."""
    report = example_report()
    if report is None:
        return None
    return comparison_of_report(report, _url(EXAMPLE_KEY), EXAMPLE_KEY, note=EXAMPLE_NOTE)


def report_of(jobs: Jobs, job: str | None) -> Report | None:
    """The report of a job as far as it has come, of the example where there is no job; None before the first run."""
    return jobs.report(job) if job else example_report()


def comparison(view: JobView, report: Report | None) -> ComparatorValue:
    """A job as the comparator shows it: tiles from its rows, figures and curves from its report."""
    finished = comparison_of_report(report, _url(view.id), view.id) if report else None
    return ComparatorValue(
        key=view.id,
        title=view.prompt,
        note=None if view.finished else view.sentence,
        status=view.status,  # type: ignore[arg-type]
        fps=view.fps,
        frames=view.frames,
        width=view.width,
        height=view.height,
        gain=report.heatmap_gain if report else None,
        tiles=tuple(_tile(view, run, report) for run in view.runs),
        curves=finished.curves if finished else (),
    )


def _tile(view: JobView, run: RunView, report: Report | None) -> Tile:
    url = _url(view.id)
    reported = next((one for one in report.runs if one.name == run.name), None) if report else None
    baseline = report.baseline if report else None
    return Tile(
        number=run.number,
        name=run.name,
        colour=colour_of(run.number),
        status=run.status,  # type: ignore[arg-type]
        policy=run.policy,
        phase="skipping" if run.skipping else run.phase,
        step=run.step,
        steps=run.steps,
        stage=run.stage,
        stages=run.stages,
        rate=run.rate,
        seconds_left=run.seconds_left,
        preview=run.preview,
        error=run.error,
        stages_plan=tuple(PlannedStage(stage.first, stage.last, stage.rate) for stage in run.stages_plan),
        video=url(run.video) if run.video else None,
        heatmap=url(run.heatmap) if run.heatmap else None,
        reused=f"Reused: {run.reused}." if run.reused else None,
        disturbed=bool(reported and reported.status == "done" and reported.disturbed),
        facts=facts_of_run(reported, run.number, baseline) if reported and run.status == "done" else (),
    )


def pyramid(view: JobView, report: Report | None) -> Pyramid | None:
    """The levels of a job's finished runs, where its model works level by level."""
    return pyramid_of(report, _url(view.id), view.id)


def status_html(view: JobView, notices: Sequence[Notice]) -> str:
    """What went wrong with the job or with the server while it was there; nothing where all is well."""
    lost = view.status in ("failed", "interrupted")
    own = f'<p class="notice failed" role="alert">{html.escape(view.sentence)}</p>' if lost else ""
    since = [notice.text for notice in notices if notice.created >= view.created]
    return own + "".join(f'<p class="notice">{html.escape(text)}</p>' for text in since)


def downloads_html(view: JobView, files: Sequence[str]) -> str:
    """Links to everything that a job has left: `files` are the names in its folder."""
    named = {run.video: run.name for run in view.runs if run.video}
    named |= {run.heatmap: f"{run.name}: difference" for run in view.runs if run.heatmap}
    named |= {"report.json": "Report (JSON)", "index.html": "Report (one page)"}
    url = _url(view.id)
    links = "".join(
        f'<a href="{html.escape(url(name))}" download="{html.escape(f"{view.id}-{name}")}">{html.escape(label)}</a>'
        for name, label in named.items()
        if name in files
    )
    return f'<h3>Download</h3><nav class="files" aria-label="Download">{links}</nav>' if links else ""


def charts(report: Report | None, metric: str) -> list[Any]:
    """Steps, similarity, memory, bands; None where there is nothing to draw."""
    if report is None:
        return [None] * 4
    bands = drawn.bands_chart(report)
    return [drawn.steps_chart(report), drawn.similarity_chart(report, metric), drawn.memory_chart(report), bands]


def _url(job: str) -> Any:
    return lambda name: f"media/{job}/{name}"
