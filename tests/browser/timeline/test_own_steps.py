"""Lanes with a number of steps of their own, in a real Chromium: shown truly, edited, copied, undone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.timeline.conftest import TWO, track

OWN = track([0.5], [10], name="Two-stage 0.5, 20 steps", colour=2) | {"steps": 20}
FLAT = track([], [], name="flat@15", colour=3) | {"steps": 15}


@pytest.fixture
def board(open_board):
    return open_board(TWO, OWN, FLAT)


def own_px(board, steps: int) -> float:
    return board.lane(2).locator(".plot").bounding_box()["width"] / steps


def field(board, lane: int = 1):
    if board.button("Numbers", lane).get_attribute("aria-expanded") == "false":
        board.button("Numbers", lane).click()
    return board.lane(lane).locator("input.own")


def test_a_lane_of_its_own_steps_is_as_wide_as_they_are_and_says_them(board):
    expect(board.boundary(0, 2)).to_have_attribute("style", r"left: 50%; --room: 30.0000%;")
    expect(board.boundary(0, 2)).to_have_attribute(
        "aria-valuetext", "after step 10 of 20: rate 0.5 until there, then 1.0"
    )
    expect(board.level(1, 2)).to_have_attribute("aria-valuetext", re.compile(r"^rate 1\.0, .*, steps 11 to 20$"))
    assert board.lane(2).locator(".axis .mark").all_inner_texts()[-1] == "20 steps"
    assert board.lane(3).locator(".axis .mark").all_inner_texts()[-1] == "15 steps"
    expect(board.lane(1).locator(".axis")).to_be_hidden()
    expect(board.lane(0).locator(".axis")).to_be_hidden()
    assert (
        board.lane(2).locator(".grid").evaluate("(path) => path.ownerSVGElement.getAttribute('viewBox')") == "0 0 20 1"
    )


def test_its_cost_is_of_its_own_steps_beside_the_boards_baseline(board):
    expect(board.lane(2).locator(".cost")).to_contain_text("3.50 s")  # 1 + 10·0.08 + 10·0.16 + 0.1
    expect(board.lane(3).locator(".cost")).to_contain_text("3.40 s")  # 1 + 15·0.16
    expect(board.lane(3).locator(".cost")).to_contain_text("1.71×")  # the baseline: 1 + 30·0.16 = 5.8
    expect(board.lane(3).locator(".cost")).to_contain_text("FLOPs 2.00×")


def test_a_boundary_follows_the_pointer_over_its_own_steps(board):
    board.drag(board.boundary(0, 2), dx=4 * own_px(board, 20), drop=False)
    expect(board.page.get_by_role("tooltip")).to_contain_text("After step 14 of 20")
    guide, handle = (board.page.locator(f"#board {what}").bounding_box() for what in (".guide", ".boundary.held"))
    assert guide["x"] == pytest.approx(handle["x"] + handle["width"] / 2, abs=2)
    board.page.mouse.up()
    board.expect_ends(14, lane=2)
    board.expect_python(TWO, OWN | {"changing_resolution_steps": [14]}, FLAT)
    board.drag(board.boundary(0, 2), dx=20 * own_px(board, 20))
    board.expect_ends(19, lane=2)


def test_copies_splits_and_shapes_keep_its_steps(board):
    board.button("Copy", 3).click()
    board.button("U: ", 4).click()
    board.expect_ends(3, 11, lane=4)
    copied = track([1.0, 0.75], [3, 11], name="flat@15 2", colour=4) | {"steps": 15}
    board.expect_python(TWO, OWN, FLAT, copied)
    board.lane(2).locator(".stage").last.dblclick()
    board.expect_ends(10, 15, lane=2)


def test_steps_of_its_own_are_set_and_cleared_in_its_numbers_and_undone(board):
    own = field(board)
    expect(own).to_have_value("")
    expect(own).to_have_attribute("placeholder", "30")
    own.fill("20")
    own.press("Enter")
    board.expect_ends(10)
    set_ = TWO | {"name": "Two-stage 0.75, 20 steps", "changing_resolution_steps": [10], "steps": 20}
    board.expect_python(set_, OWN, FLAT)
    board.page.keyboard.press("Tab")
    board.button("Undo", lane=None).click()
    board.expect_python(TWO, OWN, FLAT)
    expect(own).to_have_value("")
    board.button("Redo", lane=None).click()
    board.expect_python(set_, OWN, FLAT)
    own.fill("")
    own.press("Enter")
    board.expect_python(TWO, OWN, FLAT)


@pytest.mark.parametrize("bad", ["0", "1001", "2.5", "-3"])
def test_bad_steps_of_its_own_are_said_beside_the_field_and_change_nothing(board, bad):
    own = field(board)
    own.fill(bad)
    own.press("Enter")
    expect(own).to_have_attribute("aria-invalid", "true")
    expect(board.lane(1).get_by_role("alert")).to_contain_text("Steps must be a whole number from 1 to 1000, or empty")
    assert board.received == []


def test_fewer_steps_than_stages_leave_those_out_that_have_no_step(board):
    own = field(board, 2)
    own.fill("1")
    own.press("Enter")
    board.expect_ends(lane=2)
    own.fill("2")
    own.press("Enter")
    board.expect_python(TWO, track([], [], name="Flat, 2 steps", colour=2) | {"steps": 2}, FLAT)
