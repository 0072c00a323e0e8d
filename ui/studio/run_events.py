"""What happens where comparisons are opened, run, followed and looked at."""

from __future__ import annotations

import time
from typing import Any

import gradio as gr

from engine.errors import ResoluteError
from engine.experiments.documents import parse_experiment
from engine.experiments.share_link import unpack
from engine.jobs.job_view import JobView
from engine.jobs.visitors import Visitor
from engine.models.catalogue import catalogue_model
from engine.reports.schema import Report
from ui.comparator.across_jobs import compare_runs, picks_of
from ui.comparator.comparator_value import ComparatorValue, parse_action
from ui.figures.figures_value import figures_of
from ui.figures.figures_value import parse_action as parse_figures_action
from ui.shared.who_asks import visitor_of
from ui.studio import job_display, opened_files
from ui.studio.desk import Desk
from ui.studio.forecast import forecast_html
from ui.studio.form import default_model, default_values, values_of
from ui.timeline.board import MAX_TRACKS, board_of, parse_board


class Running(Desk):
    """Pages are opened, jobs are run and followed, and results are looked at."""

    def opened(self, request: gr.Request) -> dict[Any, Any]:
        """A page is opened: with a job, with a shared experiment, or plainly."""
        s, query = self.studio, dict(request.query_params)
        if "job" in query:
            return self.open_job(query["job"], request)
        if "s" in query:
            return self._show_experiment(unpack(query["s"]))
        values = default_values(default_model())
        board = board_of(opened_files.first_tracks(default_model(), values["steps"]), values["steps"])
        shown = self.show_comparison(compare_runs(self.jobs, picks_of(query["compare"]))) if "compare" in query else {}
        return (
            {s.board: gr.update(context=self._context(values, None))}
            | self._words(values, parse_board(board), None)
            | shown
        )

    def _restored(self) -> list[Any]:
        s = self.studio
        return [*s.form.components, s.export_track, s.exports, *self._by_model(), *self._followed()]

    def shown(self) -> list[Any]:
        """What `open_job` and `show_comparison` may change."""
        return self._restored()

    def open_job(self, job: str, request: gr.Request | None = None) -> dict[Any, Any]:
        """The studio filled with a job: its fields, its board, its runs, followed where it still runs."""
        s, view, by = self.studio, self.jobs.view(job), visitor_of(request, self.jobs)
        self.jobs.rights.opened(job, by)
        experiment = parse_experiment(view.document, "the job", catalogue_model)
        self.jobs.lend_pictures(job, experiment)
        shown, followed = self._show_experiment(experiment), self._follow(view.id, -1, experiment.spec.id, by)
        if s.board in followed:  # it brings only what the job has taught: the lanes are the experiment's
            followed[s.board] = shown[s.board] | followed[s.board]
        return {s.figures: None, s.downloads: ""} | shown | followed

    def show_comparison(self, shown: ComparatorValue) -> dict[Any, Any]:
        """Runs of several jobs in the comparator; the fields and the board stay, and no job is followed."""
        s = self.studio
        hidden = {s.stop: gr.update(visible=False)}
        return hidden | {
            s.comparator: shown,
            s.status: "",
            s.figures: None,
            s.pyramid: None,
            s.downloads: "",
            s.run: gr.update(visible=True),
            s.timer: gr.update(active=False),
            s.job: None,
            s.revision: -1,
        }

    def run(self, values: dict[Any, Any], request: gr.Request) -> dict[Any, Any]:
        """Put the experiment on disk as a job and follow it; the lanes take the colours of its runs."""
        experiment = self._experiment(values)
        noise_floor = bool(values[self.studio.noise_floor])
        by = visitor_of(request, self.jobs)
        job = self.jobs.submit(experiment, by=by, noise_floor=noise_floor)
        return self._follow(job, -1, experiment.spec.id, by) | {
            self.studio.board: gr.update(value=board_of(experiment.tracks, experiment.steps))
        }

    def _followed(self) -> list[Any]:
        s = self.studio
        shown = [s.comparator, s.figures, s.pyramid, s.status, s.downloads, s.board, s.forecast]
        return [*shown, s.run, s.stop, s.timer, s.job, s.revision]

    def poll(self, job: str, revision: int, chosen: str, request: gr.Request = None) -> dict[Any, Any]:  # type: ignore[assignment]
        """Twice a second while a job is on its way; an unchanged job changes nothing."""
        try:
            return self._follow(job, revision, chosen, visitor_of(request, self.jobs))
        except ResoluteError:  # it was deleted, or the disk fails: what is shown stays
            return {self.studio.timer: gr.update(active=False)}

    def _follow(self, job: str, revision: int, chosen: str, by: Visitor) -> dict[Any, Any]:
        """All that shows a job, where it has changed since `revision`; the board learns if its model is `chosen`."""
        s, view = self.studio, self.jobs.view(job)
        if view.revision == revision:
            return {s.job: gr.skip()}
        report, mine = job_display.report_of(self.jobs, job), self.jobs.rights.may_change(job, by)
        changes: dict[Any, Any] = {
            s.comparator: job_display.comparison(view, report),
            s.pyramid: job_display.pyramid(view, report),
            s.status: job_display.status_html(view, self.jobs.notices()),
            s.run: gr.update(visible=view.finished or not mine),
            s.stop: gr.update(visible=not view.finished and mine, interactive=not view.stopping),
            s.timer: gr.update(active=not view.finished),
            s.job: view.id,
            s.revision: view.revision,
        }
        if report is not None:
            changes[s.figures] = figures_of(report).to_json()
            changes[s.downloads] = job_display.downloads_html(view, self.jobs.files(job))
        if view.finished and view.model == chosen:
            changes |= self._learned(view, report)
        return changes

    def _learned(self, view: JobView, report: Report | None) -> dict[Any, Any]:
        """After a job the machine is known better: new costs, and where the baseline's detail settled."""
        s = self.studio
        experiment = parse_experiment(view.document, "the job", catalogue_model)
        values = values_of(experiment)
        board = parse_board(board_of(experiment.tracks, experiment.steps), max_tracks=MAX_TRACKS)
        context = self._context(values, report)
        return {s.board: gr.update(context=context), s.forecast: forecast_html(values, board, self.jobs)}

    def stop(self, job: str, request: gr.Request) -> Any:
        if job:
            self.jobs.cancel(job, by=visitor_of(request, self.jobs))
        return gr.update(active=bool(job))

    def acted(self, job: str | None, event: gr.EventData, request: gr.Request) -> Any:
        """Skip one run, or run again what is missing."""
        action, by = parse_action(event._data), visitor_of(request, self.jobs)
        if job and action.action == "skip":
            self.jobs.skip(job, action.number, by=by)
        if job and action.action == "retry":
            self.jobs.retry(job, by=by)
        return gr.skip() if action.action == "select" else gr.update(active=bool(job))

    def chosen(self, event: gr.EventData) -> Any:
        """A point or a row of the figures was chosen: the comparator brings that run up."""
        return gr.update(selected=[parse_figures_action(event._data).number, time.monotonic_ns()])

    def draw(self, job: str | None, metric: str) -> list[Any]:
        *plots, bands = job_display.charts(self._report(job), metric)
        return [*plots, gr.update(value=bands, visible=bands is not None)]

    def draw_similarity(self, job: str | None, metric: str) -> Any:
        return job_display.charts(self._report(job), metric)[1]

    def _report(self, job: str | None) -> Report | None:
        return job_display.report_of(self.jobs, job)
