"""The comparator in a real browser: lockstep by the frames' own numbers, modes, live runs, hostile values."""

from __future__ import annotations

import dataclasses
import io
from itertools import pairwise
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from engine.measuring.video import write_mp4, write_webp
from engine.reports.run_display import colour_of
from tests.browser.conftest import serving_blocks
from tests.browser.install import AXE_FILE
from ui.comparator.comparator import Comparator
from ui.comparator.comparator_value import ComparatorValue, Fact, MetricCurve, PlannedStage, Tile, parse_action

FRAMES, FPS, BITS = 24, 16.0, 6

STALL_MS = 70
READING = Path(__file__).with_name("reading.js")


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


# ---- lockstep ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("videos", [3, 8])
def test_paused_videos_stand_on_exactly_one_frame(open_desk, videos):
    desk = open_desk(comparison(videos)).ready().pause().focus().press("Home")
    assert desk.read() == [0] * videos
    for expected in (1, 2, 3):
        desk.press("ArrowRight")
        assert desk.read() == [expected] * videos
        assert desk.frame() == expected
    desk.press("End")
    assert desk.read() == [FRAMES - 1] * videos
    for expected in (FRAMES - 2, FRAMES - 3):
        desk.press("ArrowLeft")
        assert desk.read() == [expected] * videos


@pytest.mark.parametrize("videos", [3, 8])
def test_playing_videos_stay_within_one_frame_over_loops_and_speeds(open_desk, videos):
    desk = open_desk(comparison(videos)).ready().wait_playing()
    worst, counted, loops = 0, {}, 0
    for speed in (1.0, 0.5, 2.0):
        desk.page.get_by_label("Speed").select_option(f"{speed:g}")
        samples = desk.page.evaluate("(stall) => reading.playing(80, stall)", STALL_MS)
        assert len({sample[0] for sample in samples}) > 3, "it plays"
        loops += sum(later[0] < earlier[0] for earlier, later in pairwise(samples))
        worst = max(worst, *(max(sample[:-1]) - min(sample[:-1]) for sample in samples))
        counted[speed] = max(abs(sample[0] - sample[-1]) for sample in samples)
    print(f"{videos} videos: worst difference {worst} frames, counter off by {counted} at each speed, {loops} loops")
    assert loops
    assert worst <= 1
    for speed, off in counted.items():  # one frame, and what passes from one drawing of the page to the next
        assert off <= 1 + STALL_MS / 1000 * FPS * speed
    desk.pause()
    assert desk.read() == [desk.frame()] * videos, "paused after loops and speed changes it is exact again"


def test_heat_maps_and_pairs_join_at_the_frame_that_is_shown(open_desk):
    desk = open_desk(comparison(4)).ready().pause().focus().press("Home", *["ArrowRight"] * 5)
    desk.press("h").ready("heat")
    assert desk.read("heat") == [63 - 5] * 3  # the heat-map of these tests is the negative
    desk.press("ArrowRight", "w")
    assert desk.read() == [6, 6]


def test_an_animated_picture_keeps_step_with_the_videos(open_desk):
    """What is kept of a run where ffmpeg is missing."""
    desk = open_desk(comparison((done(0), done(1, video="/files/8.webp"), done(2)))).ready().wait_playing()
    samples = desk.page.evaluate("(stall) => reading.playing(60, stall)", STALL_MS)
    assert max(max(sample[:-1]) - min(sample[:-1]) for sample in samples) <= 1
    desk.pause().focus().press("Home", "ArrowRight", "ArrowRight")
    assert desk.read() == [2, 2, 2]


def test_without_loop_it_ends_on_the_last_frame_and_plays_again_from_the_first(open_desk):
    desk = open_desk(comparison(2)).ready().wait_playing().focus().press("l")
    desk.page.wait_for_selector('.icon.play[aria-label^="Play"]')
    assert desk.read() == [FRAMES - 1] * 2
    desk.press(" ").wait_playing()
    desk.page.wait_for_function("(last) => Number(document.querySelector('.counter b').textContent) < last", arg=FRAMES)


def test_who_wants_less_motion_gets_frame_one_and_no_playing(open_desk):
    desk = open_desk(comparison(2), reduced_motion="reduce").ready()
    assert desk.read() == [0, 0]
    assert not desk.playing()
    desk.focus().press(" ").wait_playing()


# ---- running ----------------------------------------------------------------------------------------------------

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


