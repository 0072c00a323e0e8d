"""What stands on the studio view: its fields and its board, parsed, and what goes with them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import gradio as gr

from engine.errors import ResoluteError
from engine.experiments.experiment import Experiment
from engine.jobs.service import Jobs
from engine.models.catalogue import ModelSpec
from engine.reports.schema import Report
from engine.schedules.schedule import checked_steps
from ui.studio.exports import exports_html
from ui.studio.forecast import board_context, forecast_html
from ui.studio.form import experiment_of, known_model, ranges, values_of, whole
from ui.studio.model_change import other_model
from ui.studio.studio_view import Studio, other_label
from ui.timeline.board import MAX_TRACKS, Board, board_of, parse_board


class Desk:
    """Reads fields and board from an event's values, and says what must change with them. It keeps no state."""

    def __init__(self, studio: Studio, jobs: Jobs) -> None:
        self.studio, self.jobs = studio, jobs

    def _by_model(self) -> list[Any]:
        """What goes by the model, beside the fields and the board."""
        s = self.studio
        return [s.examples, s.other, s.add_preset, s.chosen, s.shown]

    def _modelled(self, spec: ModelSpec) -> dict[Any, Any]:
        s = self.studio
        return {
            s.examples: gr.Dataset(samples=[[text] for text in spec.examples]),
            s.other: gr.update(value=other_label(spec), visible=other_model(spec) is not None),
            s.add_preset: gr.update(visible=spec.levels is None),  # presets of levels are in the board's own menu
            s.chosen: spec.id,
            s.shown: secrets.token_hex(4),
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
            s.exports: exports_html(experiment, chosen, values.get(s.documents, {}) if values else {})
            if experiment or not names
            else gr.skip(),
        }

    def _context(self, fields: Mapping[str, Any], report: Report | None) -> dict[str, Any]:
        return board_context(fields, self.jobs, report)

    def _changed_board(self, values: Mapping[Any, Any], board: Board) -> dict[Any, Any]:
        return {self.studio.board: gr.update(value=board.value())} | self._words(self._values(values), board, values)

    def _noted(self, changed: tuple[Board, list[str]]) -> Board:
        """What had to give way is said, not done in silence."""
        board, notes = changed
        if notes:
            gr.Info(" ".join(notes))
        return board

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
