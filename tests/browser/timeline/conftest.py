"""The timeline board on a page of its own: boards to show, and what a person sees and does there."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from functools import partial
from typing import Any

import gradio as gr
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Watched, serving_blocks
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
EIGHT = [STAIRS | {"name": f"Stairs {k}", "colour": 1 + k % 7, **({"steps": 40} if k % 2 else {})} for k in range(8)]
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
