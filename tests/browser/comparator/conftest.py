"""The comparator on a page of its own: values to show, and what a person sees and does there."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from engine.measuring.video import write_mp4, write_webp
from engine.reports.run_display import colour_of
from tests.browser.conftest import serving_blocks
from ui.comparator.comparator import Comparator
from ui.comparator.comparator_value import ComparatorValue, Fact, MetricCurve, PlannedStage, Tile, parse_action

FRAMES, FPS, BITS = 24, 16.0, 6

STALL_MS = 70
READING = Path(__file__).parents[1] / "reading.js"


def numbered(frames: int = FRAMES, height: int = 48, width: int = 96, dim: float = 1.0) -> np.ndarray:
    """Frames (T, H, W, 3) whose bars spell their number in binary, the lowest bit leftmost."""
    bit = np.arange(width) * BITS // width
    lit = (np.arange(frames)[:, None] >> bit[None, :]) & 1
    return np.broadcast_to(lit[:, None, :, None] * dim, (frames, height, width, 3)).astype(np.float32)


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(8):
        write_mp4(folder / f"{number}.mp4", numbered(dim=1.0 - 0.04 * number), FPS)
    write_webp(folder / "8.webp", numbered(), FPS)
    write_mp4(folder / "heat.mp4", 1.0 - numbered(), FPS)
    return folder


def done(number: int, **changes) -> Tile:
    tile = Tile(
        number=number,
        name="baseline" if number == 0 else f"Track {number}",
        colour=colour_of(number),
        status="done",
        policy="coherent" if number else None,
        stages_plan=(PlannedStage(1, 10, 0.75), PlannedStage(11, 20, 1.0)),
        video=f"/files/{number % 8}.mp4",
        heatmap="/files/heat.mp4" if number else None,
        facts=(Fact("Time", "4.1 s"), Fact("PSNR", "–", "The baseline was cancelled.")),
    )
    return dataclasses.replace(tile, **changes)


def comparison(tiles: int | tuple[Tile, ...], **changes) -> ComparatorValue:
    """A finished comparison; track k is worst at frame 5 + k, track 2 is the worst of all."""
    own = tuple(done(number) for number in range(tiles)) if isinstance(tiles, int) else tiles
    values = {
        tile.number: tuple(20.0 + abs(frame - 5 - tile.number) + abs(tile.number - 2) for frame in range(FRAMES))
        for tile in own[1:]
    }
    found = ComparatorValue(
        key="job",
        title="a red apple",
        status="done",
        fps=FPS,
        frames=FRAMES,
        width=96,
        height=48,
        gain=4.0,
        tiles=own,
        curves=(
            MetricCurve("psnr", "PSNR", "dB", "higher", values),
            MetricCurve("vmaf", "VMAF", "", "higher", {}, "The frames are too small."),
        ),
    )
    return dataclasses.replace(found, **changes)


class Desk:
    """The comparator on a page of its own, with the values that Python may send it and what it has sent."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.root = page.locator(".desk")

    def ready(self, kind: str = "main") -> Desk:
        """Every shown video is loaded."""
        self.page.wait_for_function(
            "(kind) => reading.videos(kind).length && reading.videos(kind).every((video) => video.readyState >= 2)",
            arg=kind,
        )
        return self

    def pause(self) -> Desk:
        if self.playing():
            self.page.locator(".icon.play").click()
        return self

    def read(self, kind: str = "main") -> list[int]:
        """The numbers on the shown videos once none of them is on its way."""
        return self.page.evaluate("(kind) => reading.settled(kind)", kind)

    def press(self, *keys: str) -> Desk:
        for key in keys:
            self.page.keyboard.press(key)
        return self

    def focus(self) -> Desk:
        self.root.focus()
        return self

    def next(self) -> Desk:
        """Python sends the next value."""
        self.page.evaluate("document.querySelector('#next').click()")  # leaves the focus where it is
        return self

    def frame(self) -> int:
        return int(self.page.locator(".counter b").inner_text()) - 1

    def playing(self) -> bool:
        return self.page.locator(".icon.play").get_attribute("aria-label").startswith("Pause")

    def wait_playing(self) -> Desk:
        self.page.wait_for_selector('.icon.play[aria-label^="Pause"]')
        return self

    def tile(self, number: int):
        return self.page.locator(f'.tile[data-number="{number}"]')

    def mode(self) -> str:
        return self.root.get_attribute("data-mode")

    def light(self) -> float:
        """Mean brightness of the middle of the picture as it is on the screen, 0 to 255."""
        box = self.page.locator(".well:visible").first.bounding_box()
        clip = {"x": box["x"], "y": box["y"] + box["height"] * 0.7, "width": box["width"], "height": 10}
        return float(np.asarray(Image.open(io.BytesIO(self.page.screenshot(clip=clip))).convert("L")).mean())

    def said(self, text: str) -> None:
        """Python has heard this action."""
        self.page.wait_for_function("(text) => document.querySelector('#said textarea')?.value === text", arg=text)


@pytest.fixture(scope="module")
def stage(clips):
    """One server for all tests: `?case=k` shows the values of cases[k] one after the other, as #next is clicked."""
    cases: list[tuple[ComparatorValue | None, ...]] = []
    with gr.Blocks() as blocks:
        comparator, place = Comparator(), gr.State((0, 0))
        following, bring = gr.Button("next", elem_id="next"), gr.Button("bring", elem_id="bring")
        said = gr.Textbox(elem_id="said")

        def begin(request: gr.Request):
            case = int(request.query_params["case"])
            return (case, 0), cases[case][0], f"case {case}"

        def take(at: tuple[int, int]):
            case, index = at[0], min(at[1] + 1, len(cases[at[0]]) - 1)
            return (case, index), cases[case][index]

        def hear(event: gr.EventData):
            action = parse_action(event._data)
            return f"{action.action} {action.number}"

        blocks.load(begin, None, [place, comparator, said], show_progress="hidden")
        following.click(take, place, [place, comparator], show_progress="hidden")
        bring.click(lambda: Comparator(selected=[2, 1]), None, comparator, show_progress="hidden")
        comparator.input(hear, None, said, show_progress="hidden", trigger_mode="multiple")
    with serving_blocks(blocks, clips) as url:
        yield url, cases


@pytest.fixture
def open_desk(stage, new_page):
    """Opens a page that shows the first of the values; `desk.next()` brings the following one."""
    url, cases = stage

    def opened(*values: ComparatorValue | None, **options) -> Desk:
        cases.append(values)
        page = new_page(**options)
        page.set_default_timeout(60_000)
        page.goto(f"{url}/?case={len(cases) - 1}")
        page.wait_for_selector(".empty:not([hidden])" if values[0] is None else ".desk:not([hidden])")
        page.evaluate(READING.read_text("utf-8"))
        desk = Desk(page)
        desk.said(f"case {len(cases) - 1}")
        return desk

    return opened


PIXEL = "data:image/webp;base64,UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAwA0JaQAA3AA/vuUAAA="


def running(step: int, **changes) -> ComparatorValue:
    alive = done(
        1,
        status="running",
        video=None,
        heatmap=None,
        facts=(),
        phase="denoising",
        step=step,
        steps=20,
        stage=1 + (step > 10),
        stages=2,
        rate=0.75 if step <= 10 else 1.0,
        seconds_left=12.2,
        preview=PIXEL,
    )
    waiting = done(2, status="queued", video=None, heatmap=None, facts=())
    lost = done(3, status="failed", video=None, heatmap=None, facts=(), error="Out of memory at step 4.")
    return comparison((done(0), alive, waiting, lost), status="running", curves=(), **changes)
