"""Pictures of the studio for README and docs: light, dark, phone, library, pyramid view. `make pictures`.

    python -m benchmarks.screenshots [--steps 30]

Runs a real comparison with the shipped model first, in a data directory of its own, so that what is shown was measured.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.page import URL, server
from engine.experiments.experiment import make_experiment
from engine.experiments.level_tracks import level_track
from engine.experiments.settings import Settings
from engine.experiments.share_link import pack
from engine.hpdm.level_choice import LevelChoice
from engine.models.catalogue import find_model
from tests.browser.install import chromium_path

IMAGES = Path(__file__).parent.parent / "docs" / "images"
PROMPT = "a rocket drifting up over purple stars"
RUN_MS = 600_000
ONE_FRAME = """() => { for (const video of document.querySelectorAll('#comparator video')) video.pause(); }"""


def _page(browser: Browser, query: str = "", **options: Any) -> Page:
    page = browser.new_context(**({"viewport": {"width": 1440, "height": 1000}} | options)).new_page()
    page.goto(URL + query)
    page.locator("#board .track").first.wait_for()
    return page


def _compare(browser: Browser, steps: int) -> str:
    """Run the comparison as a person would; the query of its address."""
    page = _page(browser)
    page.locator("#prompt textarea").fill(PROMPT)
    page.locator("#steps input").fill(str(steps))
    page.locator("#steps input").press("Tab")
    page.wait_for_timeout(1500)
    return _run(page)


def _run(page: Page) -> str:
    """Run what stands on the page; the query of its address."""
    page.locator("#run").click()
    page.locator("#stop").wait_for()
    page.locator("#run").wait_for(timeout=RUN_MS)
    query = page.evaluate("location.search")
    page.context.close()
    return str(query)


def _shoot(page: Page, name: str, *, full: bool = False) -> None:
    page.wait_for_timeout(3000)  # for pictures to be there; nothing is measured here
    page.evaluate(ONE_FRAME)
    page.screenshot(path=IMAGES / f"{name}.png", full_page=full)
    page.context.close()


def _compare_levels(browser: Browser, steps: int) -> str:
    """Run tiles with and without overlap; the query of its address."""
    spec = find_model("emoji-hpdm")
    assert spec.levels is not None
    track = level_track("No overlap", LevelChoice(overlap="none"), spec.levels, steps)
    asked = make_experiment(
        spec, [track], Settings(prompt="a frog growing over a blue background", steps=steps, guidance=2.0)
    )
    page = _page(browser, f"?s={pack(asked)}")
    page.locator("#board .by-level").first.wait_for()
    return _run(page)


def _pyramid(page: Page) -> None:
    """The pyramid view twice: with one tile chosen, and with the seams."""
    view, toggles = page.locator("#pyramid"), page.locator("#pyramid .toggles button")
    toggles.nth(0).click()
    page.wait_for_timeout(3000)
    page.evaluate(ONE_FRAME)
    view.scroll_into_view_if_needed()
    view.locator(".run:visible").nth(0).locator(".picture").nth(2).locator(".cell").nth(4 * 7 + 1).focus()
    view.screenshot(path=IMAGES / "pyramid.png")
    for number in range(2):
        toggles.nth(number).click()
    view.screenshot(path=IMAGES / "pyramid-seams.png")
    page.context.close()


def _level_board(page: Page) -> None:
    """A level board with a track more, whose last level is not run."""
    page.locator("#board .by-level").first.wait_for()
    page.get_by_role("button", name="Add track").click()
    page.get_by_role("menuitem").filter(has_text="2 levels").click()
    page.wait_for_timeout(1000)
    page.evaluate("document.activeElement.blur()")
    page.locator("#board").screenshot(path=IMAGES / "level-board.png")
    page.context.close()


def main(steps: Annotated[int, typer.Option(help="Denoising steps of the comparison shown.")] = 30) -> None:
    """Take all pictures again."""
    with (
        tempfile.TemporaryDirectory() as folder,
        server(folder),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        query = _compare(browser, steps)
        _shoot(_page(browser, query), "studio-light")
        _shoot(_page(browser, f"{query}&__theme=dark", color_scheme="dark"), "studio-dark")
        _shoot(_page(browser, query), "studio-results", full=True)
        phone = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True}
        _shoot(_page(browser, query, **phone), "studio-phone")
        library = _page(browser)
        library.get_by_role("tab", name="Library").click()
        _shoot(library, "library")
        tall = {"viewport": {"width": 1280, "height": 1600}}  # what sticks to the window's foot lies at its place
        levels = _compare_levels(browser, steps)
        _level_board(_page(browser, levels, **tall))
        _pyramid(_page(browser, levels, **tall))
        browser.close()


if __name__ == "__main__":
    typer.run(main)
