"""What happens where the studio is edited: fields, schedules, models, files, links."""

from __future__ import annotations

from typing import Any

import gradio as gr

from engine.errors import InvalidInput, ResoluteError
from engine.experiments.share_link import pack
from engine.hpdm.level_choice import levels_fit
from engine.schedules.schedule import checked_steps
from ui.shared.event_calls import refuse
from ui.studio import job_display, opened_files
from ui.studio.desk import Desk
from ui.studio.forecast import forecast_html
from ui.studio.form import known_model, ranges, whole
from ui.studio.model_change import other_model, switched
from ui.studio.studio_view import ADD
from ui.timeline.board import Board, snapped, with_steps


class Editing(Desk):
    """Fields and schedules are changed; nothing is run."""

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
        context = self._context(fields, job_display.report_of(self.jobs, values[s.job]))
        board, notes = with_steps(old, steps, levels) if steps != old.infer_steps else (old, [])
        if context["rates"]:
            board, more = snapped(board, context["rates"])
            notes = [*notes, *more]
        self._noted((board, notes))
        changed: dict[str, Any] = {} if board == old else {"value": board.value()}
        return {s.board: gr.update(context=context, **changed)} | self._words(fields, board, values)

    def asked(self, model: Any, chosen: str, shown: str) -> Any:
        """A model was chosen in the list: told on, where it is another than the page shows.

        Gradio's list tells a choice twice, and tells one also where it was only passed with Tab. An answer to the
        second would undo what was typed after the first, and one that changes nothing breaks fields that the first
        has just brought up. So a choice is a text of its own, and a text that stays the same is no event.
        """
        return gr.skip() if model == chosen else f"{model} after {shown}"

    def remodelled(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """Another model was chosen; where it cannot be shown the list goes back, and the same can be chosen anew."""
        try:
            return self._remodelled(values)
        except ResoluteError as error:
            refuse(error)
            return self._modelled(known_model(values[self.studio.chosen])) | {
                self.studio.form.model: values[self.studio.chosen]
            }

    def _remodelled(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """Its own sizes and ranges; prompt and seed stay, and the schedules where it can follow them."""
        s, old = self.studio, self._values(values)
        spec = known_model(old["model"])
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
        return self._remodelled(values | {self.studio.form.model: other.id})

    def added(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """A preset of the list becomes a track."""
        s, name = self.studio, values[self.studio.add_preset]
        board = (
            self._board(values)
            if name == ADD
            else opened_files.added(
                self._board(values),
                opened_files.preset_of(name, self._board(values).infer_steps),
                known_model(self._values(values)["model"]),
            )
        )
        return self._changed_board(values, board) | {s.add_preset: ADD}

    def dropped(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """A file was opened: a schedule becomes a track, an experiment is restored whole."""
        s = self.studio
        spec = known_model(self._values(values)["model"])
        with self.jobs.taking_in.turn():
            opened = opened_files.open_file(values[s.open_file], self._board(values), values[s.documents], spec)
        if opened.experiment is not None:
            return self._show_experiment(opened.experiment) | {s.open_file: None}
        kept = values | {s.documents: opened.documents}
        return self._changed_board(kept, opened.board) | {s.open_file: None, s.documents: opened.documents}

    def link(self, values: dict[Any, Any]) -> str:
        """The link of what stands on the page; a picture does not fit into one, which is said."""
        experiment = self._experiment(values)
        if any(experiment.conditions.given()):
            gr.Info("A link cannot carry a picture or video: whoever opens it is asked for the same one.")
        return f"s={pack(experiment)}"