def test_a_running_tile_shows_its_preview_step_stage_and_time_left(open_desk):
    desk = open_desk(running(7))
    text = desk.tile(1).inner_text()
    for words in ("Step 7 of 20", "13 s left", "stage 1 of 2", "at 0.75×"):
        assert words in text
    assert desk.tile(1).locator(".preview").is_visible()
    bar = desk.tile(1).get_by_role("progressbar")
    assert bar.get_attribute("aria-valuenow") == "7"
    assert [fill.evaluate("(node) => node.style.width") for fill in bar.locator("b").all()] == ["70%", "0%"]
    assert "Waits for its turn." in desk.tile(2).inner_text()
    assert "Out of memory at step 4." in desk.tile(3).inner_text()
    assert not desk.tile(3).get_by_text("Skip").is_visible()


def test_a_poll_changes_the_page_in_place(open_desk):
    desk = open_desk(running(7), running(12), running(13)).ready()
    desk.page.evaluate(
        "() => { window.nodes = [document.querySelector('.tile video'), document.querySelector('.tile .preview')];"
        " window.loads = 0; window.nodes[0].addEventListener('loadstart', () => window.loads++); }"
    )
    desk.focus().press(" ", "+").wait_playing()
    skip = desk.tile(1).get_by_role("button", name="Skip Track 1")
    skip.focus()
    desk.next().page.wait_for_function("() => document.body.innerText.includes('Step 12 of 20')")
    desk.next().page.wait_for_function("() => document.body.innerText.includes('Step 13 of 20')")
    assert desk.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Skip Track 1"
    assert desk.page.evaluate("window.nodes[0] === document.querySelector('.tile video') && window.loads === 0")
    assert desk.playing()
    assert desk.page.locator(".percent").inner_text() == "150 %"
    assert [fill.evaluate("(node) => node.style.width") for fill in desk.tile(1).locator(".plan b").all()] == [
        "100%",
        "30%",
    ]


def test_it_does_not_play_while_runs_are_measured_and_plays_at_once_when_all_is_done(open_desk):
    desk = open_desk(running(7), comparison(4)).ready()
    assert not desk.playing()
    desk.next().wait_playing().ready()
    assert desk.tile(1).locator(".preview").is_hidden()


def test_a_pause_by_hand_outlives_the_end_of_the_job(open_desk):
    desk = open_desk(running(7), comparison(4)).ready().focus()
    desk.press(" ").wait_playing()
    desk.press(" ").next()
    desk.page.wait_for_function("() => reading.videos().length === 4")
    desk.ready()
    assert len(set(desk.read())) == 1
    assert not desk.playing()


def test_another_key_starts_over(open_desk):
    desk = open_desk(comparison(3), comparison(2, key="other", title="another")).ready().focus().press("w", "+")
    desk.next()
    desk.page.wait_for_function("() => document.querySelectorAll('.tile').length === 2")
    assert desk.mode() == "grid"
    assert desk.page.locator(".percent").inner_text() == "100 %"
    desk.ready().wait_playing()
    assert desk.page.locator(".top h2").inner_text() == "another"


def test_skip_and_run_again_reach_python(open_desk):
    desk = open_desk(running(7), dataclasses.replace(running(7), status="failed"))
    desk.tile(2).get_by_role("button", name="Skip Track 2").click()
    desk.said("skip 2")
    desk.next()
    desk.page.get_by_role("button", name="Run again").click()
    desk.said("retry 3")


def test_nothing_yet_is_said(open_desk):
    desk = open_desk(None, comparison(2))
    assert desk.page.locator(".empty").is_visible()
    desk.next().ready().wait_playing()


# ---- ways of looking --------------------------------------------------------------------------------------------


def test_the_wipe_shows_a_left_and_b_right_and_moves_by_key_and_pointer(open_desk):
    desk = open_desk(comparison(3)).ready().pause().focus().press("w")
    handle = desk.page.get_by_role("slider", name="Wipe from A to B")
    clip = "getComputedStyle(document.querySelector('.tile[data-side=b]')).clipPath"
    assert handle.get_attribute("aria-valuenow") == "50"
    handle.focus()
    desk.press("ArrowRight", "PageUp")
    assert handle.get_attribute("aria-valuenow") == "62"
    assert "62%" in desk.page.evaluate(clip)
    well, grip = desk.page.locator(".overlay").bounding_box(), handle.bounding_box()
    middle = well["y"] + well["height"] / 2
    desk.page.mouse.move(grip["x"] + grip["width"] / 2, middle)
    desk.page.mouse.down()
    desk.page.mouse.move(well["x"] + well["width"] * 0.2, middle, steps=4)
    desk.page.mouse.up()
    assert handle.get_attribute("aria-valuenow") == "20"


