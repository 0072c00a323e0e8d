"""A hierarchical patch model in the whole studio, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from engine.models.catalogue import find_model
from tests.browser.pyramid_page import ready as pyramids_loaded
from tests.browser.timeline.conftest import phone

HPDM = find_model("emoji-hpdm")


RUN_MS = 240_000


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
