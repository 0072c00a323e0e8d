"""The pyramid view on a page of its own: values to show, and what a person sees there."""

from __future__ import annotations

import numpy as np
from playwright.sync_api import Locator, Page

from tests.reports.test_html import found
from tests.ui.test_pyramid_value import CONFIG, level, report
from ui.pyramid.pyramid_value import Pyramid, pyramid_of

FPS, FRAMES = 8.0, 16
BITS = 4


def numbered(place: int) -> np.ndarray:
    """Frames (T, H, W, 3) uint8 of a level whose bars spell their own number in binary, the lowest bit leftmost."""
    frames, height, width = CONFIG.size(place)
    lit = (np.arange(frames)[:, None] >> (np.arange(width) * BITS // width)[None]) & 1
    return np.broadcast_to(lit[:, None, :, None] * 255, (frames, height, width, 3)).astype(np.uint8)


def coloured() -> np.ndarray:
    """Level 1 in colours that change from pixel to pixel."""
    return np.random.default_rng(3).integers(40, 216, (1, 16, 16, 3)).astype(np.uint8).repeat(4, 0)


def levels(overlap: str = "spatial", **finest: object) -> list[dict[str, object]]:
    return [level(1, overlap), level(2, overlap), level(3, overlap, **finest)]


def pyramid(*runs: list[dict[str, object]]) -> Pyramid:
    """A pyramid of runs whose tiles overlap, or do not, in turn."""
    whole = report(*runs).model_dump(mode="json") | {"fps": FPS, "size": {"width": 64, "height": 64, "frames": FRAMES}}
    for run, overlap in zip(whole["runs"], ("spatial", "none", "full"), strict=True):
        run["levels"] = run["levels"] and {"levels": 3, "overlap": overlap}
    return pyramid_of(type(found()).model_validate(whole), lambda name: f"/files/{name}", "job")


def ready(page: Page) -> None:
    page.wait_for_function(
        "document.querySelector('.stand video') && !document.querySelector('.run:not([hidden]) .fault:not([hidden])')"
    )


def picture(page: Page, place: int, run: int = 0) -> Locator:
    return page.locator(".run:visible").nth(run).locator(".picture").nth(place)


def read(page: Page) -> list[int]:
    """The numbers that the levels' bars spell, once no video is on its way."""
    page.wait_for_function("[...document.querySelectorAll('.run video')].every((v) => v.paused && !v.seeking)")
    return page.evaluate(
        """(bits) => [...document.querySelectorAll('.run:not([hidden]) video')].map((video) => {
          const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight), pen = canvas.getContext("2d");
          pen.drawImage(video, 0, 0);
          const row = pen.getImageData(0, canvas.height >> 1, canvas.width, 1).data;
          return [...Array(bits).keys()].reduce((sum, bar) =>
            sum + ((row[4 * Math.floor((bar + 0.5) * canvas.width / bits)] > 127) << bar), 0);
        })""",
        BITS,
    )


def toggle(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