def test_the_difference_is_black_where_equal_and_grows_with_the_gain(open_desk):
    desk = open_desk(comparison(8)).ready().pause().focus().press("End", "d")
    assert desk.read() == [FRAMES - 1] * 2
    gain = desk.page.get_by_label("Gain of the difference")
    assert gain.input_value() == "4"
    at_four = desk.light()
    gain.fill("16")
    at_sixteen = desk.light()
    assert 1 < at_four < at_sixteen
    assert 2.5 < at_sixteen / at_four < 5, "brightness goes with the gain"
    desk.page.get_by_label("Run B").select_option("7")  # further off than track 1
    assert desk.read() == [FRAMES - 1] * 2
    assert desk.light() > at_sixteen


def test_flip_shows_b_only_while_the_key_or_the_button_is_held(open_desk):
    desk = open_desk(comparison(8)).ready().pause().focus().press("End", "f", "8")  # track 7 is darker
    assert desk.read() == [FRAMES - 1] * 2
    a = desk.light()
    desk.page.keyboard.down("f")
    b = desk.light()
    desk.page.keyboard.up("f")
    assert a > b + 10
    assert desk.light() == pytest.approx(a, abs=1)
    hold = desk.page.get_by_role("button", name="Hold for B")
    hold.hover()
    desk.page.mouse.down()
    assert desk.light() == pytest.approx(b, abs=1)
    desk.page.mouse.up()
    assert desk.light() == pytest.approx(a, abs=1)


def test_keys_choose_the_way_of_looking_and_the_runs(open_desk):
    desk = open_desk(comparison(4)).ready().pause().focus()
    for key, mode in (("w", "wipe"), ("d", "difference"), ("h", "heat"), ("g", "grid"), ("f", "flip")):
        assert desk.press(key).mode() == mode
    desk.press("3")
    assert desk.page.get_by_label("Run B").input_value() == "2"
    desk.press("Shift+4")
    assert desk.page.get_by_label("Run A").input_value() == "3"
    desk.press("x")
    assert desk.page.get_by_label("Run A").input_value() == "2"
    desk.press("Escape", "2")
    assert desk.mode() == "grid"
    assert [tile.get_attribute("data-number") for tile in desk.page.locator(".tile:visible").all()] == ["1"]
    desk.said("select 1")
    desk.press("2")
    assert desk.page.locator(".tile:visible").count() == 4
    desk.press("?")
    assert desk.page.get_by_role("dialog", name="Keys").is_visible()
    desk.press("Escape")
    assert not desk.page.get_by_role("dialog", name="Keys").is_visible()


def test_a_tiles_buttons_choose_a_and_b(open_desk):
    desk = open_desk(comparison(4)).ready()
    desk.page.get_by_role("button", name="Take Track 3 as B").click()
    desk.page.get_by_role("button", name="Take Track 1 as A").click()
    desk.page.get_by_role("button", name="Difference").click()
    assert desk.page.get_by_label("Run A").input_value() == "1"
    assert desk.page.get_by_label("Run B").input_value() == "3"


def test_all_pictures_share_zoom_and_place(open_desk):
    desk = open_desk(comparison(3)).ready().pause()
    well = desk.tile(1).locator(".well").bounding_box()
    matrices = "() => [...document.querySelectorAll('.picture')].map((one) => getComputedStyle(one).transform)"
    desk.page.mouse.move(well["x"] + well["width"] * 0.25, well["y"] + well["height"] * 0.5)
    desk.page.keyboard.down("Control")
    desk.page.mouse.wheel(0, -60)
    desk.page.mouse.wheel(0, -60)
    desk.page.keyboard.up("Control")
    zoomed = desk.page.evaluate(matrices)
    assert len(set(zoomed)) == 1
    assert zoomed[0] != "matrix(1, 0, 0, 1, 0, 0)"
    desk.page.mouse.down()
    desk.page.mouse.move(well["x"] + well["width"] * 0.1, well["y"] + well["height"] * 0.4, steps=5)
    desk.page.mouse.up()
    panned = desk.page.evaluate(matrices)
    assert len(set(panned)) == 1
    assert panned != zoomed
    assert desk.page.locator(".tile:visible").count() == 3, "the end of a drag is no click"
    desk.page.get_by_role("button", name="Pixels").click()
    assert desk.page.evaluate("getComputedStyle(document.querySelector('.tile video')).imageRendering") == "pixelated"
    desk.focus().press("0")
    assert set(desk.page.evaluate(matrices)) == {"matrix(1, 0, 0, 1, 0, 0)"}


# ---- frames -----------------------------------------------------------------------------------------------------


