"""The timeline board in a real Chromium: pointer, touch, keyboard, history, and what Python receives."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import statistics
from functools import partial
from typing import Any

import gradio as gr
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Watched, serving_blocks
from tests.browser.install import AXE_FILE as AXE
from ui.timeline import Board, Timeline

HOSTILE = "<b>bold</b> ${alert(1)} {{value}} <img src=x onerror=alert(1)>"
POLICIES = [
    {"name": "coherent", "summary": "Resized x0 and the seed's own noise."},
    {"name": "lightx2v", "summary": "Fresh noise at the old sigma."},
    {"name": "pyramid", "summary": "Copies to blocks."},
]
BANDS = {"edges": [0, 0.25, 0.5, 0.75, 1.0], "settled": [6, 12, 20, 27], "threshold": 0.05, "error": [[1.0] * 30] * 4}


def context(size: int = 128, measured: bool = True, **changed: Any) -> dict[str, Any]:
    """A model whose step costs 10 ms a patch row: round figures that a test can work out."""
    full = size // 8
    rates = [
        {
            "rate": n / full,
            "latent": [n, n],
            "pixels": [8 * n, 8 * n],
            "ratio": n / full,
            "tokens": 5 * (n // 2) ** 2,
            "flops": 1e9 * n * n,
            "seconds": 0.01 * n if measured else None,
            "memory_bytes": 2**20 * 10 * n if measured else None,
        }
        for n in range(2, full + 1, 2)
    ]
    return {
        "model": "Emoji-Wan (shipped)",
        "max_tracks": 8,
        "native": [128, 128],
        "height": size,
        "width": size,
        "frames": 17,
        "shift": 3.0,
        "policies": POLICIES,
        "rates": rates,
        "fixed_s": 1.0 if measured else None,
        "switch_s": 0.1 if measured else None,
        "calibrated": "measured" if measured else "none",
        "calibration_note": "from 3 runs on this machine",
        "bands": BANDS,
        "cache": None,
    } | changed


def track(rates: list[float], ends: list[int], *, name: str, colour: int = 1, policy: str = "coherent") -> dict:
    return {
        "name": name,
        "policy": policy,
        "colour": colour,
        "resolution_rate": rates,
        "changing_resolution_steps": ends,
    }


TWO = track([0.75], [15], name="Two-stage 0.75")
U = track([1.0, 0.5], [6, 21], name="U 0.5", colour=2)
STAIRS = track([0.25, 0.5, 0.75], [8, 15, 27], name="Stairs", colour=3)
EIGHT = [STAIRS | {"name": f"Stairs {k}", "colour": 1 + k % 7} for k in range(8)]
LOADED = {"infer_steps": 50, "tracks": [track([0.5], [10], name=HOSTILE, colour=4)]}

FINER = {"infer_steps": 30, "tracks": [track([0.0625], [15], name="Finer")]}


def page_of(tracks: list[dict], received: list[Board], **changed: Any) -> gr.Blocks:
    start, restarts = {"infer_steps": 30, "tracks": tracks}, itertools.count(1)

    def heard(board: Board) -> str:
        received.append(board)
        return json.dumps(board.value())

    def restarted() -> tuple[Timeline, str, str]:
        received.clear()
        return Timeline(start, context=context(**changed)), "", f"restart {next(restarts)}"

    with gr.Blocks() as demo:
        board = Timeline(start, context=context(**changed), elem_id="board")
        got = gr.Textbox(elem_id="got", label="What Python got")
        board.input(heard, board, got, trigger_mode="always_last", show_progress="hidden")
        load, smaller, restart = gr.Button("Load another"), gr.Button("Smaller"), gr.Button("Restart")
        load.click(lambda: LOADED, None, board)
        smaller.click(lambda: Timeline(context=context(32)), None, board)
        both = gr.Button("Finer")
        both.click(lambda: Timeline(FINER, context=context(256)), None, board)
        ready = gr.Textbox("opened", elem_id="ready", label="Ready")
        emptied = restart.click(lambda: {"infer_steps": 2, "tracks": []}, None, board)
        emptied.then(restarted, None, [board, got, ready])
        gr.HTML('<div style="height: 1500px"></div>')
    return demo


class Driver:
    """One open board."""

    def __init__(self, page: Page, received: list[Board]) -> None:
        self.page, self.received, self.watched = page, received, Watched(page)

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.lane(1).wait_for(timeout=60_000)

    def restart(self) -> None:
        """The board as it was when it was opened, without its history: quicker than opening the page again."""
        self.page.mouse.up()
        self.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        ready = self.page.locator("#ready textarea")
        before = ready.input_value()
        self.page.get_by_role("button", name="Restart").evaluate("(button) => button.click()")
        expect(ready).not_to_have_value(before, timeout=60_000)
        self.page.mouse.move(0, 0)

    def lane(self, k: int = 1) -> Locator:
        """Lane k; 0 is the baseline's."""
        return self.page.locator("#board .track").nth(k)

    def boundary(self, k: int = 0, lane: int = 1) -> Locator:
        return self.lane(lane).locator(".boundary").nth(k)

    def level(self, k: int = 0, lane: int = 1) -> Locator:
        return self.lane(lane).locator(".level").nth(k)

    def button(self, name: str, lane: int | None = 1) -> Locator:
        within = self.page.locator("#board") if lane is None else self.lane(lane)
        return within.get_by_role("button", name=re.compile(f"^{name}"))

    def names(self) -> list[str]:
        return self.page.locator("#board input.name").evaluate_all("(all) => all.map((each) => each.value)")

    @property
    def step_px(self) -> float:
        return self.lane().locator(".plot").bounding_box()["width"] / 30

    @property
    def plot_px(self) -> float:
        return self.lane().locator(".plot").bounding_box()["height"]

    def drag(self, handle: Locator, dx: float = 0, dy: float = 0, *, drop: bool = True) -> None:
        x, y = middle(handle)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y + dy, steps=6)
        if drop:
            self.page.mouse.up()

    def expect_python(self, *tracks: dict, steps: int = 30) -> None:
        """Python ends up with exactly these tracks."""
        wanted = json.dumps({"infer_steps": steps, "tracks": list(tracks)})
        expect(self.page.locator("#got textarea")).to_have_value(wanted)

    def expect_ends(self, *ends: int, lane: int = 1) -> None:
        expect(self.lane(lane).locator(".boundary")).to_have_count(len(ends))
        for k, end in enumerate(ends):
            expect(self.boundary(k, lane)).to_have_attribute("aria-valuenow", str(end))

    def expect_rates(self, *rates: float, lane: int = 1) -> None:
        """The rates of all stages, the last one included."""
        expect(self.lane(lane).locator(".level")).to_have_count(len(rates))
        for k, rate in enumerate(rates):
            expect(self.level(k, lane)).to_have_attribute("aria-valuenow", f"{rate:g}")


