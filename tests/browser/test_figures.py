"""The figures in a real browser: the table sorts and scrolls, points are reached by mouse, finger and keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from playwright.sync_api import Page, expect

from engine.reports.schema import Report
from tests.browser.conftest import serving_blocks
from tests.reports.test_html import HOSTILE, MEASURED
from tests.reports.test_schema import fields
from ui.figures.figures import FiguresPanel, figures_of, parse_action

NAMES = ("baseline", "two-stage", "U-shaped", "two-stage again", "slower than the baseline", HOSTILE, "broken")
SECONDS = (4.0, 3.0, 2.0, 3.0, 5.0, 3.5)
DECIBELS = (None, 30.0, 25.0, 30.0, 33.0, 27.0)


def measured(decibels: float, lowest: float | None = None) -> dict[str, Any]:
    low = decibels - 1 if lowest is None else lowest
    frames = [decibels + 1, low]
    return MEASURED | {"psnr": {"mean": decibels, "min": low, "frames": frames, "reason": None}}


def report(floor: float | None = 34.0) -> Report:
    """Two coinciding runs, one behind the baseline, one with a hostile name, one that failed."""
    base, failed = fields()["runs"]
    runs = [base | {"latency": {"total_s": 4.5, "denoise_s": 4.0}}]
    for name, seconds, decibels in zip(NAMES[1:-1], SECONDS[1:], DECIBELS[1:], strict=True):
        latency = {"total_s": seconds + 0.5, "denoise_s": seconds}
        speedup = {"measured": 4.0 / seconds, "by_flops": 2.0}
        runs.append(base | {"name": name, "policy": "coherent", "latency": latency, "speedup": speedup})
        runs[-1] |= {"similarity": measured(decibels)}
    runs.append(failed | {"name": "broken", "error": HOSTILE})
    noise = {} if floor is None else {"noise_floor": measured(floor), "noise_floor_reason": None}
    return Report.model_validate(fields(runs=runs, **noise))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A page with the widget, a box that says what was chosen, and buttons that change the widget from Python."""
    with gr.Blocks() as blocks:
        panel = FiguresPanel(figures_of(report()).to_json())
        chosen = gr.Textbox(label="chosen", elem_id="chosen")
        for name, value in (
            ("bring", gr.update(selected=2)),
            ("clear", None),
            ("exact", figures_of(report(floor=None)).to_json()),
        ):
            gr.Button(name, elem_id=name).click(lambda value=value: value, None, panel)

        def choose(event: gr.EventData) -> str:
            return str(parse_action(event._data).number)

        panel.input(choose, None, chosen, trigger_mode="always_last", show_progress="hidden")
    with serving_blocks(blocks) as address:
        yield address


@pytest.fixture
def page(new_page, url: str) -> Page:
    opened = new_page(url)
    expect(opened.locator(".canvas .point")).to_have_count(6)
    return opened


def point(page: Page, number: int):
    return page.locator(f'.canvas .point[data-number="{number}"]')


def row(page: Page, number: int):
    return page.locator(f'tbody tr[data-number="{number}"]')


def names(page: Page) -> list[str]:
    return page.locator("tbody .name").all_text_contents()


def chosen(page: Page):
    return page.locator("#chosen textarea, #chosen input")


def test_the_table_shows_every_run_and_why_figures_are_missing(page: Page) -> None:
    assert names(page) == list(NAMES)
    cells = row(page, 6).locator("td")
    assert cells.nth(1).text_content().startswith("–")
    assert cells.nth(1).get_attribute("title") == HOSTILE
    note = cells.nth(1).locator("a.note")
    assert page.locator(note.get_attribute("href")).text_content() == HOSTILE
    expect(page.locator("tfoot th")).to_have_text("Noise floor")


def test_similarity_stands_under_a_heading_of_its_own(page: Page) -> None:
    head = page.get_by_role("columnheader", name="Similarity to the baseline (not quality)")
    assert head.get_attribute("colspan") == "6"
    assert head.bounding_box()["x"] > page.get_by_role("columnheader", name="Cost").bounding_box()["x"]


