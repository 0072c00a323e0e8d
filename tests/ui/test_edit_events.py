"""What an event does that the page sends while the model, a size or the number of steps changes."""

from __future__ import annotations

import gradio as gr
import pytest

from engine.jobs.service import Jobs
from engine.models.catalogue import find_model
from ui.page import _initial
from ui.studio import opened_files
from ui.studio.form import default_values
from ui.studio.job_display import example_report
from ui.studio.studio_view import build_studio
from ui.studio.wiring import Wiring
from ui.timeline.board import board_of, parse_board

WAN, LEVELS = find_model("emoji-wan"), find_model("emoji-hpdm")


@pytest.fixture(scope="module")
def wiring(tmp_path_factory):
    with Jobs(tmp_path_factory.mktemp("editing"), worker=False) as jobs, gr.Blocks():
        yield Wiring(build_studio(_initial(jobs)), jobs)


def sent(wiring, spec, chosen=None, lanes=None, **changed):
    """What an event brings: the fields of a model, its usual lanes or those of another, and what was chosen last."""
    s, fields = wiring.studio, default_values(spec)
    tracks = opened_files.first_tracks(lanes or spec, default_values(lanes or spec)["steps"])
    board = parse_board(board_of(tracks, default_values(lanes or spec)["steps"]))
    named = {getattr(s.form, name): value for name, value in (fields | changed).items()}
    rest = {s.board: board, s.job: None, s.documents: {}, s.export_track: None, s.kept: {}, s.noise_floor: False}
    return named | rest | {s.chosen: (chosen or spec).id}


def test_a_model_that_the_list_tells_twice_is_told_on_once(wiring):
    s = wiring.studio
    first = wiring.asked(LEVELS.id, WAN.id, "a")
    assert first == wiring.asked(LEVELS.id, WAN.id, "a")  # a text that stays is no event
    answer = wiring.remodelled(sent(wiring, LEVELS, chosen=WAN, lanes=WAN))
    assert answer[s.chosen] == LEVELS.id
    assert answer[s.form.steps]["value"] == LEVELS.defaults.steps
    assert first != wiring.asked(LEVELS.id, WAN.id, answer[s.shown])  # the same again, after another model was there


@pytest.mark.filterwarnings("ignore::UserWarning")  # Gradio's, for toasts of an event outside its queue
def test_a_model_that_cannot_be_shown_leaves_the_list_as_it_was_and_can_be_chosen_again(wiring):
    s = wiring.studio
    answer = wiring.remodelled(sent(wiring, LEVELS, chosen=WAN, lanes=WAN, model="gone"))
    assert answer[s.form.model] == answer[s.chosen] == WAN.id
    assert s.board not in answer
    assert answer[s.shown]


def test_a_list_of_models_that_is_only_passed_changes_nothing(wiring):
    assert wiring.asked(WAN.id, WAN.id, "a") == gr.skip()


@pytest.mark.parametrize(("spec", "lanes"), [(LEVELS, WAN), (WAN, LEVELS)])
def test_lanes_of_the_other_kind_are_left_until_their_model_is_there(wiring, spec, lanes):
    changed = wiring.resized(sent(wiring, spec, lanes=lanes))
    assert set(changed) == {wiring.studio.board}
    assert "context" not in changed[wiring.studio.board]


def test_one_answer_brings_steps_and_sizes(wiring):
    s = wiring.studio
    changed = wiring.resized(sent(wiring, WAN, steps=12, height=64, width=64))[s.board]
    assert changed["value"]["infer_steps"] == 12
    assert changed["context"]["height"] == 64


def test_a_field_that_is_being_typed_leaves_what_can_be_exported(wiring):
    s = wiring.studio
    assert "Preset" in wiring.edited(sent(wiring, WAN))[s.exports]
    assert "Preset" not in wiring.edited(sent(wiring, WAN, height=3))[s.exports]


@pytest.mark.parametrize(("spec", "shown"), [(WAN, True), (find_model("wan2.1-1.3b"), False)])
def test_what_settled_when_is_shown_only_for_the_model_it_was_measured_on(wiring, spec, shown):
    assert example_report().model == WAN.id
    context = wiring.resized(sent(wiring, spec))[wiring.studio.board]["context"]
    assert bool(context["bands"]) is shown