def test_the_worst_frame_button_says_which_and_goes_there(open_desk):
    desk = open_desk(comparison(4)).ready().wait_playing()
    button = desk.page.locator(".worst")
    assert button.inner_text() == "Worst frame 8: Track 2, 20.0 dB"
    button.click()
    assert desk.read() == [7] * 4
    assert not desk.playing()
    desk.focus().press("4")  # track 3 alone: its own worst frame
    assert button.inner_text() == "Worst frame 9: Track 3, 21.0 dB"
    desk.press("j")
    assert desk.read() == [8]


def test_a_click_on_the_curve_seeks_and_its_values_are_shown(open_desk):
    desk = open_desk(comparison(3)).ready().wait_playing()
    track = desk.page.get_by_role("slider", name="Frame")
    box = track.bounding_box()
    desk.page.mouse.click(box["x"] + box["width"] * (10.5 / FRAMES), box["y"] + box["height"] / 2)
    assert desk.read() == [10] * 3
    assert track.get_attribute("aria-valuenow") == "11"
    assert [value.inner_text() for value in desk.page.locator(".legend b").all()] == ["25.0", "23.0"]
    track.focus()
    desk.press("ArrowRight")
    assert desk.read() == [11] * 3


def test_a_metric_that_is_not_known_says_why(open_desk):
    desk = open_desk(comparison(3)).ready()
    desk.page.get_by_role("button", name="VMAF").click()
    assert desk.page.locator(".reason").inner_text() == "VMAF is not known: The frames are too small."
    assert desk.page.locator(".worst").is_disabled()


# ---- what may go wrong ------------------------------------------------------------------------------------------


def test_a_video_that_is_gone_is_said_in_its_tile_and_the_others_play(stage, browser):
    url, cases = stage
    cases.append((comparison((done(0), done(1, video="/files/gone.mp4"), done(2))),))
    page = browser.new_page()  # the browser itself logs the 404
    page.goto(f"{url}/?case={len(cases) - 1}")
    page.get_by_text("The video is no longer there (404).").wait_for()
    page.wait_for_selector('.icon.play[aria-label^="Pause"]')
    assert page.locator(".tile video").count() == 2
    page.close()


def test_texts_from_people_are_shown_as_text(open_desk):
    hostile = "<img src=x onerror=alert(1)>${alert(2)}{{value}}"
    lost = done(1, name=hostile, status="failed", video=None, heatmap=None, error=hostile)
    desk = open_desk(comparison((done(0), lost), title=hostile, note=hostile)).ready()
    assert desk.page.locator(".top h2").inner_text() == hostile
    assert hostile in desk.tile(1).inner_text()
    assert desk.page.locator(".desk img[src=x], .top img").count() == 0


def test_a_run_that_is_picked_elsewhere_comes_up(open_desk):
    desk = open_desk(comparison(4)).ready()
    desk.page.evaluate("document.querySelector('#bring').click()")
    desk.page.wait_for_function("() => document.querySelectorAll('.tile:not([hidden])').length === 1")
    assert desk.tile(2).is_visible()


def test_sixty_five_tiles_are_shown(open_desk):
    desk = open_desk(comparison(65)).ready()
    assert desk.page.locator(".tile").count() == 65
    assert desk.page.locator(".transport").bounding_box()["y"] < 1600, "the pictures scroll inside their own box"


@pytest.mark.parametrize("tiles", [3, 8])
def test_on_a_phone_nothing_is_wider_than_the_page_and_targets_are_large(open_desk, tiles):
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    desk = open_desk(comparison(tiles), **options).ready()
    desk.page.get_by_role("button", name="Wipe").tap()
    small = (
        "() => [...document.querySelectorAll('.desk button, .desk select, .desk [role=slider]')].filter((one) => {"
        " const box = one.getBoundingClientRect(); return box.width && (box.height < 43.5 || box.width < 43.5)"
        " && !one.matches('.track, .enlarge'); }).map((one) => one.outerHTML)"
    )
    wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert desk.page.evaluate(small) == []
    assert desk.page.evaluate(wide) <= 0
    desk.page.get_by_role("button", name="Grid").tap()
    assert desk.page.evaluate(small) == []
    assert desk.page.evaluate(wide) <= 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("value", [comparison(4), running(7)], ids=["finished", "running"])
def test_axe_finds_nothing_serious(open_desk, theme, value):
    desk = open_desk(value).ready()
    desk.page.evaluate("(theme) => document.body.classList.toggle('dark', theme === 'dark')", theme)
    desk.page.evaluate(AXE_FILE.read_text("utf-8"))
    for key in ("g", "w", "f", "d"):
        desk.focus().press(key)
        found = desk.page.evaluate(
            "async () => (await axe.run('.widget')).violations"
            ".filter((one) => ['serious', 'critical'].includes(one.impact))"
            ".map((one) => [one.id, one.nodes.map((node) => node.html)])"
        )
        assert found == []