def test_columns_sort_the_best_first_then_the_worst_then_as_reported(page: Page) -> None:
    head = page.locator("th", has=page.get_by_role("button", name="denoising"))
    button = head.get_by_role("button")
    button.click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert names(page) == [NAMES[k] for k in (2, 1, 3, 5, 0, 4, 6)]
    button.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert names(page) == [NAMES[k] for k in (4, 0, 5, 1, 3, 2, 6)]
    expect(button).to_be_focused()
    button.press("Enter")
    expect(head).to_have_attribute("aria-sort", "none")
    assert names(page) == list(NAMES)


def test_higher_similarity_sorts_first_and_what_is_unknown_last(page: Page) -> None:
    page.locator("thead .labels th").nth(7).get_by_role("button", name="mean").click()
    assert names(page)[0] == NAMES[4]
    assert set(names(page)[-2:]) == {"baseline", "broken"}


def test_a_click_on_a_point_brings_its_run_up(page: Page) -> None:
    point(page, 2).locator(".mark").click()
    expect(chosen(page)).to_have_value("2")
    expect(row(page, 2)).to_have_class(re.compile("selected"))
    expect(point(page, 2)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".readout")).to_contain_text("U-shaped denoising time 2.00 s · PSNR 25.00 dB · 2.00× as fast")


