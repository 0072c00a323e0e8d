"""The studio in a real browser, with the shipped model in a worker process: from click to figures."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from engine.jobs.service import Jobs
from tests.browser.conftest import serious, serving
from tests.jobs.conftest import FAKE
from ui.server.web_app import create_app

RUN_MS = 240_000  # a run of four steps on a busy machine, model loading included
NASTY = '<img src=x onerror="alert(1)">${alert(1)}{{value}}'


@pytest.fixture
def opened(new_page, studio):
    """A fresh page whose widgets are there."""

    def go(query: str = "", url: str = studio, **options) -> Page:
        page = new_page(f"{url}/{query}", **options)
        expect(page.locator("#board [role=slider]").first).to_be_visible()
        return page

    return go


@pytest.fixture
def slow_studio(tmp_path):
    """The app with a runner without torch, each of whose steps takes as long as the prompt says."""
    with Jobs(tmp_path / "data", runner=FAKE) as jobs, serving(create_app(jobs)) as url:
        yield url


def set_field(page: Page, name: str, value: object) -> None:
    box = page.locator(f"#{name} input, #{name} textarea").first
    box.fill(str(value))
    box.press("Tab")


def short(page: Page, steps: int = 4) -> None:
    """Few steps, and the board has followed."""
    set_field(page, "steps", steps)
    expect(page.locator("#board")).to_contain_text(f"{steps} steps")


def finished(page: Page) -> None:
    expect(page.locator("#run")).to_be_visible(timeout=RUN_MS)


def test_a_first_visit_shows_the_example_playing_and_the_board(opened):
    page = opened()
    expect(page.locator("#comparator video").first).to_be_visible()
    page.wait_for_function("[...document.querySelectorAll('#comparator video')].some((v) => !v.paused)")
    expect(page.locator("#comparator")).to_contain_text("stored example")
    expect(page.locator("#figures table")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened, theme):
    page = opened(f"?__theme={theme}")
    page.locator("#more button").first.click()
    page.locator("#keep button").first.click()
    assert serious(page) == []


def test_a_phone_sees_no_sideways_scroll(opened):
    page = opened(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_run_goes_from_click_to_playing_videos_table_charts_and_comes_back_by_its_address_and_is_reused(opened):
    page = opened()
    page.locator("#more button").first.click()
    page.get_by_label("Frames", exact=True).fill("5")
    short(page)
    expect(page.locator("#board")).to_contain_text("5 frames")
    page.locator("#run").click()
    expect(page.locator("#stop")).to_be_visible()
    page.wait_for_function("location.search.includes('job=')")
    finished(page)
    expect(page.locator("#comparator video")).to_have_count(3)
    page.wait_for_function("[...document.querySelectorAll('#comparator video')].some((v) => !v.paused)")
    expect(page.locator("#figures tbody tr")).to_have_count(3)
    expect(page.locator("#downloads a")).to_have_count(7)
    page.locator("#charts button").first.click()
    expect(page.locator("#charts .js-plotly-plot").first).to_be_visible(timeout=30_000)
    again = opened(page.url[page.url.index("?") :])
    expect(again.locator("#comparator video")).to_have_count(3)
    expect(again.locator("#steps input")).to_have_value("4")
    expect(again.locator("#figures tbody tr")).to_have_count(3)
    reused = re.compile("reused", re.IGNORECASE)
    expect(again.locator("#comparator")).not_to_contain_text(reused)
    again.locator("#run").click()
    expect(again.locator("#stop")).to_be_visible()
    finished(again)
    expect(again.locator("#comparator")).to_contain_text(reused)


def test_skip_leaves_runs_out_and_stop_ends_the_rest(slow_studio, opened):
    page = opened(url=slow_studio)
    set_field(page, "prompt", '{"step_s": 1}')
    short(page, 60)  # a minute a run: the last one is under way when Stop is pressed
    page.locator("#run").click()
    page.wait_for_function("location.search.includes('job=')")
    tiles, skipped = page.locator("#comparator .tile"), re.compile("skipped", re.IGNORECASE)
    for number in (1, 0):  # one that waits, then the one that runs
        tiles.nth(number).get_by_role("button", name="Skip").click()
    for number in (0, 1):
        expect(tiles.nth(number)).to_contain_text(skipped)
    expect(tiles.nth(2)).to_contain_text("of 60")
    expect(tiles.nth(2)).not_to_contain_text(skipped)
    page.locator("#stop").click()
    finished(page)
    expect(page.locator("#comparator")).to_contain_text("Stopped")
    expect(page.locator("#comparator").get_by_role("button", name="Run again")).to_be_visible()


def test_a_share_link_restores_the_whole_experiment(opened):
    page = opened()
    set_field(page, "prompt", "a ghost turning over pink wood")
    set_field(page, "seed", 99)
    page.locator("#keep button").first.click()
    page.locator("#share").click()
    expect(page.locator("#link input, #link textarea").first).to_have_value(re.compile(r"\?s=[\w-]{40,600}$"))
    link = page.locator("#link input, #link textarea").first.input_value()
    other = opened(link[link.index("?") :])
    expect(other.locator("#prompt textarea")).to_have_value("a ghost turning over pink wood")
    expect(other.locator("#seed input")).to_have_value("99")


@pytest.mark.parametrize("query", ["?s=AAAA", "?s=" + "A" * 9000, "?job=nothing-like-this", "?job=../../etc/passwd"])
def test_a_bad_address_is_one_sentence_and_the_page_works(opened, query):
    page = opened(query)
    expect(page.locator(".toast-body")).to_be_visible()
    expect(page.locator("#run")).to_be_enabled()


def test_a_lightx2v_config_is_opened_and_its_unknown_keys_are_written_back(opened, tmp_path):
    config = {"infer_steps": 50, "changing_resolution": True, "resolution_rate": [1.0, 0.75],
              "changing_resolution_steps": [10, 35], "teacache_thresh": 0.26}  # fmt: skip
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(config))
    page = opened()
    page.locator("#edit input[type=file]").set_input_files(file)
    expect(page.locator("#board input.name").last).to_have_value("mine")
    page.locator("#keep button").first.click()
    page.locator("#export-track input").click()
    page.get_by_role("option", name="mine").click()
    link = page.locator("#exports a", has_text="LightX2V")
    expect(link).to_have_attribute("download", re.compile("mine"))
    written = json.loads(base64.b64decode(link.get_attribute("href").partition(",")[2]))
    assert written["teacache_thresh"] == 0.26
    assert (written["infer_steps"], written["changing_resolution_steps"]) == (30, [6, 21])


@pytest.mark.parametrize(
    ("name", "data"),
    [("broken.json", b'{"infer_steps": 5'), ("list.json", b"[]"), ("fake.mp4", b"#EXTM3U\nfile:///etc/passwd\n")],
)
def test_a_bad_file_is_refused_in_one_sentence_and_nothing_is_lost(opened, tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    page = opened()
    set_field(page, "prompt", "kept")
    page.locator("#edit input[type=file]").set_input_files(tmp_path / name)
    expect(page.locator(".toast-body")).to_contain_text(name)
    expect(page.locator("#prompt textarea")).to_have_value("kept")


def test_a_video_of_ours_restores_its_experiment(opened):
    example = Path(__file__).parents[2] / "ui" / "example"
    prompt = json.loads((example / "report.json").read_text("utf-8"))["prompt"]
    page = opened()
    set_field(page, "prompt", "something else")
    page.locator("#edit input[type=file]").set_input_files(sorted(example.glob("0*.mp4"))[0])
    expect(page.locator("#prompt textarea")).to_have_value(prompt)


def test_a_hostile_name_is_shown_as_text(opened, tmp_path):
    preset = {"resolute_preset": 1, "name": NASTY, "infer_steps": 30, "resolution_rate": [0.5],
              "changing_resolution_steps": [10]}  # fmt: skip
    file = tmp_path / "nasty.json"
    file.write_text(json.dumps(preset))
    page = opened()
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.locator("#edit input[type=file]").set_input_files(file)
    expect(page.locator("#board input.name").last).to_have_value(NASTY)
    page.locator("#keep button").first.click()
    assert page.locator("img[src='x']").count() == 0


def test_the_theme_can_be_switched_and_is_remembered(opened):
    page = opened(color_scheme="light")
    page.locator(".theme").click()
    assert page.evaluate("document.body.classList.contains('dark')")
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("#board [role=slider]").first).to_be_visible()
    assert other.evaluate("document.body.classList.contains('dark')")


def test_another_model_brings_its_own_ranges_and_costs(opened):
    page = opened()
    page.locator("#model input").click()
    page.get_by_role("option", name=re.compile(r"Wan 2\.1 T2V 14B")).click()
    expect(page.locator("#steps input")).to_have_value("50")
    expect(page.locator("#board")).to_contain_text("1280×720")


def test_a_model_of_two_experts_has_a_guidance_for_each_and_a_link_keeps_it(opened):
    page = opened()
    page.locator("#more button").first.click()
    expect(page.get_by_label("Second guidance")).to_have_count(0)
    page.locator("#model input").click()
    page.get_by_role("option", name=re.compile(r"Wan 2\.2 T2V A14B")).click()
    second = page.get_by_label("Second guidance")
    expect(second).to_have_value("3")
    expect(page.locator("#board")).to_contain_text("1280×720")
    second.fill("2.5")
    second.press("Tab")
    page.locator("#keep button").first.click()
    page.locator("#share").click()
    expect(page.locator("#link input, #link textarea").first).to_have_value(re.compile(r"\?s=[\w-]{40,600}$"))
    link = page.locator("#link input, #link textarea").first.input_value()
    other = opened(link[link.index("?") :])
    other.locator("#more button").first.click()
    expect(other.get_by_label("Second guidance")).to_have_value("2.5")
    other.locator("#model input").click()
    other.get_by_role("option", name=re.compile(r"Wan 2\.1 T2V 14B")).click()
    expect(other.get_by_label("Second guidance")).to_have_count(0)
    expect(other.locator("#board")).to_contain_text("50 steps")


def test_videos_rest_while_a_schedule_is_dragged_and_go_on_afterwards(opened):
    page = opened()
    playing = "[...document.querySelectorAll('#comparator video')].some((video) => !video.paused)"
    page.wait_for_function(playing)
    boundary = page.locator("#board .boundary").first
    boundary.scroll_into_view_if_needed()
    box = boundary.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y, steps=4)
    page.wait_for_function(f"!{playing}")
    page.mouse.up()
    page.wait_for_function(playing)
