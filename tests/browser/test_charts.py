"""The charts in a real page: readable in light and dark, without buttons, names as text."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import serving_blocks
from tests.reports.test_html import HOSTILE
from tests.ui.test_figures import changed
from ui.studio.charts import memory_chart, similarity_chart, steps_chart

CONTRAST = """() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll(".main-svg text:not(.legendtitletext)")]
    .filter((node) => node.textContent && !node.closest(".hoverlayer")).map((node) => {
      const ink = light(getComputedStyle(node).fill);
      return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    });
}"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    report = changed(1, name=HOSTILE)
    with gr.Blocks() as blocks:
        for chart in (steps_chart, memory_chart, similarity_chart):
            gr.Plot(chart(report), label=chart.__name__)
    with serving_blocks(blocks) as address:
        yield address


def opened(new_page, url: str, theme: str) -> Page:
    page = new_page(f"{url}/?__theme={theme}")
    expect(page.locator(".js-plotly-plot .infolayer .legend")).to_have_count(3, timeout=60_000)  # plotly is 4.6 MB
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_stand_out_from_the_page_in_both_themes(new_page, url: str, theme: str) -> None:
    page = opened(new_page, url, theme)
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 20
    assert min(ratios) >= 4.5
    backgrounds = page.locator(".js-plotly-plot .main-svg, .js-plotly-plot rect.bg").evaluate_all(
        "nodes => nodes.map(n => [getComputedStyle(n).backgroundColor, getComputedStyle(n).fillOpacity])"
    )
    assert all(colour == "rgba(0, 0, 0, 0)" for colour, _ in backgrounds)


def test_names_are_texts_and_there_are_no_buttons(new_page, url: str) -> None:
    page = opened(new_page, url, "light")
    shown = page.locator(".js-plotly-plot").nth(2).locator(".legendtext").text_content()
    assert shown.startswith("<script>alert(1)")
    assert page.locator(".js-plotly-plot .modebar:visible").count() == 0
    mark = page.locator(".js-plotly-plot").nth(2).locator(".scatterlayer .point").first
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".hoverlayer .legend")).to_be_visible()
    assert page.locator(".js-plotly-plot .modebar:visible").count() == 0
