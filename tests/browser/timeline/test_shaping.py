"""Schedules are shaped on the board in a real Chromium: by pointer, touch and keyboard, and undone."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.timeline.conftest import STAIRS, TWO, U, middle, phone

# ---- pointer ------------------------------------------------------------------------------------------------


def test_dragging_a_boundary_moves_the_switch_by_whole_steps_and_is_one_event(open_board):
    board = open_board()
    board.drag(board.boundary(), dx=4.4 * board.step_px)
    board.expect_ends(19)
    board.expect_python(TWO | {"changing_resolution_steps": [19]}, U, STAIRS)
    assert len(board.received) == 1


def test_a_boundary_cannot_cross_its_neighbours(open_board):
    board = open_board()
    board.drag(board.boundary(0, lane=2), dx=25 * board.step_px)
    board.expect_ends(20, 21, lane=2)
    board.drag(board.boundary(1, lane=2), dx=12 * board.step_px)
    board.expect_ends(20, 29, lane=2)
    board.drag(board.boundary(0, lane=2), dx=-22 * board.step_px)
    board.expect_ends(1, 29, lane=2)


def test_dragging_a_stage_snaps_to_the_rates_of_the_model(open_board):
    board = open_board()
    board.drag(board.level(), dy=0.28 * board.plot_px)
    board.expect_rates(0.5, 1)
    board.expect_python(TWO | {"resolution_rate": [0.5], "name": "Two-stage 0.5"}, U, STAIRS)


def test_the_body_of_a_stage_drags_with_a_mouse_and_the_last_stage_stays(open_board):
    board = open_board()
    board.drag(board.lane().locator(".stage").first, dy=0.25 * board.plot_px)
    board.expect_rates(0.5, 1)
    board.drag(board.lane().locator(".stage").last, dy=0.4 * board.plot_px)
    board.expect_rates(0.5, 1)


def test_cost_and_facts_follow_the_pointer_before_the_button_is_released(open_board):
    board = open_board()
    cost = board.lane().locator(".cost")
    expect(cost).to_contain_text("5.30 s")  # 1 + 15·0.12 + 15·0.16 + 0.1
    board.drag(board.boundary(), dx=5 * board.step_px, drop=False)
    expect(cost).to_contain_text("5.10 s")
    expect(cost).to_contain_text("1.14×")  # the baseline: 1 + 30·0.16 = 5.8
    expect(board.page.get_by_role("tooltip")).to_contain_text("After step 20 of 30")
    assert board.received == []
    board.page.mouse.up()
    expect(board.page.get_by_role("tooltip")).to_be_hidden()
    board.drag(board.level(), dy=0.25 * board.plot_px, drop=False)
    for fact in (
        "Rate 0.5",
        "64×64 pixels (latent 8×8)",
        "80 tokens",
        "80 ms a step",
        "3.90 s".replace("3.90", "4.30"),
    ):
        expect(board.page.get_by_role("tooltip")).to_contain_text(fact)
    board.page.mouse.up()


def test_escape_cancels_a_drag(open_board):
    board = open_board()
    board.drag(board.boundary(), dx=6 * board.step_px, drop=False)
    board.expect_ends(21)
    board.page.keyboard.press("Escape")
    board.expect_ends(15)
    board.page.mouse.up()
    board.expect_ends(15)
    expect(board.button("Undo", lane=None)).to_be_disabled()
    assert board.received == []


def test_a_double_click_splits_a_stage_there_and_merges_at_a_boundary(open_board):
    board = open_board()
    plot = board.lane().locator(".plot").bounding_box()
    board.page.mouse.dblclick(plot["x"] + 5.1 * board.step_px, plot["y"] + 0.8 * plot["height"])
    board.expect_ends(5, 15)
    board.expect_rates(0.75, 0.75, 1)
    board.expect_python(TWO | {"resolution_rate": [0.75, 0.75], "changing_resolution_steps": [5, 15]}, U, STAIRS)
    board.boundary(0).dblclick()
    board.expect_ends(15)
    board.expect_python(TWO, U, STAIRS)
    board.boundary(0).dblclick()
    board.expect_ends()
    board.expect_rates(1)


def test_shape_buttons_keep_the_lowest_rate(open_board):
    board = open_board()
    board.button("U: ", lane=3).click()
    board.expect_ends(6, 21, lane=3)
    board.expect_rates(1, 0.25, 1, lane=3)
    board.button("Two-stage: ", lane=3).click()
    board.expect_ends(15, lane=3)
    board.button("Flat: ", lane=3).click()
    board.expect_rates(1, lane=3)
    board.expect_python(TWO, U, STAIRS | {"resolution_rate": [], "changing_resolution_steps": []})


# ---- touch --------------------------------------------------------------------------------------------------


def touch_drag(page: Page, x: float, y: float, dx: float, dy: float) -> None:
    """A finger: real touch events, so that the browser decides between dragging and scrolling."""
    session = page.context.new_cdp_session(page)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for k in range(1, 11):
        point = {"x": x + dx * k / 10, "y": y + dy * k / 10}
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_finger_drags_a_boundary_and_a_grip(open_board):
    board = open_board(**phone())
    touch_drag(board.page, *middle(board.boundary()), 4 * board.step_px, 0)
    board.expect_ends(19)
    touch_drag(board.page, *middle(board.level()), 0, 0.25 * board.plot_px)
    board.expect_rates(0.5, 1)
    assert board.page.evaluate("scrollY") == 0


def test_a_swipe_on_a_stages_body_scrolls_the_page_and_edits_nothing(open_board):
    board = open_board(**phone())
    stage = board.lane().locator(".stage").last.bounding_box()
    touch_drag(board.page, stage["x"] + 0.8 * stage["width"], stage["y"] + 0.7 * stage["height"], 0, -200)
    board.page.wait_for_function("scrollY > 60")
    board.expect_ends(15)
    board.expect_rates(0.75, 1)
    assert board.received == []


def test_every_control_is_big_enough_for_a_finger(open_board):
    board = open_board(**phone())
    small = board.page.locator("#board").evaluate(
        """(board) => [...board.querySelectorAll('button, select, input, [role=slider]')]
            .filter((each) => each.checkVisibility() && !each.closest('.numbers'))
            .map((each) => [each.className, each.getBoundingClientRect()])
            .filter(([, box]) => box.height < 44 || box.width < 44).map(([name]) => name)"""
    )
    assert small == []
    assert board.page.evaluate("document.documentElement.scrollWidth") <= 390


# ---- keyboard -----------------------------------------------------------------------------------------------


def test_a_boundary_is_a_slider_for_the_keyboard(open_board):
    board = open_board()
    handle = board.boundary()
    handle.focus()
    for key, end in [
        ("ArrowRight", 16), ("ArrowUp", 17), ("ArrowLeft", 16), ("ArrowDown", 15),
        ("PageUp", 18), ("PageDown", 15), ("Home", 1), ("End", 29),
    ]:  # fmt: skip
        handle.press(key)
        board.expect_ends(end)
    assert handle.get_attribute("aria-valuemin") == "1"
    assert handle.get_attribute("aria-valuemax") == "29"
    assert handle.get_attribute("aria-valuetext") == "after step 29 of 30: rate 0.75 until there, then 1.0"
    handle.press("Delete")
    board.expect_ends()


def test_a_stage_is_a_slider_for_the_keyboard(open_board):
    board = open_board()
    handle = board.level()
    handle.focus()
    for key, rate in [("ArrowUp", 0.875), ("ArrowDown", 0.75), ("Home", 0.125), ("PageUp", 0.375), ("End", 1)]:
        handle.press(key)
        board.expect_rates(rate, 1)
    assert "128×128 pixels" in handle.get_attribute("aria-valuetext")
    handle.press("Enter")
    board.expect_ends(8, 15)
    expect(board.boundary(0)).to_be_focused()
    expect(board.page.locator("#board [role=status]")).to_contain_text("Predicted")


def test_the_last_stage_can_be_split_but_not_lowered(open_board):
    board = open_board()
    last = board.level(1)
    last.focus()
    last.press("ArrowDown")
    board.expect_rates(0.75, 1)
    last.press("Enter")
    board.expect_ends(15, 23)
    board.level(1).press("ArrowDown")
    board.expect_rates(0.75, 0.875, 1)


def test_python_gets_the_last_value_of_a_burst_of_keys(open_board):
    board = open_board()
    handle = board.boundary()
    handle.focus()
    for _ in range(12):
        board.page.keyboard.press("ArrowRight")
    board.expect_ends(27)
    board.expect_python(TWO | {"changing_resolution_steps": [27]}, U, STAIRS)


# ---- history ------------------------------------------------------------------------------------------------


def test_undo_and_redo_by_button_and_keyboard(open_board):
    board = open_board()
    board.drag(board.boundary(), dx=5 * board.step_px)
    board.drag(board.level(), dy=0.25 * board.plot_px)
    board.button("Undo", lane=None).click()
    board.expect_rates(0.75, 1)
    board.boundary().focus()
    board.page.keyboard.press("Control+z")
    board.expect_ends(15)
    expect(board.button("Undo", lane=None)).to_be_disabled()
    board.expect_python(TWO, U, STAIRS)
    board.page.keyboard.press("Control+Shift+Z")
    board.expect_ends(20)
    board.page.keyboard.press("Control+y")
    board.expect_rates(0.5, 1)
    expect(board.button("Redo", lane=None)).to_be_disabled()


def test_a_hundred_edits_can_be_undone_and_no_more(open_board):
    board = open_board()
    undone = board.page.locator("#board").evaluate(
        """(board) => {
          const press = (label) => board.querySelector(`.track:nth-child(2) [aria-label^="${label}"]`).click();
          for (let k = 0; k < 105; k += 1) press(k % 2 ? "Flat" : "U:");
          const undo = board.querySelector('[aria-label^=Undo]');
          let count = 0;
          for (; !undo.disabled; count += 1) undo.click();
          return count;
        }""",
        timeout=60_000,
    )
    assert undone == 100
    board.expect_ends(6, 21)  # the fifth edit
    u_shaped = {"name": "U 0.75", "resolution_rate": [1.0, 0.75], "changing_resolution_steps": [6, 21]}
    board.expect_python(TWO | u_shaped, U, STAIRS)
    assert len(board.received) == 1, "edits made at once are one event"