def middle(handle: Locator) -> tuple[float, float]:
    box = handle.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.fixture(scope="module")
def boards(browser: Browser):
    """One server and one open page for every kind of board that this file asks for."""
    known: dict[str, Driver] = {}
    with contextlib.ExitStack() as stack:

        def at(tracks: list[dict], changed: dict, dark: bool, options: dict) -> Driver:
            key = json.dumps([tracks, changed, dark, options])
            if key in known:
                known[key].restart()
                return known[key]
            received: list[Board] = []
            url = stack.enter_context(serving_blocks(page_of(tracks, received, **changed)))
            made = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
            stack.callback(made.close)
            page = made.new_page()
            page.set_default_timeout(30_000)
            known[key] = Driver(page, received)
            known[key].open(f"{url}/?__theme={'dark' if dark else 'light'}")
            return known[key]

        yield at


@pytest.fixture
def open_board(boards):
    """Opens a board, by default of three tracks; its page may not log an error or ask another machine for anything."""
    opened: list[Driver] = []

    def open_(*tracks: dict, changed: dict | None = None, dark: bool = False, **options: Any) -> Driver:
        opened.append(boards(list(tracks or (TWO, U, STAIRS)), changed or {}, dark, options))
        return opened[-1]

    yield open_
    assert not [error for board in opened for error in board.watched.errors]
    assert not [url for board in opened for url in board.watched.foreign]


