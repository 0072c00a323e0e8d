"""The cache of a track on the timeline board: chosen, set and undone by keyboard, and predicted as a bound."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from engine.caches.which_model import offered
from engine.models.catalogue import find_model
from tests.browser.install import AXE_FILE as AXE
from tests.browser.timeline.conftest import TWO, U

CACHES = {"caches": offered(find_model("emoji-wan"))}
TEA = {"cache": {"name": "teacache", "threshold": 0.1, "ret_steps": True}}


def choice(board, lane=1):
    return board.lane(lane).get_by_role("combobox", name="Cache of")


def figure(board, lane=1):
    return board.lane(lane).locator("input.figure")


def test_a_cache_is_chosen_and_its_figure_set_by_keyboard(open_board):
    board = open_board(TWO, U, changed=CACHES)
    expect(figure(board)).to_be_hidden()
    choice(board).focus()
    choice(board).press("T")  # typing chooses
    expect(choice(board)).to_have_value("teacache")
    board.expect_python(TWO | TEA, U)
    board.page.keyboard.press("Tab")
    expect(figure(board)).to_be_focused()
    figure(board).press("ArrowUp")
    board.expect_python(TWO | {"cache": TEA["cache"] | {"threshold": 0.11}}, U)
    figure(board).press("Control+a")
    board.page.keyboard.type("0.3")
    figure(board).press("Enter")
    board.expect_python(TWO | {"cache": TEA["cache"] | {"threshold": 0.3}}, U)


def test_the_prediction_of_a_cached_track_is_a_bound(open_board):
    board = open_board(TWO, changed=CACHES)
    expect(board.lane().locator(".time")).not_to_contain_text("≤")
    choice(board).select_option("taylorseer")
    expect(board.lane().locator(".time")).to_contain_text("≤")
    expect(board.lane().locator(".speed")).to_contain_text("≥")
    expect(board.page.locator("#board [role=status]")).to_contain_text("at most")
    expect(board.lane(0).locator(".time")).not_to_contain_text("≤")


def test_a_figure_out_of_range_is_named_and_given_up(open_board):
    board = open_board(TWO | TEA, changed=CACHES)
    figure(board).fill("9")
    expect(figure(board)).to_have_attribute("aria-invalid", "true")
    expect(board.page.locator("#board .tip")).to_contain_text("from 0.001 to 5")
    figure(board).press("Tab")
    expect(figure(board)).to_have_value("0.1")
    expect(figure(board)).not_to_have_attribute("aria-invalid", "true")


def test_choosing_a_cache_can_be_undone(open_board):
    board = open_board(TWO, changed=CACHES)
    choice(board).select_option("pab")
    expect(figure(board)).to_have_value("2")
    board.button("Undo", None).click()
    expect(choice(board)).to_have_value("")
    board.expect_python(TWO)


def test_what_the_model_cannot_take_cannot_be_chosen(open_board):
    board = open_board(TWO, changed=CACHES)
    option = choice(board).locator("option[value=fastercache]")
    assert option.evaluate("(node) => node.disabled")
    assert "FasterCache cannot run here" in option.get_attribute("title")


def test_a_track_whose_cache_the_model_refuses_says_so(open_board):
    caches = [
        each | {"refused": "No coefficients."} if each["name"] == "teacache" else each for each in CACHES["caches"]
    ]
    board = open_board(TWO | TEA, changed={"caches": caches})
    expect(board.lane().get_by_role("button", name="Cache refused: No coefficients.")).to_be_visible()


def test_coefficients_that_came_with_a_file_stay_when_the_figure_changes(open_board):
    cache = TEA["cache"] | {"coefficients": [1.0, 0.5]}
    board = open_board(TWO | {"cache": cache}, changed=CACHES)
    figure(board).press("ArrowDown")
    board.expect_python(TWO | {"cache": cache | {"threshold": 0.09}})


def test_a_copy_has_the_same_cache(open_board):
    board = open_board(TWO | TEA, changed=CACHES)
    board.button("Copy").click()
    expect(choice(board, 2)).to_have_value("teacache")


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious_with_a_cache(open_board, dark):
    board = open_board(TWO | TEA, U, changed=CACHES, dark=dark)
    board.page.evaluate(AXE.read_text("utf-8"))
    found = board.page.evaluate(
        "async () => (await axe.run('#board')).violations.map((v) => [v.id, v.impact, v.nodes.map((n) => n.html)])"
    )
    assert [each for each in found if each[1] in ("serious", "critical")] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_the_cache_stays_inside_of_its_track(open_board, width):
    board = open_board(TWO | TEA, changed=CACHES, viewport={"width": width, "height": 900})
    lane, box = board.lane().bounding_box(), figure(board).bounding_box()
    assert box["x"] >= lane["x"]
    assert box["x"] + box["width"] <= lane["x"] + lane["width"]
    head, top = board.lane().locator(".head").bounding_box(), choice(board).bounding_box()
    assert top["y"] + top["height"] <= head["y"] + head["height"] + 1
