"""Another model is chosen: what stays, what waits, and what the person is told."""

from __future__ import annotations

from engine.models.catalogue import find_model
from ui.studio.form import default_values
from ui.studio.model_change import other_model, switched
from ui.studio.opened_files import first_tracks
from ui.timeline.board import board_of, parse_board

WAN, HPDM, LARGE = find_model("emoji-wan"), find_model("emoji-hpdm"), find_model("wan2.1-1.3b")


def page(spec, **changed):
    """A model's fields and its first board, as they stand when somebody has just chosen another model."""
    fields = default_values(spec) | changed
    return fields, parse_board(board_of(first_tracks(spec, fields["steps"]), fields["steps"]))


def test_prompt_and_seed_stay_and_lanes_become_level_tracks():
    fields, board = page(WAN, prompt="a panda bouncing over blue stripes", seed=7.0)
    new = switched(WAN, HPDM, fields, board, {})
    assert (new.fields["prompt"], new.fields["seed"]) == (fields["prompt"], 7)
    assert (new.fields["height"], new.fields["steps"]) == (64, 56)
    assert [lane.levels is not None for lane in new.board.lanes] == [True] * 3
    assert "2 schedules wait" in new.notes[0]
    assert "“panda” and “blue”" in new.notes[1]


def test_there_and_back_nothing_is_lost():
    fields, board = page(WAN, steps=12, guidance=5.5, height=96, negative="blurred", solver="euler", seed=3)
    board = parse_board(board_of(first_tracks(WAN, 12), 12))
    there = switched(WAN, HPDM, fields | {"model": HPDM.id}, board, {})
    chosen = there.fields | {"model": WAN.id, "seed": 9}
    back = switched(HPDM, WAN, chosen, there.board, there.kept)
    assert back.board == board
    assert back.fields == fields | {"seed": 9}
    assert back.notes == ("Emoji-Wan (shipped) has no levels; it follows resolution schedules. "
                          "Your 3 level tracks wait for when you come back.",)  # fmt: skip
    again = switched(WAN, HPDM, back.fields | {"model": HPDM.id}, back.board, back.kept)
    assert again.board == there.board


def test_a_third_model_takes_the_waiting_lanes_at_its_own_steps_and_size():
    fields, board = page(WAN)
    there = switched(WAN, HPDM, fields | {"model": HPDM.id}, board, {})
    new = switched(HPDM, LARGE, there.fields | {"model": LARGE.id}, there.board, there.kept)
    assert [lane.name for lane in new.board.lanes] == [lane.name for lane in board.lanes]
    assert new.board.infer_steps == new.fields["steps"] == LARGE.defaults.steps
    assert new.fields["height"] == LARGE.defaults.height


def test_models_of_one_kind_share_their_lanes_as_before():
    fields, board = page(WAN)
    new = switched(WAN, LARGE, fields | {"model": LARGE.id}, board, {})
    assert [lane.schedule.rates for lane in new.board.lanes] == [lane.schedule.rates for lane in board.lanes]
    assert new.kept == {}
    assert new.notes == ()


def test_a_prompt_that_the_model_cannot_read_is_told_with_what_it_knows():
    fields, board = page(WAN, prompt="a red apple growing over a green gradient")
    new = switched(WAN, HPDM, fields | {"model": HPDM.id}, board, {})
    assert "names no emoji" in new.notes[-1]
    assert "red heart" in new.notes[-1]


def test_the_shipped_models_are_each_others_counterpart_and_no_other_has_one():
    assert other_model(WAN) == HPDM
    assert other_model(HPDM) == WAN
    assert other_model(LARGE) is None