phone = partial(dict, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)


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


# ---- tracks -------------------------------------------------------------------------------------------------


def test_tracks_are_added_copied_and_removed(open_board):
    board = open_board(TWO)
    board.button("Add track", lane=None).click()
    assert board.names() == ["Two-stage 0.75", "Two-stage 0.75 2"]
    board.button("Copy").click()
    assert board.names() == ["Two-stage 0.75", "Two-stage 0.75 3", "Two-stage 0.75 2"]
    board.button("Remove").click()
    assert board.names() == ["Two-stage 0.75 3", "Two-stage 0.75 2"]
    copied = TWO | {"name": "Two-stage 0.75 3", "colour": 3}
    board.expect_python(copied, TWO | {"name": "Two-stage 0.75 2", "colour": 2})


def test_no_more_tracks_than_the_page_allows(open_board):
    board = open_board(TWO, changed={"max_tracks": 2})
    board.button("Add track", lane=None).click()
    expect(board.button("Add track", lane=None)).to_be_disabled()
    board.button("Copy").click()
    expect(board.page.locator("#board [role=status]")).to_contain_text("At most 2 tracks")
    assert len(board.names()) == 2


def test_a_name_given_by_a_person_stays_when_the_shape_changes(open_board):
    board = open_board()
    name = board.lane().locator("input.name")
    name.fill("Mine")
    name.press("Enter")
    board.drag(board.level(), dy=0.25 * board.plot_px)
    board.expect_python(TWO | {"name": "Mine", "resolution_rate": [0.5]}, U, STAIRS)
    name.fill("   ")
    name.press("Enter")
    expect(name).to_have_value("Mine")
    name.fill("Other")
    name.press("Escape")
    expect(name).to_have_value("Mine")


def test_tracks_are_reordered_by_keys_buttons_and_drag(open_board):
    board = open_board()
    board.lane(1).locator(".grip").press("ArrowDown")
    assert board.names() == ["U 0.5", "Two-stage 0.75", "Stairs"]
    expect(board.lane(2).locator(".grip")).to_be_focused()
    board.button("Numbers", lane=3).click()
    board.button("Move up", lane=3).click()
    assert board.names() == ["U 0.5", "Stairs", "Two-stage 0.75"]
    far = board.lane(3).bounding_box()["y"] - board.lane(1).bounding_box()["y"]
    board.drag(board.lane(3).locator(".grip"), dy=-far - 20)
    assert board.names() == ["Two-stage 0.75", "U 0.5", "Stairs"]
    board.expect_python(TWO, U, STAIRS)


def test_the_policy_of_a_track_is_chosen_and_explained(open_board):
    board = open_board()
    board.lane().locator("select").select_option("pyramid")
    expect(board.lane().locator("select")).to_have_attribute("title", "pyramid: Copies to blocks.")
    board.expect_python(TWO | {"policy": "pyramid"}, U, STAIRS)


# ---- numbers ------------------------------------------------------------------------------------------------


def test_number_fields_take_exact_values(open_board):
    board = open_board()
    board.button("Numbers").click()
    rate = board.lane().get_by_label("Rate of stage 1", exact=True)
    rate.fill("0.7")
    rate.press("Enter")
    expect(board.lane().locator("tr[data-row='0'] .size")).to_have_text("80×80 px")  # 0.7·16 = 11.2, so 10 latents
    end = board.lane().get_by_label("Last step of stage 1")
    end.fill("22")
    end.press("Tab")
    board.expect_python(
        track([0.7], [22], name="Two-stage 0.7"), U, STAIRS,
    )  # fmt: skip
    rate.press("ArrowUp")
    board.expect_rates(0.75, 1)