def test_points_are_reached_and_chosen_by_keyboard(page: Page) -> None:
    point(page, 2).focus()
    page.keyboard.press("ArrowRight")
    expect(point(page, 1)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(point(page, 3)).to_be_focused()
    page.keyboard.press("Enter")
    expect(chosen(page)).to_have_value("3")
    page.keyboard.press("End")
    expect(point(page, 0)).to_be_focused()
    page.keyboard.press("Space")
    expect(chosen(page)).to_have_value("0")
    page.keyboard.press("Home")
    expect(point(page, 2)).to_be_focused()


def test_points_that_coincide_stand_apart_and_can_each_be_clicked(page: Page) -> None:
    for number in (1, 3):
        point(page, number).locator(".mark").click()
        expect(chosen(page)).to_have_value(str(number))
    boxes = [point(page, number).locator(".mark").bounding_box() for number in (1, 3)]
    assert abs(boxes[0]["x"] - boxes[1]["x"]) >= boxes[0]["width"]


def test_every_point_says_in_words_where_it_stands(page: Page) -> None:
    assert point(page, 2).get_attribute("aria-label") == (
        "U-shaped: denoising time 2.00 s, PSNR 25.00 dB, on the Pareto front"
    )
    assert (
        point(page, 4).get_attribute("aria-label") == "slower than the baseline: denoising time 5.00 s, PSNR 33.00 dB"
    )
    assert point(page, 0).get_attribute("aria-label") == "baseline 4.00 s"


def test_the_front_holds_what_nothing_beats_on_both(page: Page) -> None:
    """A run slower than the baseline is on no front, however similar: the baseline beats it on both."""
    front = page.locator(".canvas .point.on").evaluate_all("nodes => nodes.map(node => Number(node.dataset.number))")
    assert sorted(front) == [1, 2, 3]


def test_places_are_to_scale(page: Page) -> None:
    """Time runs linearly across, the baseline's line included; more similar is higher."""
    x = {
        k: point(page, k).locator(".true, .mark").first.evaluate("n => Number(n.getAttribute('cx'))") for k in (1, 2, 4)
    }
    y = {
        k: point(page, k).locator(".true, .mark").first.evaluate("n => Number(n.getAttribute('cy'))") for k in (1, 2, 4)
    }
    base = page.locator("line.base").evaluate("n => Number(n.getAttribute('x1'))")
    assert (x[1] - x[2]) == pytest.approx(base - x[1], abs=0.01) == pytest.approx(x[4] - base, abs=0.01)
    assert (y[2] - y[1]) / 5 == pytest.approx((y[1] - y[4]) / 3, abs=0.01)


def test_the_noise_floor_is_a_band_where_it_is_known(page: Page) -> None:
    expect(page.locator("rect.floor")).to_have_count(1)
    line = page.locator("line.floor").evaluate("n => Number(n.getAttribute('y1'))")
    assert line < point(page, 4).locator(".mark").evaluate("n => Number(n.getAttribute('cy'))")
    page.locator("#exact").click()
    expect(page.locator("rect.floor")).to_have_count(0)
    expect(page.locator(".remark")).to_contain_text("Noise floor not known: not asked for.")


def test_other_axes_can_be_chosen_where_they_were_measured(page: Page) -> None:
    across, up = page.get_by_label("Across"), page.get_by_label("Up")
    across.select_option("total")
    expect(point(page, 2)).to_have_attribute("aria-label", re.compile("total time 2.50 s"))
    up.select_option("ssim")
    expect(point(page, 2)).to_have_attribute("aria-label", re.compile("SSIM 0.9877"))
    assert up.locator("option[value=vmaf]").is_disabled()


def test_a_run_without_similarity_is_listed_with_its_reason(page: Page) -> None:
    expect(page.locator(".unplotted li")).to_have_text(f"broken is not in the plot: {HOSTILE}")


def test_names_of_runs_cover_neither_each_other_nor_a_point(page: Page) -> None:
    boxes = page.locator(".point:not(.crowded) .label, .point .mark").evaluate_all(
        "nodes => nodes.map(n => { const b = n.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })"
    )
    for k, a in enumerate(boxes):
        for b in boxes[k + 1 :]:
            assert min(a[2], b[2]) - max(a[0], b[0]) <= 0 or min(a[3], b[3]) - max(a[1], b[1]) <= 3


def test_texts_from_people_are_shown_as_text(page: Page) -> None:
    assert row(page, 5).locator(".name").text_content() == HOSTILE
    assert page.locator("img, script", has_text="alert").count() == page.locator(".figures img").count() == 0


def test_python_chooses_a_run_and_empties_the_widget(page: Page) -> None:
    page.locator("#bring").click()
    expect(row(page, 2)).to_have_class(re.compile("selected"))
    expect(point(page, 2)).to_have_class(re.compile("selected"))
    page.locator("#clear").click()
    expect(page.locator(".figures")).to_be_hidden()
    expect(page.locator(".empty")).to_be_visible()
    page.locator("#exact").click()
    expect(page.locator(".canvas .point")).to_have_count(6)


def test_on_a_phone_only_the_table_scrolls_and_names_stay_in_sight(new_page, url: str) -> None:
    page = new_page(url, viewport={"width": 390, "height": 800}, has_touch=True)
    expect(page.locator(".canvas .point")).to_have_count(6)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    before = row(page, 1).locator(".name").bounding_box()["x"]
    page.locator(".scroll").evaluate("node => { node.scrollLeft = node.scrollWidth; }")
    assert page.locator(".scroll").evaluate("node => node.scrollLeft") > 100
    assert row(page, 1).locator(".name").bounding_box()["x"] == pytest.approx(before, abs=1)
    heights = page.locator(".figures button, .figures select").evaluate_all(
        "n => n.map(b => b.getBoundingClientRect().height)"
    )
    assert min(heights) >= 44


def test_a_finger_beside_a_point_still_reaches_it(new_page, url: str) -> None:
    page = new_page(url, viewport={"width": 390, "height": 800}, has_touch=True)
    point(page, 2).scroll_into_view_if_needed()
    box = point(page, 2).locator(".mark").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + 18)
    expect(chosen(page)).to_have_value("2")


def test_the_plot_follows_the_width_of_its_place(page: Page) -> None:
    drawn = "document.querySelector('.canvas > svg').viewBox.baseVal.width"
    wide = page.evaluate(drawn)
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_function(f"{drawn} === document.querySelector('.canvas').clientWidth")
    assert page.evaluate(drawn) < wide
