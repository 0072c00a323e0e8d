"""The timeline's value: parsed strictly, and both ways between it and an experiment's tracks."""

from __future__ import annotations

import copy
import subprocess
import sys

import gradio as gr
import pytest

from engine.errors import InvalidInput
from engine.experiments.experiment import Track
from engine.experiments.level_tracks import level_track
from engine.hpdm.level_choice import LevelChoice, level_schedule
from engine.models.catalogue import find_model
from engine.schedules.schedule import parse_schedule
from engine.switching.policies import policy_named
from ui.timeline import Board, Timeline, board_of, parse_board, snapped, with_steps

TWO_STAGE = {
    "name": "Two-stage 0.75",
    "policy": "coherent",
    "colour": 1,
    "resolution_rate": [0.75],
    "changing_resolution_steps": [15],
}
VALUE = {"infer_steps": 30, "tracks": [TWO_STAGE]}


def value(infer_steps: object = 30, **changed: object) -> dict:
    return {"infer_steps": infer_steps, "tracks": [TWO_STAGE | changed]}


def test_a_board_comes_back_as_the_value_it_was_parsed_from():
    assert parse_board(VALUE).value() == VALUE


def test_parsing_leaves_the_value_alone():
    given = copy.deepcopy(VALUE)
    parse_board(given)
    assert given == VALUE


@pytest.mark.parametrize(
    ("bad", "field", "said"),
    [
        (None, "the board", "must be an object"),
        ([], "the board", "must be an object"),
        ({"tracks": []}, "infer_steps", "lacks"),
        (VALUE | {"more": 1}, "more", "unknown key"),
        (VALUE | {"tracks": {}}, "tracks", "must be a list"),
        (VALUE | {"tracks": [TWO_STAGE] * 9}, "tracks", "9 tracks; at most 8"),
        (VALUE | {"tracks": ["x"]}, "track 1", "must be an object"),
        (value(0), "infer_steps", "1..1000"),
        (value(True), "infer_steps", "integer"),
        (value(name=""), "name", "Track 1: name is empty"),
        (value(name="  \n "), "name", "empty"),
        (value(name=7), "name", "not text"),
        (value(name="x" * 81), "name", "81 characters"),
        (value(name="a\x00b"), "name", "control character"),
        (value(name="\ud800"), "name", "surrogate"),
        (value(policy="best"), "policy", "must be one of"),
        (value(policy=["coherent"]), "policy", "must be one of"),
        (value(colour=0), "colour", "1..7"),
        (value(colour=8), "colour", "1..7"),
        (value(colour=True), "colour", "1..7"),
        (value(colour=1.0), "colour", "1..7"),
        (value(resolution_rate=[float("nan")]), "resolution_rate[0]", "above 0"),
        (value(resolution_rate=["0.5"]), "resolution_rate[0]", "number"),
        (value(resolution_rate=[1.5]), "resolution_rate[0]", "at most 1"),
        (value(resolution_rate=[0.5, 0.75]), "changing_resolution_steps", "equally many"),
        (value(changing_resolution_steps=[30]), "changing_resolution_steps[0]", "1..29"),
        (value(changing_resolution_steps="15"), "changing_resolution_steps", "must be a list"),
        (value(speed=3), "speed", "unknown key"),
    ],
)
def test_a_bad_board_is_refused_in_one_sentence(bad, field, said):
    with pytest.raises(InvalidInput, match=r"^[^\n]*$") as refused:
        parse_board(bad)
    assert refused.value.field == field
    assert said in str(refused.value)


def test_names_that_look_like_markup_are_only_text():
    name = "<b>bold</b> ${alert(1)} {{value}}"
    assert parse_board(value(name=name)).lanes[0].name == name


def test_the_board_gives_tracks_at_the_steps_of_the_experiment():
    (track,) = parse_board(VALUE).tracks(60)
    assert (track.name, track.policy.name) == ("Two-stage 0.75", "coherent")
    assert track.schedule == parse_schedule(60, [0.75], [30])


def test_tracks_and_board_go_both_ways():
    ways = [policy_named(name) for name in ("lightx2v", "coherent@+1", "anchored@none", "lightx2v@exact")] * 2
    tracks = [Track(f"t{k}", parse_schedule(30, [0.5, 0.75], [5 + k, 20]), way) for k, way in enumerate(ways)]
    there = board_of(tracks, 30)
    assert parse_board(there).tracks() == tracks
    assert [track["colour"] for track in there["tracks"]] == [1, 2, 3, 4, 5, 6, 7, 1]


def test_a_schedule_of_other_steps_is_brought_to_those_of_the_board():
    track = Track("preset", parse_schedule(50, [0.75], [25]), policy_named("coherent"))
    assert board_of([track], 30)["tracks"][0]["changing_resolution_steps"] == [15]


@pytest.mark.parametrize("own", [20, 30])
def test_steps_of_a_lanes_own_stay_whatever_the_board_has(own):
    given = value(steps=own, changing_resolution_steps=[10])
    board = parse_board(given)
    assert board.value() == given
    for steps in (60, 5, 1):
        changed, notes = with_steps(board, steps)
        assert (changed.infer_steps, changed.lanes, notes) == (steps, board.lanes, [])
        (track,) = changed.tracks()
        assert (track.steps, track.schedule) == (own, parse_schedule(own, [0.75], [10]))
        assert parse_board(board_of([track], steps)).lanes == board.lanes


