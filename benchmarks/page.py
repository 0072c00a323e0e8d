"""How quickly the studio is there: the server after `python app.py`, the widgets after opening the page, a drag.

    python -m benchmarks.page [--rounds 5]

Needs Chromium (`make setup-dev` gets one). A fresh data directory and a cold browser each round; medians are printed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from playwright.sync_api import Browser, sync_playwright

from tests.browser.install import chromium_path

ROOT = Path(__file__).parent.parent
PORT = 7877
URL = f"http://127.0.0.1:{PORT}/"
TRACKS = 8
USABLE = """() => document.querySelector('#board [role=slider]')
    && [...document.querySelectorAll('#comparator video')].some((video) => video.readyState >= 2)"""
FRAMES = """(seconds) => new Promise((done) => {
  const times = [];
  const tick = (now) => {
    times.push(now);
    now - times[0] < seconds * 1000 ? requestAnimationFrame(tick) : done(times);
  };
  requestAnimationFrame(tick);
})"""


@contextmanager
def server(folder: str) -> Iterator[float]:
    """A running studio, and the seconds until it answered."""
    command = [sys.executable, "app.py", "--port", str(PORT), "--data-dir", folder]
    begun = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _answers():
            if process.poll() is not None:
                raise SystemExit("the studio did not start; run `python app.py` to see why.")
            time.sleep(0.02)
        yield time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()


def _answers() -> bool:
    try:
        with urllib.request.urlopen(URL, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _open(browser: Browser) -> float:
    """Seconds from going to the page until the board can be dragged and the example shows its picture."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(URL, wait_until="commit")
    page.wait_for_function(USABLE, polling=20)
    seconds = time.perf_counter() - begun
    context.close()
    return seconds


def _drag(browser: Browser) -> tuple[float, float]:
    """Median and 95th percentile of the milliseconds between frames while a boundary is dragged among eight tracks."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(URL)
    page.wait_for_function(USABLE)
    while page.locator("#board .track").count() < TRACKS + 1:
        page.locator("#board").get_by_role("button", name="Add track").click()
    boundary = page.locator("#board .boundary").first
    boundary.scroll_into_view_if_needed()
    box = boundary.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(f"void (window.frames_ = ({FRAMES})(3))")
    for k in range(150):
        page.mouse.move(x + 60 * ((k % 20) / 10 - 1), y)
    times = page.evaluate("window.frames_")
    page.mouse.up()
    context.close()
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    return statistics.median(gaps), gaps[int(0.95 * len(gaps))]


def main(rounds: Annotated[int, typer.Option(help="Starts of the server and of the browser.")] = 5) -> None:
    """Measure and print."""
    starts, opens, drags = [], [], []
    for _ in range(rounds):
        with (
            tempfile.TemporaryDirectory() as folder,
            server(folder) as start,
            sync_playwright() as playwright,
        ):
            starts.append(start)
            browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
            opens.append(_open(browser))
            drags.append(_drag(browser))
            browser.close()
    print(f"server answers after      {statistics.median(starts):5.2f} s  ({min(starts):.2f} to {max(starts):.2f})")
    print(f"widgets usable after      {statistics.median(opens):5.2f} s  ({min(opens):.2f} to {max(opens):.2f})")
    medians, tails = zip(*drags, strict=True)
    frame, tail = statistics.median(medians), statistics.median(tails)
    print(f"a drag with {TRACKS} tracks      {frame:5.1f} ms a frame, 95 % within {tail:.1f} ms")


if __name__ == "__main__":
    typer.run(main)