@pytest.mark.parametrize(
    ("label", "typed", "said"),
    [
        ("Rate of stage 1", "0.05", "from 0.125"),
        ("Rate of stage 1", "1.2", "to 1"),
        ("Rate of stage 1", "", "must be a number"),
        ("Last step of stage 1", "30", "from 1 to 29"),
        ("Last step of stage 1", "3.5", "whole step"),
    ],
)
def test_a_wrong_number_is_explained_where_it_stands_and_changes_nothing(open_board, label, typed, said):
    board = open_board()
    board.button("Numbers").click()
    field = board.lane().get_by_role("spinbutton", name=label)
    field.fill(typed)
    expect(board.lane().get_by_role("alert")).to_contain_text(said)
    expect(field).to_have_attribute("aria-invalid", "true")
    field.press("Enter")
    board.expect_rates(0.75, 1)
    board.expect_ends(15)
    field.fill("0.5" if label.startswith("Rate") else "20")
    expect(board.lane().get_by_role("alert")).to_have_text("")
    assert board.received == []


# ---- what the board says ------------------------------------------------------------------------------------


def chips(board: Driver, lane: int = 1) -> list[str]:
    return board.lane(lane).locator(".chip").evaluate_all("(all) => all.map((each) => each.ariaLabel)")


def test_warnings_say_why(open_board):
    cache = {"name": "TeaCache", "follows": False}
    board = open_board(STAIRS, changed={"cache": cache, "native": [256, 256]})
    said = chips(board)
    assert len(said) == 4
    for sentence, part in zip(
        said, ["below the 256×256", "Steps 1 to 8", "after step 27 of 30", "TeaCache"], strict=True
    ):
        assert part in sentence
    board.lane().locator(".chip").nth(2).hover()
    expect(board.page.get_by_role("tooltip")).to_contain_text("3 steps are left")


def test_a_schedule_that_is_safe_has_no_warning(open_board):
    assert chips(open_board()) == []


def test_without_measurements_only_the_arithmetic_is_shown(open_board):
    board = open_board(TWO, changed={"measured": False})
    cost = board.lane().locator(".cost")
    expect(cost).to_contain_text("1.28×by FLOPs")  # 30·256 / (15·144 + 15·256)
    expect(cost).to_contain_text("not measured yet")
    assert not re.search(r"\d s\b", cost.inner_text())


def test_the_calibration_is_told_on_demand(open_board):
    board = open_board()
    board.button("measured here", lane=None).click()
    expect(board.page.get_by_role("tooltip")).to_have_text("from 3 runs on this machine")


def test_bands_stand_behind_the_steps_and_can_be_hidden(open_board):
    board = open_board()
    expect(board.page.locator("#board .legend")).to_contain_text("up to ½ of the resolution settled at step 12")
    bands = board.lane().locator(".bands")
    assert "20% 75%" in bands.evaluate("(node) => node.style.clipPath")  # a quarter of the height until step 6 of 30
    board.button("Settled bands", lane=None).click()
    expect(bands).to_be_hidden()
    expect(board.button("Settled bands", lane=None)).to_have_attribute("aria-pressed", "false")


def sigmas(board: Driver) -> dict[float, float]:
    """The drawn noise levels by step; at a switch the later one."""
    path = board.lane().locator("path.sigma").get_attribute("d")
    points = [point.split() for point in re.split("[ML]", path) if point]
    return {float(step): 1 - float(y) for step, y in points}


@pytest.mark.parametrize(("policy", "shift"), [("coherent", (2.25, 3)), ("lightx2v", (3, 4)), ("pyramid", (1.5, 3))])
def test_the_noise_curve_is_the_policys(open_board, policy, shift):
    drawn = sigmas(open_board(TWO | {"policy": policy}))
    for step, s in ((10, shift[0]), (20, shift[1])):
        u = 1 - step / 30
        assert drawn[step] == pytest.approx(s * u / (1 + (s - 1) * u), abs=1e-4)


# ---- Python's side ------------------------------------------------------------------------------------------


