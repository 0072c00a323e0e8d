"""Lanes of a hierarchical patch model on the board, in a real browser."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from playwright.sync_api import expect

import ui.timeline
from engine.costs.level_prediction import LevelCosts, level_context
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.level_choice import LevelChoice, level_schedule
from engine.models.catalogue import find_model
from tests.browser.conftest import serious
from tests.browser.timeline.conftest import phone
from tests.hpdm.test_costs import timed

HPDM = find_model("emoji-hpdm")
STEPS = 30
BARE = level_context(LevelCosts(HPDM, None, 2.0), max_tracks=8)
TIMED = level_context(LevelCosts(HPDM, timed(), 2.0), max_tracks=8)


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


def test_a_lane_shows_the_levels_as_locked_blocks_and_those_beyond_as_not_run(open_board):
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


def test_choices_are_made_by_keyboard_and_a_name_that_said_them_says_the_new_ones(open_board):
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


def test_a_name_that_a_person_gave_stays(open_board):
    board = open_board(lane("Mine"), changed=BARE)
    chosen(board, "overlap").select_option("none")
    board.expect_python(lane("Mine", overlap="none"))


def test_a_choice_can_be_undone(open_board):
    board = open_board(ALL, changed=BARE)
    chosen(board, "levels").select_option("1")
    expect(board.lane().locator(".block.idle")).to_have_count(2)
    board.button("Undo", None).click()
    expect(board.lane().locator(".block.idle")).to_have_count(0)
    board.expect_python(ALL)


def test_cost_is_by_flops_until_the_machine_is_timed_and_then_in_seconds(open_board):
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


def test_what_is_lost_is_warned_of(open_board):
    board = open_board(lane("2 levels, no overlap", levels=2, overlap="none"), changed=BARE)
    chips = board.lane().locator(".chip")
    assert chips.all_inner_texts() == ["Ends at 32²", "Seams"]
    chips.last.focus()
    expect(board.page.locator("#board .tip")).to_contain_text("side by side")


def test_a_track_is_added_from_the_menu_by_keyboard(open_board):
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


def test_levels_stand_as_figures_in_a_table(open_board):
    board = open_board(lane("2 levels", levels=2), changed=TIMED)
    board.button("Numbers").click()
    rows = board.lane().locator(".numbers tbody tr")
    assert rows.nth(1).locator("td").all_inner_texts()[:4] == ["8 frames of 32×32", "9", "18", "324"]
    assert rows.nth(2).locator("td").all_inner_texts()[1:] == ["not run", "–", "–", "–"]


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(open_board, dark):
    board = open_board(ALL, lane("2 levels", 2, levels=2), changed=TIMED, dark=dark)
    board.button("Numbers").click()
    board.button("Add track", None).click()
    assert serious(board.page) == []


def test_a_phone_can_choose_everything_without_sideways_scroll(open_board):
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
