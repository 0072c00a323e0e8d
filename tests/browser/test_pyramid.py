"""The pyramid view in a real browser: levels in step at one size, tiles where they are, seams, faults, keyboard."""

from __future__ import annotations

import dataclasses
import io
import time
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from engine.comparing.level_runner import doubled
from engine.hpdm.tiles import parents_of, tile_grid
from engine.measuring.video import write_mp4
from tests.browser.conftest import serious, serving_blocks
from tests.browser.pyramid_page import FPS, FRAMES, coloured, levels, numbered, picture, pyramid, read, ready, toggle
from tests.ui.test_pyramid_value import CONFIG, level
from ui.pyramid.pyramid import PyramidView
from ui.pyramid.pyramid_value import Pyramid

NASTY = '<img src=x onerror="alert(1)">${alert(1)}{{value}}'


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("levels")
    for place in range(3):
        pictures = numbered(place)
        write_mp4(folder / f"00-level-{place + 1}.mp4", doubled(pictures), FPS * len(pictures) / FRAMES)
    write_mp4(folder / "colours.mp4", doubled(coloured()), 2)
    return folder


@pytest.fixture(scope="module")
def stage(clips):
    """One server for all tests: `?case=k` shows cases[k], and `#next` the value after it."""
    cases: list[tuple[Pyramid | None, ...]] = []
    with gr.Blocks() as blocks:
        view, place, following = PyramidView(elem_id="pyramid"), gr.State((0, 0)), gr.Button("next", elem_id="next")

        def begin(request: gr.Request):
            case = int(request.query_params["case"])
            return (case, 0), cases[case][0]

        def take(at: tuple[int, int]):
            return (at[0], at[1] + 1), cases[at[0]][at[1] + 1]

        blocks.load(begin, None, [place, view], show_progress="hidden")
        following.click(take, place, [place, view], show_progress="hidden")
    with serving_blocks(blocks, clips) as url:
        yield url, cases


@pytest.fixture
def shown(stage, new_page):
    """A page that shows these values one after the other, every video of the first loaded."""
    url, cases = stage

    def go(*values: Pyramid | None, query: str = "", **options) -> Page:
        cases.append(values)
        page = new_page(f"{url}/?case={len(cases) - 1}{query}", **options)
        if values[0] is not None:
            ready(page)
        return page

    return go


# ---- the levels -------------------------------------------------------------------------------------------------


def test_levels_stand_side_by_side_at_one_size_with_their_own_size_written(shown):
    page = shown(pyramid(levels()))
    boxes = [picture(page, place).bounding_box() for place in range(3)]
    assert len({tuple(round(box[side], 1) for side in ("width", "height", "y")) for box in boxes}) == 1
    assert boxes[0]["x"] < boxes[1]["x"] < boxes[2]["x"]
    words = page.locator(".run:visible .what").all_inner_texts()
    assert words == [f"Level {k + 1} {4 * 2**k} frames of {16 * 2**k}×{16 * 2**k}" for k in range(3)]
    expect(page.locator("select").nth(1)).to_be_hidden()  # one run has none beside it


def test_every_pixel_of_a_small_level_is_seen_in_its_own_colour(shown):
    value = pyramid([level(1, video="colours.mp4")])
    page = shown(value)
    box = picture(page, 0).bounding_box()
    seen = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")).astype(int)
    truth = coloured()[0].astype(int)
    side = seen.shape[0] / 16
    middles = ((np.arange(16) + 0.5) * side).astype(int)
    assert np.abs(seen[np.ix_(middles, middles)] - truth).mean() < 12
    right = ((np.arange(16) + 0.95) * side).astype(int)  # near the same block's edge: nothing is smoothed
    assert np.abs(seen[np.ix_(middles, right)] - truth).mean() < 12