def test_names_that_look_like_markup_are_shown_as_text(open_board):
    board = open_board(TWO | {"name": HOSTILE})
    board.page.on("dialog", lambda dialog: pytest.fail("a name ran as script"))
    assert board.names() == [HOSTILE]
    assert board.page.locator("#board b", has_text="bold").count() == 0
    assert board.page.locator("#board img").count() == 0
    board.boundary().press("ArrowRight")
    board.expect_python(TWO | {"name": HOSTILE, "changing_resolution_steps": [16]})


def test_a_new_value_from_python_is_shown_and_starts_a_new_history_where_the_steps_differ(open_board):
    board = open_board()
    board.boundary().press("ArrowRight")
    board.page.get_by_role("button", name="Load another").click()
    expect(board.page.locator("#board .subject")).to_contain_text("50 steps")
    assert board.names() == [HOSTILE]
    board.expect_ends(10)
    expect(board.button("Undo", lane=None)).to_be_disabled()


def test_a_context_that_cannot_run_a_rate_snaps_it_and_says_so(open_board):
    board = open_board(track([0.25], [15], name="Low"))
    board.page.get_by_role("button", name="Smaller").click()
    board.expect_rates(0.5, 1)
    expect(board.page.locator("#board .noted")).to_contain_text("rates under 0.5")
    board.expect_python(track([0.5], [15], name="Low"))


def test_a_value_is_judged_by_the_context_that_comes_with_it(open_board):
    board = open_board()
    board.page.get_by_role("button", name="Finer").click()
    expect(board.page.locator("#board .subject")).to_contain_text("256×256")
    board.expect_rates(0.0625, 1)
    expect(board.page.locator("#board .noted")).to_be_hidden()
    assert board.received == []


def test_open_numbers_stay_open_when_python_sends_a_value(open_board):
    board = open_board()
    board.button("Numbers").click()
    board.page.get_by_role("button", name="Load another").click()
    expect(board.lane().get_by_label("Last step of stage 1")).to_have_value("10")


# ---- frame rate and accessibility ---------------------------------------------------------------------------

FRAMES = """() => new Promise((done) => {
  const times = [];
  const tick = (now) => { times.push(now); window.stopFrames ? done(times) : requestAnimationFrame(tick); };
  window.stopFrames = false;
  requestAnimationFrame(tick);
})"""


def frame_times(board: Driver) -> list[float]:
    """Milliseconds between the frames of a drag over many steps."""
    x, y = middle(board.boundary(1, lane=4))
    page = board.page
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(f"() => {{ window.frames_seen = ({FRAMES})(); }}")
    for k in range(60):
        page.mouse.move(x + 6 * board.step_px * (1 if k % 2 else -1), y, steps=4)
    page.evaluate("() => { window.stopFrames = true; }")
    times = page.evaluate("() => window.frames_seen")
    page.mouse.up()
    return [later - sooner for sooner, later in itertools.pairwise(times)]


@pytest.mark.slow  # frame times say something only where nothing else runs
def test_a_drag_with_eight_tracks_keeps_sixty_frames_a_second(open_board, record_property):
    board = open_board(*EIGHT)
    runs = [frame_times(board) for _ in range(3)]
    best = min(runs, key=statistics.median)  # other work on the machine slows a run down, never speeds it up
    median, tail = statistics.median(best), statistics.quantiles(best, n=20)[-1]
    record_property("frames", f"{len(best)} frames, median {median:.2f} ms, 95th percentile {tail:.2f} ms")
    print(f"{len(best)} frames, median {median:.2f} ms, 95th percentile {tail:.2f} ms")
    assert len(best) > 30
    assert median < 17


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(open_board, dark):
    board = open_board(dark=dark)
    for lane in (1, 3):
        board.button("Numbers", lane=lane).click()
    board.page.evaluate(AXE.read_text("utf-8"))
    found = board.page.evaluate(
        "async () => (await axe.run('#board')).violations.map((v) => [v.id, v.impact, v.nodes.map((n) => n.html)])"
    )
    assert [each for each in found if each[1] in ("serious", "critical")] == []
