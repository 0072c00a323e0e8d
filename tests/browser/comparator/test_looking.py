"""Ways of looking, frames and curves, hostile values, phones and accessibility, in a real browser."""

from __future__ import annotations

import pytest

from tests.browser.comparator.conftest import FRAMES, comparison, done, running
from tests.browser.install import AXE_FILE


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