def test_the_frames_of_all_levels_are_those_of_one_time(shown):
    page = shown(pyramid(levels(), levels("none")))
    assert page.locator(".run video").count() == 6
    scrubber = page.locator(".transport input")
    for frame in (0, 3, 4, 11, 15):
        scrubber.fill(str(frame))
        wanted = [frame // 4, frame // 2, frame] * 2
        until = time.monotonic() + 10  # videos go to a frame in their own time
        while read(page) != wanted and time.monotonic() < until:
            page.wait_for_timeout(20)
        assert read(page) == wanted
    expect(scrubber).to_have_attribute("aria-valuetext", "frame 16 of 16")


def test_levels_play_in_step_and_pause_on_one_time(shown):
    page = shown(pyramid(levels()))
    page.wait_for_timeout(300)
    assert page.evaluate("[...document.querySelectorAll('.run video')].every((v) => v.paused)")  # not by itself
    page.get_by_role("button", name="Play (Space)").click()
    page.wait_for_function("document.querySelector('.transport input').value > 2")
    spread = page.evaluate(
        """async () => {
          let most = 0;
          for (let k = 0; k < 20; k += 1) {
            await new Promise(requestAnimationFrame);
            const times = [...document.querySelectorAll('.run video')].map((video) => video.currentTime);
            most = Math.max(most, Math.max(...times) - Math.min(...times));
          }
          return most;
        }"""
    )
    assert spread < 2 / FPS
    page.get_by_role("button", name="Pause (Space)").click()
    first, second, third = read(page)
    assert (first, second) == (third // 4, third // 2)
    assert third == int(page.locator(".transport input").input_value())


def test_keys_play_step_and_toggle(shown):
    page = shown(pyramid(levels()))
    picture(page, 0).click(position={"x": 5, "y": 5})
    for key, frame in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 15), ("Home", 0)):
        page.keyboard.press(key)
        assert read(page) == [frame // 4, frame // 2, frame]
    page.keyboard.press("t")
    page.keyboard.press("S")
    assert [page.locator(".toggles button").nth(k).get_attribute("aria-pressed") for k in range(2)] == ["true", "true"]
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause (Space)")).to_be_visible()


# ---- tiles ------------------------------------------------------------------------------------------------------


def test_every_tile_lies_where_the_run_had_it(shown):
    page = shown(pyramid(levels(), levels("none")))
    toggle(page, "Tiles")
    for run, overlap in enumerate(("spatial", "none")):
        for place in range(3):
            _, height, width = CONFIG.size(place)
            drawn = picture(page, place, run).evaluate(
                """(picture, [height, width]) => {
                  const whole = picture.getBoundingClientRect();
                  const [down, right] = [height / whole.height, width / whole.width];
                  return [...picture.querySelectorAll('.cell')].map((cell) => {
                    const box = cell.getBoundingClientRect();
                    const [top, left] = [box.top - whole.top, box.left - whole.left];
                    return [top * down, left * right, box.height * down, box.width * right];
                  });
                }""",
                [height, width],
            )
            places = sorted({tile[1:] for tile in tile_grid(CONFIG, place, overlap)})
            assert np.allclose(drawn, [(y, x, 16, 16) for y, x in places], atol=0.05)
    between = picture(page, 2).locator(".cell[data-between]")
    assert between.count() == 49 - 16  # those that lie over their neighbours are drawn otherwise
    assert picture(page, 2, 1).locator(".cell[data-between]").count() == 0


def test_a_tile_under_the_pointer_says_its_place_and_frames_and_shows_what_it_sees_below(shown):
    page = shown(pyramid(levels("full")))
    toggle(page, "Tiles")
    page.locator(".transport input").fill("9")
    box = picture(page, 2).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 41 / 64, box["y"] + box["height"] * 15 / 64)
    expect(page.locator(".readout")).to_have_text(
        "Level 3. Tile in row 2 of 7, column 5 of 7: pixels x 32 to 47, y 8 to 23, frames 9 to 12 of 16. "
        "Dashed: what it sees of the levels below."
    )
    for place, (_, y, x) in enumerate(parents_of(CONFIG, (8, 8, 32), 2)):
        _, height, width = CONFIG.size(place)
        at = picture(page, place).locator(".seen").evaluate("(node) => [node.style.top, node.style.left]")
        assert [float(part.rstrip("%")) for part in at] == [100 * y / height, 100 * x / width]
    page.mouse.move(5, 5)
    expect(page.locator(".seen:visible")).to_have_count(0)
    expect(page.locator(".readout")).to_contain_text("Point at a tile")


def test_tiles_can_be_walked_with_the_keyboard(shown):
    page = shown(pyramid(levels()))
    toggle(page, "Tiles")
    grid = page.get_by_role("grid", name="Tiles of level 3 of baseline")
    assert grid.locator(".cell[tabindex='0']").count() == 1
    grid.locator(".cell[tabindex='0']").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    name = "Tile in row 2 of 7, column 2 of 7: pixels x 8 to 23, y 8 to 23, frames 1 to 4 of 16"
    focused = page.locator(".cell:focus")
    assert focused.get_attribute("aria-label") == name
    expect(page.locator(".readout")).to_contain_text(name)
    assert read(page) == [0, 0, 0]  # the arrows did not move the time
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    focused = page.locator(".cell:focus")
    assert focused.get_attribute("aria-label").startswith("Tile in row 2 of 7, column 7 of 7")
    page.locator(".transport input").evaluate(
        "(input) => { input.value = 9; input.dispatchEvent(new Event('input')); }"
    )
    assert focused.get_attribute("aria-label").endswith("frames 9 to 12 of 16")  # time has moved on under the focus


# ---- seams ------------------------------------------------------------------------------------------------------


