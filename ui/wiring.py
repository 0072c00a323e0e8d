"""What happens on the studio view: every event, its handler, and what it may change. No handler computes for long."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import gradio as gr

from engine.errors import InvalidInput, ResoluteError
from engine.experiment import Experiment
from engine.hpdm.choice import levels_fit
from engine.jobs.service import Jobs
from engine.jobs.views import JobView
from engine.models.catalogue import ModelSpec, catalogue_model
from engine.report import Report
from engine.reproduce import parse_experiment
from engine.schedule import checked_steps
from engine.share import pack, unpack
from ui import files, following
from ui.comparator.value import Comparison, parse_action
from ui.figures.value import figures_of
from ui.figures.value import parse_action as parse_figures_action
from ui.forecast import board_context, forecast_html
from ui.form import (
    default_model,
    default_values,
    experiment_of,
    known_model,
    ranges,
    roll,
    values_of,
    whole,
)
from ui.handling import POLLED, QUIET, told
from ui.library.asking import picks_of
from ui.library.comparing import compare_runs
from ui.studio import ADD, Studio, other_label
from ui.switching import other_model, switched
from ui.timeline.board import MAX_TRACKS, Board, board_of, parse_board, snapped, with_steps

GEOMETRY = ("height", "width", "frames", "steps", "guidance", "shift")
ONE_BY_ONE = {"concurrency_limit": 1, "concurrency_id": "model"}  # the second choice must see what the first has set


class Wiring:
    """The handlers of one page; they keep no state of their own, so all visitors share them."""

    def __init__(self, studio: Studio, jobs: Jobs) -> None:
        self.studio, self.jobs = studio, jobs

    def connect(self, page: gr.Blocks) -> None:
        """Attach every event."""
        s, form = self.studio, self.studio.form
        everything = {*form.components, s.board, s.job, s.documents, s.noise_floor, s.export_track}
        page.load(told(self.opened), None, self._restored(), **QUIET)
        started = s.run.click(told(self.run), everything, self._followed(), **QUIET)
        started.then(None, s.job, None, js="(job) => { if (job) resolute.address(`job=${job}`); }", **QUIET)
        s.timer.tick(self.poll, [s.job, s.revision, s.chosen], self._followed(), **POLLED)
        s.stop.click(told(self.stop), [s.job], [s.timer], **QUIET)
        s.comparator.input(told(self.acted), [s.job], [s.timer], **QUIET)
        s.figures.input(told(self.chosen), None, [s.comparator], **QUIET)
        s.dice.click(roll, None, form.seed, **QUIET)
        s.examples.click(lambda sample: sample[0] if sample else gr.skip(), s.examples, form.prompt, **QUIET)
        s.share.click(told(self.link), everything, s.link, **QUIET).then(
            None, s.link, s.link, js="(query) => resolute.copyLink(query)", **QUIET
        )
        self._connect_board(everything)
        self._connect_charts()

    def _connect_board(self, everything: set[Any]) -> None:
        s, form = self.studio, self.studio.form
        words = [s.forecast, s.export_track, s.exports]
        s.board.input(told(self.edited), everything, words, trigger_mode="always_last", **QUIET)
        given = [form.image.input, form.last_image.input, form.video.input]
        gr.on(given, told(self.edited), everything, words, **QUIET)
        s.export_track.input(told(self.edited), everything, words, **QUIET)
        # One handler for all, so that answers cannot overtake each other. The model's own answer is among them: a
        # number that was typed before it came would be of no model yet.
        sizes = [getattr(form, name).change for name in GEOMETRY]
        gr.on(
            [*sizes, s.chosen.change],
            told(self.resized),
            everything | {s.chosen},
            [s.board, *words],
            trigger_mode="always_last",
            **QUIET,
        )
        whole_board = [*form.components, s.board, *self._by_model(), *words]
        asked, changed = everything | {s.chosen, s.kept}, [*whole_board, s.kept]
        form.model.input(told(self.remodelled), asked, changed, **QUIET | ONE_BY_ONE)
        s.other.click(told(self.swapped), asked, changed, **QUIET | ONE_BY_ONE)
        s.add_preset.input(told(self.added), everything | {s.add_preset}, [s.board, s.add_preset, *words], **QUIET)
        s.open_file.upload(
            told(self.dropped), everything | {s.open_file},
            [*whole_board, s.documents, s.open_file], **QUIET,
        )  # fmt: skip

    def _connect_charts(self) -> None:
        s = self.studio
        plots = [s.steps_plot, s.similarity_plot, s.memory_plot, s.bands_plot]
        s.charts.expand(told(self.draw), [s.job, s.metric], plots, **QUIET)
        s.metric.input(told(self.draw_similarity), [s.job, s.metric], s.similarity_plot, **QUIET)

    # ---- what handlers may change -----------------------------------------------------------------------------

    def _followed(self) -> list[Any]:
        s = self.studio
        shown = [s.comparator, s.figures, s.pyramid, s.status, s.downloads, s.board, s.forecast]
        return [*shown, s.run, s.stop, s.timer, s.job, s.revision]

    def _restored(self) -> list[Any]:
        s = self.studio
        return [*s.form.components, s.export_track, s.exports, *self._by_model(), *self._followed()]

    def _by_model(self) -> list[Any]:
        """What goes by the model, beside the fields and the board."""
        s = self.studio
        return [s.examples, s.other, s.add_preset, s.chosen]

    def _modelled(self, spec: ModelSpec) -> dict[Any, Any]:
        s = self.studio
        return {
            s.examples: gr.Dataset(samples=[[text] for text in spec.examples]),
            s.other: gr.update(value=other_label(spec), visible=other_model(spec) is not None),
            s.add_preset: gr.update(visible=spec.levels is None),  # presets of levels are in the board's own menu
            s.chosen: spec.id,
        }

    def _values(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        return self.studio.form.read(values)

    def _experiment(self, values: Mapping[Any, Any]) -> Experiment:
        """The experiment that stands on the page."""
        fields, board = self._values(values), self._board(values)
        return experiment_of(fields, board.tracks(whole(fields["steps"])))

    def _board(self, values: Mapping[Any, Any]) -> Board:
        """The board, parsed by its component; an empty one before the browser has sent any."""
        board = values[self.studio.board]
        return board if isinstance(board, Board) else Board(checked_steps(whole(values[self.studio.form.steps])))

    def _settled(self, values: Mapping[Any, Any]) -> bool:
        """Whether fields and board are of one model; while it changes, an event may bring some old and some new."""
        spec, lanes = known_model(values[self.studio.form.model]), self._board(values).lanes
        return values[self.studio.chosen] == spec.id and all(
            (lane.levels is None) is (spec.levels is None) for lane in lanes
        )

    # ---- opening ------------------------------------------------------------------------------------------------

    def opened(self, request: gr.Request) -> dict[Any, Any]:
        """A page is opened: with a job, with a shared experiment, or plainly."""
        s, query = self.studio, dict(request.query_params)
        if "job" in query:
            return self.open_job(query["job"])
        if "s" in query:
            return self._show_experiment(unpack(query["s"]))
        values = default_values(default_model())
        board = board_of(files.first_tracks(default_model(), values["steps"]), values["steps"])
        shown = self.show_comparison(compare_runs(self.jobs, picks_of(query["compare"]))) if "compare" in query else {}
        return (
            {s.board: gr.update(context=self._context(values, None))}
            | self._words(values, parse_board(board), None)
            | shown
        )

    def shown(self) -> list[Any]:
        """What `open_job` and `show_comparison` may change."""
        return self._restored()

    def open_job(self, job: str) -> dict[Any, Any]:
        """The studio filled with a job: its fields, its board, its runs, followed where it still runs."""
        s, view = self.studio, self.jobs.view(job)
        experiment = parse_experiment(view.document, "the job", catalogue_model)
        self.jobs.lend_pictures(job, experiment)
        shown, followed = self._show_experiment(experiment), self._follow(view.id, -1, experiment.spec.id)
        if s.board in followed:  # it brings only what the job has taught: the lanes are the experiment's
            followed[s.board] = shown[s.board] | followed[s.board]
        return {s.figures: None, s.downloads: ""} | shown | followed

    def show_comparison(self, shown: Comparison) -> dict[Any, Any]:
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

    def _show_experiment(self, experiment: Experiment) -> dict[Any, Any]:
        """The fields and the board for an experiment."""
        s, values, limits = self.studio, values_of(experiment), ranges(experiment.spec)
        board = parse_board(board_of(experiment.tracks, experiment.steps), max_tracks=MAX_TRACKS)
        shown = {
            getattr(s.form, name): gr.update(value=value, **limits.get(name, {})) for name, value in values.items()
        }
        return (
            shown
            | self._words(values, board, None)
            | self._modelled(experiment.spec)
            | {
                s.board: gr.update(value=board.value(), context=self._context(values, None)),
            }
        )

    # ---- running ------------------------------------------------------------------------------------------------

    def run(self, values: dict[Any, Any], request: gr.Request) -> dict[Any, Any]:
        """Put the experiment on disk as a job and follow it; the lanes take the colours of its runs."""
        experiment = self._experiment(values)
        noise_floor = bool(values[self.studio.noise_floor])
        job = self.jobs.submit(experiment, visitor=visitor_of(request), noise_floor=noise_floor)
        return self._follow(job, -1, experiment.spec.id) | {
            self.studio.board: gr.update(value=board_of(experiment.tracks, experiment.steps))
        }

    def poll(self, job: str, revision: int, chosen: str) -> dict[Any, Any]:
        """Twice a second while a job is on its way; an unchanged job changes nothing."""
        try:
            return self._follow(job, revision, chosen)
        except ResoluteError:  # it was deleted, or the disk fails: what is shown stays
            return {self.studio.timer: gr.update(active=False)}

    def _follow(self, job: str, revision: int, chosen: str) -> dict[Any, Any]:
        """All that shows a job, where it has changed since `revision`; the board learns if its model is `chosen`."""
        s, view = self.studio, self.jobs.view(job)
        if view.revision == revision:
            return {s.job: gr.skip()}
        report = following.report_of(self.jobs, job)
        changes: dict[Any, Any] = {
            s.comparator: following.comparison(view, report),
            s.pyramid: following.pyramid(view, report),
            s.status: following.status_html(view, self.jobs.notices()),
            s.run: gr.update(visible=view.finished),
            s.stop: gr.update(visible=not view.finished, interactive=not view.stopping),
            s.timer: gr.update(active=not view.finished),
            s.job: view.id,
            s.revision: view.revision,
        }
        if report is not None:
            changes[s.figures] = figures_of(report).to_json()
            changes[s.downloads] = following.downloads_html(view, self.jobs.files(job))
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

    def stop(self, job: str) -> Any:
        if job:
            self.jobs.cancel(job)
        return gr.update(active=bool(job))

    def acted(self, job: str | None, event: gr.EventData) -> Any:
        """Skip one run, or run again what is missing."""
        action = parse_action(event._data)
        if job and action.action == "skip":
            self.jobs.skip(job, action.number)
        if job and action.action == "retry":
            self.jobs.retry(job)
        return gr.skip() if action.action == "select" else gr.update(active=bool(job))

    def chosen(self, event: gr.EventData) -> Any:
        """A point or a row of the figures was chosen: the comparator brings that run up."""
        return gr.update(selected=[parse_figures_action(event._data).number, time.monotonic_ns()])

    # ---- editing ------------------------------------------------------------------------------------------------

    def edited(self, values: dict[Any, Any]) -> dict[Any, Any]:
        return self._words(self._values(values), self._board(values), values)

    def resized(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """Other sizes, steps or guidance: what rates there are, what they cost, and schedules that keep their shape."""
        if not self._settled(values):
            return {self.studio.board: gr.skip()}
        s, fields, old = self.studio, self._values(values), self._board(values)
        steps, levels = checked_steps(whole(fields["steps"])), known_model(fields["model"]).levels
        if levels and not levels_fit(levels, steps):  # on the way to a larger number, or too many
            return {s.forecast: forecast_html(fields, Board(steps), self.jobs)}
        context = self._context(fields, following.report_of(self.jobs, values[s.job]))
        board, notes = with_steps(old, steps, levels) if steps != old.infer_steps else (old, [])
        if context["rates"]:
            board, more = snapped(board, context["rates"])
            notes = [*notes, *more]
        self._noted((board, notes))
        changed: dict[str, Any] = {} if board == old else {"value": board.value()}
        return {s.board: gr.update(context=context, **changed)} | self._words(fields, board, values)

    def remodelled(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """Another model: its own sizes and ranges; prompt and seed stay, and the schedules where it can follow them.

        The list tells a choice twice: the second answer would undo what was typed after the first.
        """
        s, old = self.studio, self._values(values)
        spec = known_model(old["model"])
        if spec.id == values[s.chosen]:
            return {s.board: gr.skip()}
        new = switched(known_model(values[s.chosen]), spec, old, self._board(values), values[s.kept])
        context, limits = self._context(new.fields, None), ranges(spec)
        fitted = (new.board, list(new.notes))
        if context["rates"]:
            board, more = snapped(new.board, context["rates"])
            fitted = (board, [*new.notes, *more])
        board = self._noted(fitted)
        fields = {getattr(s.form, name): gr.update(value=v, **limits.get(name, {})) for name, v in new.fields.items()}
        return (
            fields
            | self._words(new.fields, board, values)
            | self._modelled(spec)
            | {s.board: gr.update(value=board.value(), context=context), s.kept: new.kept}
        )

    def swapped(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """The same prompt and seed for the other shipped model."""
        other = other_model(known_model(values[self.studio.form.model]))
        if other is None:
            raise InvalidInput("model", "no other model ships with this one; choose one in the list.")
        return self.remodelled(values | {self.studio.form.model: other.id})

    def added(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """A preset of the list becomes a track."""
        s, name = self.studio, values[self.studio.add_preset]
        board = (
            self._board(values)
            if name == ADD
            else files.added(
                self._board(values),
                files.preset_of(name, self._board(values).infer_steps),
                known_model(self._values(values)["model"]),
            )
        )
        return self._changed_board(values, board) | {s.add_preset: ADD}

    def dropped(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """A file was opened: a schedule becomes a track, an experiment is restored whole."""
        s = self.studio
        opened = files.open_file(
            values[s.open_file], self._board(values), values[s.documents], known_model(self._values(values)["model"])
        )
        if opened.experiment is not None:
            return self._show_experiment(opened.experiment) | {s.open_file: None}
        kept = values | {s.documents: opened.documents}
        return self._changed_board(kept, opened.board) | {s.open_file: None, s.documents: opened.documents}

    def _noted(self, changed: tuple[Board, list[str]]) -> Board:
        """What had to give way is said, not done in silence."""
        board, notes = changed
        if notes:
            gr.Info(" ".join(notes))
        return board

    def _changed_board(self, values: Mapping[Any, Any], board: Board) -> dict[Any, Any]:
        return {self.studio.board: gr.update(value=board.value())} | self._words(self._values(values), board, values)

    def _context(self, fields: Mapping[str, Any], report: Report | None) -> dict[str, Any]:
        return board_context(fields, self.jobs, report)

    # ---- keeping ------------------------------------------------------------------------------------------------

    def link(self, values: dict[Any, Any]) -> str:
        """The link of what stands on the page; a picture does not fit into one, which is said."""
        experiment = self._experiment(values)
        if any(experiment.conditions.given()):
            gr.Info("A link cannot carry a picture or video: whoever opens it is asked for the same one.")
        return f"s={pack(experiment)}"

    def _words(self, fields: Mapping[str, Any], board: Board, values: Mapping[Any, Any] | None) -> dict[Any, Any]:
        """The line beside Run, and what can be exported, for these fields and this board."""
        s = self.studio
        names = [lane.name for lane in board.lanes]
        chosen = values.get(s.export_track) if values else None
        chosen = chosen if chosen in names else next(iter(names), None)
        try:
            experiment = experiment_of(fields, board.tracks(whole(fields["steps"])))
        except ResoluteError:  # a field is being typed; Run will say what is wrong with it
            experiment = None
        return {
            s.forecast: forecast_html(fields, board, self.jobs),
            s.export_track: gr.update(choices=names, value=chosen),
            s.exports: files.exports_html(experiment, chosen, values.get(s.documents, {}) if values else {})
            if experiment or not names
            else gr.skip(),
        }

    # ---- charts -------------------------------------------------------------------------------------------------

    def draw(self, job: str | None, metric: str) -> list[Any]:
        *plots, bands = following.charts(self._report(job), metric)
        return [*plots, gr.update(value=bands, visible=bands is not None)]

    def draw_similarity(self, job: str | None, metric: str) -> Any:
        return following.charts(self._report(job), metric)[1]

    def _report(self, job: str | None) -> Report | None:
        return following.report_of(self.jobs, job)


def visitor_of(request: gr.Request) -> str:
    """Whom a limit counts: the address that the connection comes from. The session's own word is no identity."""
    return getattr(getattr(request, "client", None), "host", None) or "unknown"