@pytest.mark.parametrize("bad", [0, -1, 1001, 10**40, 1.5, "20", True, [20], float("nan")])
def test_bad_steps_of_a_lanes_own_are_refused_in_one_sentence(bad):
    with pytest.raises(InvalidInput, match=r"^Track 1: steps of a track is [^\n]*1\.\.1000\.$"):
        parse_board(value(steps=bad))


def test_more_steps_stretch_every_track():
    board, notes = with_steps(parse_board(VALUE), 50)
    assert board.value()["tracks"][0]["changing_resolution_steps"] == [25]
    assert board.infer_steps == 50
    assert notes == []


def test_too_few_steps_drop_stages_and_say_so():
    board, notes = with_steps(parse_board(value(resolution_rate=[0.5, 0.75], changing_resolution_steps=[1, 20])), 4)
    assert board.lanes[0].schedule == parse_schedule(4, [0.75], [3])
    assert notes == ['"Two-stage 0.75" lost 1 of its stages: they have no step left in 4 steps.']


def test_one_step_leaves_every_track_flat():
    board, notes = with_steps(parse_board(VALUE), 1)
    assert board.lanes[0].schedule.is_flat
    assert len(notes) == 1


def test_steps_outside_the_range_are_refused():
    with pytest.raises(InvalidInput, match="infer_steps"):
        with_steps(parse_board(VALUE), 0)


def test_rates_too_small_for_the_model_are_raised_with_a_note_and_others_stay():
    board = parse_board(value(resolution_rate=[0.1, 0.7], changing_resolution_steps=[5, 15]))
    fitted, notes = snapped(board, [{"rate": 0.25}, {"rate": 0.75}, {"rate": 1.0}])
    assert fitted.lanes[0].schedule.rates == (0.25, 0.7)
    assert notes == ['"Two-stage 0.75": rate 0.1 is too small for this size and became 0.25.']


LEVELS = {"levels": 2, "overlap": "none", "context": "off", "heun": False}
HPDM = find_model("emoji-hpdm").levels


def by_levels(steps: int = 56, **changed: object) -> dict:
    schedule = level_schedule(HPDM, steps)
    shape = {"resolution_rate": list(schedule.rates), "changing_resolution_steps": list(schedule.switch_steps)}
    return {"infer_steps": steps, "tracks": [TWO_STAGE | shape | {"levels": LEVELS} | changed]}


def test_a_choice_of_levels_comes_back_as_it_was_parsed():
    board = parse_board(by_levels())
    assert board.value() == by_levels()
    assert board.lanes[0].levels == LevelChoice(2, "none", "off")


def test_a_level_track_and_its_lane_go_both_ways():
    track = level_track("mine", LevelChoice(2, "full", "cpu", heun=True), HPDM, 56)
    assert parse_board(board_of([track], 56)).tracks() == [track]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("2", "must be an object"),
        ({"levels": 0}, r"in 1\.\.8"),
        ({"levels": True}, r"in 1\.\.8"),
        ({"overlap": "wide"}, "none, spatial or full"),
        ({"context": "disk"}, "off, device or cpu"),
        ({"heun": 1}, "true or false"),
        ({"speed": 2}, "has no"),
    ],
)
def test_a_choice_of_levels_that_cannot_be_names_its_track(bad, said):
    with pytest.raises(InvalidInput, match=rf"^Track 1: [^\n]*{said}[^\n]*$"):
        parse_board(by_levels(levels=bad))


@pytest.mark.parametrize("steps", [3, 7, 30, 100])
def test_levels_share_another_number_of_steps_as_the_model_does(steps):
    board, notes = with_steps(parse_board(by_levels()), steps, HPDM)
    assert board.lanes[0].schedule == level_schedule(HPDM, steps)
    assert board.lanes[0].levels == LevelChoice(2, "none", "off")
    assert notes == []


def test_levels_with_shares_of_their_own_keep_them():
    board, _ = with_steps(parse_board(by_levels(changing_resolution_steps=[14, 28])), 112, HPDM)
    assert board.lanes[0].schedule.switch_steps == (28, 56)


def test_too_few_steps_for_all_levels_are_refused():
    with pytest.raises(InvalidInput, match="at least one each"):
        with_steps(parse_board(by_levels()), 2, HPDM)


def test_the_widget_hands_handlers_a_board_and_takes_boards_and_values():
    widget = Timeline(VALUE)
    board = widget.preprocess(VALUE)
    assert isinstance(board, Board)
    assert widget.postprocess(board) == widget.postprocess(VALUE) == VALUE
    assert widget.preprocess("") is None
    assert widget.preprocess(None) is None


def test_what_a_browser_sends_wrong_is_an_error_for_the_person():
    with pytest.raises(gr.Error) as refused:
        Timeline().preprocess(value(resolution_rate=[-1]))
    assert refused.value.message.startswith("Track 1: resolution_rate[0] is -1")
    assert not refused.value.print_exception


def test_the_contexts_limit_of_tracks_holds_in_python():
    widget = Timeline(context={"max_tracks": 1})
    with pytest.raises(gr.Error, match="at most 1"):
        widget.preprocess(VALUE | {"tracks": [TWO_STAGE] * 2})


def test_a_wrong_value_of_our_own_is_refused_before_it_reaches_the_page():
    with pytest.raises(InvalidInput):
        Timeline(value(policy="nothing"))


def test_the_board_needs_no_torch():
    code = "import ui.timeline, sys; print([m for m in ('torch', 'diffusers') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