def test_seams_are_as_thick_as_they_were_measured(shown):
    lines = [[0.4, 1.6, 9.0, 1.0]] * 3
    seams = {"spacing": [16, 16], "vertical": lines, "horizontal": lines}
    page = shown(pyramid(levels("none", seams=seams, seam=1.46)))
    strips = picture(page, 2).locator(".seams")
    expect(strips).to_be_hidden()
    toggle(page, "Seams")
    upright = strips.evaluate(
        "(svg) => [...svg.querySelectorAll('rect')].slice(0, 4).map((r) => [+r.getAttribute('x') "
        "+ r.getAttribute('width') / 2, +r.getAttribute('y'), +r.getAttribute('width'), r.dataset.ratio])"
    )
    assert [(x, y) for x, y, *_ in upright] == [(25, 0), (25, 25), (25, 50), (25, 75)]
    calm, warm, hot, even = (thick for _, _, thick, _ in upright)
    assert calm == even < warm < hot
    assert strips.locator("rect").count() == 24
    expect(page.locator(".ratio").nth(2)).to_have_text("Seam ratio 1.46, strips 3.00 (up to 9.0)")
    expect(page.locator(".ratio").nth(0)).to_have_text("A level of one tile has no seams.")
    expect(page.locator(".legend")).to_contain_text("At 1.0 neither stands out")


def test_runs_whose_tiles_overlap_otherwise_stand_beside_each_other(shown):
    page = shown(pyramid(levels(), levels("none")))
    assert page.locator("h4:visible").all_inner_texts() == [
        "baseline\ntiles overlap in space", "two-stage\ntiles without overlap"]  # fmt: skip
    first, beside = page.get_by_label("Run", exact=True), page.get_by_label("Run beside it")
    beside.select_option("none")
    assert page.locator("h4:visible").all_inner_texts() == ["baseline\ntiles overlap in space"]
    first.select_option("two-stage")
    beside.select_option("baseline")
    assert [text.split("\n")[0] for text in page.locator("h4:visible").all_inner_texts()] == ["two-stage", "baseline"]
    beside.select_option("two-stage")  # the same run twice says nothing: they change places
    assert [text.split("\n")[0] for text in page.locator("h4:visible").all_inner_texts()] == ["baseline", "two-stage"]


def test_a_run_that_comes_later_leaves_what_is_shown_alone(shown):
    page = shown(pyramid(levels()), pyramid(levels(), levels("none")), None)
    picture(page, 0).locator("video").evaluate("(video) => { video.mine = true; }")
    toggle(page, "Tiles")
    page.locator("#next").click()
    expect(page.locator(".run:visible")).to_have_count(2)
    assert picture(page, 0).locator("video").evaluate("(video) => video.mine")
    expect(page.locator(".grid:visible")).to_have_count(6)
    page.locator("#next").click()
    expect(page.locator("#pyramid")).to_be_hidden()


# ---- what is missing --------------------------------------------------------------------------------------------


def test_without_levels_there_is_nothing_at_all(shown):
    page = shown(None)
    page.wait_for_selector("#pyramid .pyramid", state="attached")
    expect(page.locator("#pyramid")).to_be_hidden()


def test_a_level_whose_video_is_gone_is_said_and_the_others_play(stage, browser):
    url, cases = stage
    cases.append((pyramid([level(1), level(2, video="gone.mp4"), level(3)]),))
    page = browser.new_page()  # the browser itself logs the 404
    page.goto(f"{url}/?case={len(cases) - 1}")
    fault = picture(page, 1).locator(".fault")
    fault.get_by_text("Level 2: The video is no longer there (404).").wait_for()
    expect(fault.get_by_role("button", name="Try again")).to_be_visible()
    toggle(page, "Tiles")
    fault.get_by_role("button", name="Try again").click()  # the tiles do not lie over it
    page.locator(".transport input").fill("8")
    assert read(page) == [2, 8]
    page.close()


def test_a_report_of_before_tiles_and_seams_says_so(shown):
    page = shown(pyramid([level(1), level(2, tiles=[], seams=None)]))
    toggle(page, "Tiles")
    toggle(page, "Seams")
    ratio = page.locator(".ratio").nth(1)
    expect(ratio).to_contain_text("The report does not say where the tiles of this level lie.")
    expect(ratio).to_contain_text("The report was written before seams were measured line by line.")


def test_texts_from_people_are_shown_as_text(shown):
    value = pyramid(levels())
    (run,) = value.runs
    page = shown(dataclasses.replace(value, runs=(dataclasses.replace(run, name=NASTY),), lost=(NASTY,)))
    expect(page.locator("h4").first).to_contain_text(NASTY)
    expect(page.locator(".lost")).to_have_text(NASTY)
    assert page.locator("#pyramid img").count() == 0


# ---- everyone ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_view_is_accessible_in_both_themes(shown, theme):
    page = shown(pyramid(levels(), levels("none")), query=f"&__theme={theme}")
    toggle(page, "Tiles")
    toggle(page, "Seams")
    assert serious(page) == []


def test_a_phone_shows_everything_without_scrolling_sideways(shown):
    page = shown(pyramid(levels(), levels("none")), viewport={"width": 390, "height": 844})
    toggle(page, "Tiles")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    inside = page.locator(".stand").bounding_box()
    for node in page.locator(".stand :is(button, select, input, output, .picture):visible").all():
        box = node.bounding_box()
        assert inside["x"] <= box["x"]
        assert box["x"] + box["width"] <= inside["x"] + inside["width"]
    assert all(node.bounding_box()["height"] >= 44 for node in page.locator(".stand button:visible").all())
