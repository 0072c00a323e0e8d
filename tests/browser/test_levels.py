"""Level boards in a real browser: the lanes of a hierarchical patch model, alone and in the whole studio."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import ui.timeline
from engine.costs.level_prediction import LevelCosts, level_context
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.level_choice import LevelChoice, level_schedule
from engine.models.catalogue import find_model
from tests.browser.conftest import serious
from tests.browser.test_pyramid import ready as pyramids_loaded
from tests.browser.test_timeline import boards, open_board, phone  # noqa: F401  (fixtures)
from tests.hpdm.test_costs import timed

HPDM = find_model("emoji-hpdm")
STEPS = 30
BARE = level_context(LevelCosts(HPDM, None, 2.0), max_tracks=8)
TIMED = level_context(LevelCosts(HPDM, timed(), 2.0), max_tracks=8)
RUN_MS = 240_000


def lane(name: str, colour: int = 1, **choice: object) -> dict:
    schedule = level_schedule(HPDM.levels, STEPS)
    return {
        "name": name,
        "policy": "anchored",
        "colour": colour,
        "resolution_rate": list(schedule.rates),
        "changing_resolution_steps": list(schedule.switch_steps),
        "levels": {"levels": 3, "overlap": "spatial", "context": "device", "heun": False} | choice,
    }


ALL, BARE_TILES = lane("All levels"), lane("No overlap", 2, overlap="none")


def chosen(board, key, k=1):
    return board.lane(k).locator(f"select[data-choice={key}]")


def test_a_lane_shows_the_levels_as_locked_blocks_and_those_beyond_as_not_run(open_board):  # noqa: F811
    board = open_board(lane("2 levels", levels=2), changed=BARE)
    blocks = board.lane().get_by_role("listitem").filter(has_not=board.page.locator("button"))
    assert blocks.evaluate_all("(all) => all.map((each) => each.getAttribute('aria-label'))") == [
        "Level 1: 4 frames of 16×16, steps 1 to 17, 1 tile a step, 34 network passes in all",
        "Level 2: 8 frames of 32×32, steps 18 to 26, 18 tiles a step, 324 network passes in all",
        "Level 3: 16 frames of 64×64, not run",
    ]
    assert board.page.locator("#board [role=slider]").count() == 0  # nothing can be dragged
    expect(board.lane(0)).to_contain_text("All levels, spatial overlap")
    expect(board.page.locator("#board .legend")).to_contain_text("never runs at full size")


def test_choices_are_made_by_keyboard_and_a_name_that_said_them_says_the_new_ones(open_board):  # noqa: F811
    board = open_board(ALL, BARE_TILES, changed=BARE)
    chosen(board, "levels").focus()
    chosen(board, "levels").press("2")  # typing chooses
    board.expect_python(ALL | {"name": "2 levels", "levels": ALL["levels"] | {"levels": 2}}, BARE_TILES)
    board.page.keyboard.press("Tab")
    expect(chosen(board, "overlap")).to_be_focused()
    board.page.keyboard.press("F")
    board.page.keyboard.press("Tab")
    expect(chosen(board, "context")).to_be_focused()
    board.page.keyboard.press("End")
    board.page.keyboard.press("Tab")
    board.page.keyboard.press("Space")
    wanted = {"levels": 2, "overlap": "full", "context": "off", "heun": True}
    board.expect_python(
        ALL | {"name": "2 levels, full overlap, cache off, Heun", "levels": wanted}, BARE_TILES
    )  # fmt: skip
    expect(board.page.locator("#board [role=status]")).to_contain_text("Predicted")


def test_a_name_that_a_person_gave_stays(open_board):  # noqa: F811
    board = open_board(lane("Mine"), changed=BARE)
    chosen(board, "overlap").select_option("none")
    board.expect_python(lane("Mine", overlap="none"))


def test_a_choice_can_be_undone(open_board):  # noqa: F811
    board = open_board(ALL, changed=BARE)
    chosen(board, "levels").select_option("1")
    expect(board.lane().locator(".block.idle")).to_have_count(2)
    board.button("Undo", None).click()
    expect(board.lane().locator(".block.idle")).to_have_count(0)
    board.expect_python(ALL)


def test_cost_is_by_flops_until_the_machine_is_timed_and_then_in_seconds(open_board):  # noqa: F811
    schedule, choice = level_schedule(HPDM.levels, STEPS), "none"
    board = open_board(BARE_TILES, changed=BARE)
    costs = LevelCosts(HPDM, None, 2.0)
    by_flops = costs.seconds(schedule, LevelChoice(3, choice)).by_flops
    expect(board.lane().locator(".time")).to_have_text(f"{by_flops:.2f}×")
    expect(board.lane().locator(".flops")).to_contain_text("time not measured yet")
    board = open_board(BARE_TILES, changed=TIMED)
    told = LevelCosts(HPDM, timed(), 2.0).seconds(schedule, LevelChoice(3, choice))
    expect(board.lane().locator(".time")).to_have_text(f"{told.total_s:.1f} s")
    chosen(board, "context").select_option("off")
    expect(board.lane().locator(".flops")).not_to_contain_text("keeps")


def test_what_is_lost_is_warned_of(open_board):  # noqa: F811
    board = open_board(lane("2 levels, no overlap", levels=2, overlap="none"), changed=BARE)
    chips = board.lane().locator(".chip")
    assert chips.all_inner_texts() == ["Ends at 32²", "Seams"]
    chips.last.focus()
    expect(board.page.locator("#board .tip")).to_contain_text("side by side")


def test_a_track_is_added_from_the_menu_by_keyboard(open_board):  # noqa: F811
    board = open_board(ALL, changed=BARE)
    add = board.button("Add track", None)
    add.focus()
    board.page.keyboard.press("Enter")
    expect(add).to_have_attribute("aria-expanded", "true")
    items = board.page.get_by_role("menuitem")
    expect(items.first).to_be_focused()
    assert [text.split("\n")[0] for text in items.all_inner_texts()] == [
        "All levels", "No overlap", "Full overlap", "2 levels", "Cache off", "Cache on the CPU",
    ]  # fmt: skip
    board.page.keyboard.press("Escape")
    expect(add).to_be_focused()
    expect(add).to_have_attribute("aria-expanded", "false")
    board.page.keyboard.press("Enter")
    board.page.keyboard.press("ArrowDown")
    board.page.keyboard.press("Enter")
    board.expect_python(ALL, BARE_TILES)
    expect(board.lane(2).locator("input.name")).to_be_focused()


def test_levels_stand_as_figures_in_a_table(open_board):  # noqa: F811
    board = open_board(lane("2 levels", levels=2), changed=TIMED)
    board.button("Numbers").click()
    rows = board.lane().locator(".numbers tbody tr")
    assert rows.nth(1).locator("td").all_inner_texts()[:4] == ["8 frames of 32×32", "9", "18", "324"]
    assert rows.nth(2).locator("td").all_inner_texts()[1:] == ["not run", "–", "–", "–"]


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(open_board, dark):  # noqa: F811
    board = open_board(ALL, lane("2 levels", 2, levels=2), changed=TIMED, dark=dark)
    board.button("Numbers").click()
    board.button("Add track", None).click()
    assert serious(board.page) == []


def test_a_phone_can_choose_everything_without_sideways_scroll(open_board):  # noqa: F811
    board = open_board(ALL, changed=TIMED, **phone())
    assert board.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for key in ("levels", "overlap", "context"):
        box = chosen(board, key).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    board.button("Add track", None).click()
    box = board.page.get_by_role("menu").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_the_board_shares_steps_out_as_the_engine_does(new_page):
    script = Path(ui.timeline.__file__).with_name("levels.js").read_text("utf-8")
    page, levels = new_page("about:blank"), {k: replace_levels(k) for k in (2, 3, 4)}
    ends = page.evaluate(
        "([script, counts, most]) => { const ends = new Function(`${script}; return levelEnds`)();"
        " return counts.map((count) => Array.from({length: most - count + 1}, (_, k) => ends(count, count + k))); }",
        [script, list(levels), 120],
    )
    for found, (count, config) in zip(ends, levels.items(), strict=True):
        wanted = [list(level_schedule(config, steps).switch_steps) for steps in range(count, 121)]
        assert found == wanted


def replace_levels(count: int) -> HpdmConfig:
    blocks = (*range(1, count), count)
    return dataclasses.replace(HPDM.levels, levels=count, level_blocks=blocks, input_scales=(1.0,) * count)


# ---- in the studio ------------------------------------------------------------------------------------------


@pytest.fixture
def opened(new_page, studio):
    def go(query: str = "") -> Page:
        page = new_page(f"{studio}/{query}")
        expect(page.locator("#board .track").first).to_be_visible(timeout=60_000)
        expect(page.get_by_text("Loading...")).to_have_count(0, timeout=60_000)
        return page

    return go


def levels_chosen(page: Page) -> None:
    page.locator("#model input").click()
    page.get_by_role("option", name=re.compile("hierarchical patch diffusion")).click()
    expect(page.locator("#board .by-level")).to_have_count(4)


def names(page: Page) -> list[str]:
    return page.locator("#board input.name").evaluate_all("(all) => all.map((each) => each.value)")


def on_top(page: Page, selector: str) -> bool:
    """Whether a click in the middle of an element reaches it."""
    return page.locator(selector).evaluate(
        """(node) => {
          const box = node.getBoundingClientRect();
          return node.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
        }"""
    )


def test_a_message_lies_neither_on_the_model_list_nor_on_run(opened):
    page = opened()
    levels_chosen(page)
    page.get_by_role("button", name="Same prompt with emoji-wan").click()
    expect(page.locator("#board [role=slider]").first).to_be_visible()
    expect(page.locator(".toast-body").first).to_contain_text("level tracks wait")
    assert on_top(page, "#model input")
    assert on_top(page, "#run")
    assert on_top(page, ".theme")


def test_the_model_is_chosen_in_the_list_and_what_was_there_comes_back(opened):
    page = opened()
    before = names(page)
    page.locator("#steps input").fill("12")
    page.locator("#steps input").press("Tab")
    expect(page.locator("#board")).to_contain_text("12 steps")
    levels_chosen(page)
    expect(page.locator(".toast-body").first).to_contain_text("2 schedules wait")
    expect(page.locator("#board")).to_contain_text("64×64 · 16 frames · 56 steps")
    expect(page.locator("#steps input")).to_have_value("56")
    assert names(page) == ["No overlap", "Cache off", "2 levels"]
    expect(page.locator("#add-preset")).to_have_count(0)
    page.locator("#board select[data-choice=levels]").first.select_option("1")
    expect(page.locator("#board input.name").first).to_have_value("1 level, no overlap")
    page.get_by_role("button", name="Same prompt with emoji-wan").click()
    expect(page.locator("#board [role=slider]").first).to_be_visible()
    expect(page.locator("#board")).to_contain_text("128×128 · 17 frames · 12 steps")
    assert names(page) == before
    page.get_by_role("button", name="Same prompt with emoji-hpdm").click()
    expect(page.locator("#board .by-level")).to_have_count(4)
    assert names(page)[0] == "1 level, no overlap"
    expect(page.locator(".toast-wrap")).not_to_contain_text("Error")


def test_a_list_of_models_that_is_passed_with_tab_resets_nothing(opened):
    page = opened()
    page.locator("#steps input").fill("12")
    page.locator("#steps input").press("Tab")
    expect(page.locator("#board")).to_contain_text("12 steps")
    page.locator("#model input").focus()
    page.locator("#model input").press("Tab")
    page.locator("#seed input").fill("8")  # an answer to a later event: an answer to Tab would have come before it
    page.locator("#seed input").press("Tab")
    page.locator("#keep button").first.click()
    page.locator("#share").click()
    expect(page.locator("#link input, #link textarea").first).to_have_value(re.compile("s="))
    expect(page.locator("#steps input")).to_have_value("12")
    expect(page.locator("#board")).to_contain_text("12 steps")


def test_a_model_is_chosen_with_the_keyboard(opened):
    page = opened()
    page.locator("#model input").focus()
    page.locator("#model input").fill("hierarchical")
    page.locator("#model input").press("Enter")
    expect(page.locator("#board .by-level")).to_have_count(4)
    expect(page.locator("#steps input")).to_have_value("56")
    page.locator("#model input").focus()
    page.locator("#model input").fill("emoji-wan")
    page.locator("#model input").press("Enter")
    expect(page.locator("#board [role=slider]").first).to_be_visible()


def test_a_phone_sees_no_sideways_scroll_and_undo_does_not_bring_back_the_other_kind(new_page, studio):
    page = new_page(studio, **phone())
    expect(page.locator("#board .track").first).to_be_visible(timeout=60_000)
    page.locator("#steps input").fill("56")  # as many as the other model has: the history could go on
    page.locator("#steps input").press("Tab")
    expect(page.locator("#board")).to_contain_text("56 steps")
    page.get_by_role("button", name="Same prompt with emoji-hpdm").click()
    expect(page.locator("#board .by-level")).to_have_count(4)
    expect(page.get_by_role("button", name="Undo (Ctrl+Z)")).to_be_disabled()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_another_number_of_steps_is_shared_by_the_levels(opened):
    page = opened()
    levels_chosen(page)
    page.locator("#steps input").fill("14")
    page.locator("#steps input").press("Tab")
    expect(page.locator("#board .track").nth(1).locator(".block").last).to_have_attribute(
        "aria-label", re.compile("steps 13 to 14")
    )
    page.locator("#steps input").fill("2")
    page.locator("#steps input").press("Tab")
    expect(page.locator("#forecast")).to_contain_text("at least one each")


def test_a_link_keeps_what_was_chosen(opened):
    page = opened()
    levels_chosen(page)
    page.locator("#prompt textarea").fill("a frog over a purple background")
    page.locator("#board select[data-choice=context]").nth(1).select_option("cpu")
    page.locator("#keep button").first.click()
    page.locator("#share").click()
    link = page.locator("#link input, #link textarea").first
    expect(link).to_have_value(re.compile(r"\?s=[\w-]{40,600}$"))
    other = opened(link.input_value()[link.input_value().index("?") :])
    expect(other.locator("#board select[data-choice=context]").nth(1)).to_have_value("cpu")
    expect(other.locator("#board select[data-choice=overlap]").first).to_have_value("none")
    expect(other.get_by_role("button", name="Same prompt with emoji-wan")).to_be_visible()
    other.locator("#keep button").first.click()
    expect(other.locator("#exports")).to_contain_text("LightX2V config has no levels")


def test_a_comparison_runs_and_its_address_brings_the_levels_back_and_its_pyramid(opened):
    page = opened()
    page.locator("#prompt textarea").fill("a frog over a purple background")
    levels_chosen(page)
    page.locator("#steps input").fill("3")
    page.locator("#steps input").press("Tab")
    expect(page.locator("#board")).to_contain_text("3 steps")
    page.get_by_role("button", name="Remove: Cache off").click()
    expect(page.locator("#board .by-level")).to_have_count(3)
    page.locator("#run").click()
    page.wait_for_function("location.search.includes('job=')")
    expect(page.locator("#stop")).to_be_visible()
    expect(page.locator("#run")).to_be_visible(timeout=RUN_MS)
    expect(page.locator("#comparator video")).to_have_count(3)
    rows = page.locator("#figures tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("3 levels, spatial overlap")
    expect(rows.nth(2)).to_contain_text("2 levels, spatial overlap, cache on the device")
    again = opened(page.url[page.url.index("?") :])
    expect(again.locator("#pyramid .run:visible")).to_have_count(2)
    pyramids_loaded(again)
    words = again.locator("#pyramid .run:visible .facts").all_inner_texts()
    assert [int(re.match(r"\d+", text)[0]) for text in words] == [1, 18, 196, 1, 8, 64]
    assert again.locator("#pyramid .run:visible video").count() == 6
    expect(again.locator("#board .by-level")).to_have_count(3)
    expect(again.locator("#board select[data-choice=overlap]").first).to_have_value("none")
    expect(again.locator("#board select[data-choice=levels]").last).to_have_value("2")
