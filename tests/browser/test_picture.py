"""The picture field in a real browser: there for models that take one, filled by file and drop, emptied by keyboard."""

from __future__ import annotations

import base64

import pytest
from playwright.sync_api import Page, expect

from engine.jobs.service import Jobs
from tests.browser.conftest import serious, serving
from tests.experiments.pictures import drawn, saved
from tests.experiments.test_control_video import moving, mp4
from ui.server.web_app import create_app

PHOTO = saved(drawn(300, 200), "JPEG")


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with Jobs(tmp_path_factory.mktemp("data"), worker=False) as jobs, serving(create_app(jobs)) as url:
        yield url, jobs


def choose(page: Page, model: str) -> None:
    page.locator("#model input").click()
    page.locator("[role=option]", has_text=model).click()


def drop(page: Page, target: str) -> None:
    """A file let go of over an element, as a browser tells it."""
    page.evaluate(
        """([target, data]) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), given = new DataTransfer();
          given.items.add(new File([bytes], "photo.jpg", { type: "image/jpeg" }));
          const node = document.querySelector(target);
          for (const kind of ["dragenter", "dragover", "drop"])
            node.dispatchEvent(new DragEvent(kind, { dataTransfer: given, bubbles: true, cancelable: true }));
        }""",
        [target, base64.b64encode(PHOTO).decode()],
    )


def test_a_picture_is_added_shown_removed_and_run_from(new_page, studio):
    url, jobs = studio
    page = new_page(url)
    expect(page.locator("#board [role=slider]").first).to_be_visible()
    expect(page.locator("#image")).to_have_count(0)  # the shipped model takes none
    choose(page, "Wan 2.2 I2V A14B")
    expect(page.locator("#image .frame")).to_have_accessible_name("Add: First frame")
    page.locator("#image input[type=file]").set_input_files(
        {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": PHOTO}
    )
    expect(page.locator("#image .size")).to_have_text("300 × 200")
    expect(page.locator("#image img")).to_be_visible()
    assert serious(page) == []
    page.locator("#image .text", has_text="Remove").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#image .size")).to_have_text("PNG, JPEG or WebP")
    expect(page.locator("#image .frame")).to_be_focused()
    page.locator("#run").click()
    expect(page.get_by_text("starts from a picture, and image is empty")).to_be_visible()
    drop(page, "#board")  # anywhere on the page is as good as on the field
    expect(page.locator("#image .size")).to_have_text("300 × 200")
    page.locator("#run").click()
    expect(page.locator("#stop")).to_be_visible()
    (job,) = jobs.library()
    assert [name for name in jobs.files(job.id) if name.startswith("input-")]
    choose(page, "Emoji-Wan")
    expect(page.locator("#image")).to_have_count(0)


def test_a_control_video_is_added_shown_and_run_from(new_page, studio, tmp_path):
    url, jobs = studio
    page = new_page(url)
    expect(page.locator("#board [role=slider]").first).to_be_visible()
    expect(page.locator("#control-video")).to_have_count(0)
    choose(page, "Wan 2.1 VACE 1.3B")
    expect(page.locator("#image")).to_have_count(0)
    expect(page.locator("#control-video .frame")).to_have_accessible_name("Add: Control video (may be empty)")
    field = page.locator("#control-video input[type=file]")
    field.set_input_files({"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": PHOTO})
    expect(page.locator("#control-video .said")).to_have_text("This takes a video: MP4.")
    field.set_input_files({"name": "short.mp4", "mimeType": "video/mp4", "buffer": mp4(tmp_path)})
    expect(page.locator("#control-video .size")).to_have_text("80 × 48, 9 frames")
    expect(page.locator("#control-video video")).to_be_visible()
    assert serious(page) == []
    page.locator("#run").click()
    expect(page.get_by_text("video has 9 frames and the run 81")).to_be_visible()
    long = mp4(tmp_path, moving(81))
    field.set_input_files({"name": "long.mp4", "mimeType": "video/mp4", "buffer": long})
    expect(page.locator("#control-video .size")).to_have_text("80 × 48, 81 frames")
    page.locator("#run").click()
    expect(page.locator("#stop")).to_be_visible()
    assert any(name.endswith(".mp4") and name.startswith("input-") for name in jobs.files(jobs.library()[0].id))
