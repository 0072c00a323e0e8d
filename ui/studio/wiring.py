"""Every event of the studio view and its handler. No handler computes for long."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.shared.event_calls import POLLED, QUIET, told
from ui.studio.edit_events import Editing
from ui.studio.form import roll
from ui.studio.run_events import Running

GEOMETRY = ("height", "width", "frames", "steps", "guidance", "shift")
# The second choice must see what the first has set; and two that are told at once would both be taken for a change.
ONE_BY_ONE = {"concurrency_limit": 1, "concurrency_id": "model"}
ASKED = {"concurrency_limit": 1, "concurrency_id": "asked"}


class Wiring(Editing, Running):
    """The handlers of one page; they keep no state of their own, so all visitors share them."""

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
        form.model.input(told(self.asked), [form.model, s.chosen, s.shown], [s.asked], **QUIET | ASKED)
        s.asked.change(self.remodelled, asked, changed, **QUIET | ONE_BY_ONE)
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
