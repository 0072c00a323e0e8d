"""The library in a real browser: finding, keeping, undoing, comparing, handing on; by mouse and keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from engine.jobs.service import Jobs
from tests.browser.conftest import serious, serving
from tests.browser.library_page import library_page
from tests.jobs import shelf

DRAWN = "() => [...document.querySelectorAll('#library .well img')].every((i) => i.complete && i.naturalWidth > 0)"
HOSTILE = "a <img src=x onerror=alert(1)> fish ${alert(1)} {{value}}"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One server for all tests; each puts the library right again by what it undoes."""
    root = tmp_path_factory.mktemp("library")
    ids = {
        "old": shelf.put(root, shelf.experiment("a red apple"), age_s=9 * 86400),
        "again": shelf.put(root, shelf.experiment("a red apple", tracks=3), age_s=2 * 86400),
        "fish": shelf.put(root, shelf.experiment(HOSTILE, seed=3, height=64, width=96, frames=9), age_s=5000),
        "half": shelf.put(root, shelf.experiment("a banana drifting", seed=11), done=[0, 1], age_s=100),
    }
    with Jobs(root, worker=False) as jobs, serving(library_page(jobs)) as url:
        yield url, jobs, ids


@pytest.fixture
def library(served, new_page):
    url, _, _ = served

    def opened(**options) -> Page:
        page = new_page(url, **options)
        page.set_default_timeout(60_000)
        page.get_by_role("tab", name="Library").click()
        page.wait_for_selector("#library .job")
        return page

    return opened


def prompts(page: Page) -> list[str]:
    return page.locator("#library .job h3").all_inner_texts()


def job(page: Page, served, name: str):
    return page.locator(f"#library [data-id='{served[2][name]}']")


def run(page: Page, served, name: str, number: int):
    return job(page, served, name).locator("input[type=checkbox]").nth(number)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(library, theme):
    page = library(color_scheme=theme)
    page.wait_for_function(DRAWN)
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
    assert serious(page) == []


def test_every_job_is_shown_with_its_pictures_words_and_figures(library, served):
    page = library()
    assert prompts(page) == ["a banana drifting", HOSTILE, "a red apple", "a red apple"]
    half = job(page, served, "half")
    expect(half.locator(".state")).to_have_text("Interrupted")
    assert half.locator(".well img").count() == 2
    expect(half.locator(".missing")).to_have_text("Interrupted")
    again = job(page, served, "again")
    expect(again.locator(".state")).to_have_text("Done")
    expect(again.locator(".meta")).to_contain_text("Seed 7")
    expect(again.locator(".run").nth(1).locator("dl")).to_contain_text("1.20×")
    expect(again.locator(".run").nth(1).locator("svg.glyph rect")).to_have_count(2)
    page.wait_for_function(DRAWN)


def test_search_as_you_type_sorting_and_shelves(library, served):
    page = library()
    box = page.get_by_role("searchbox", name="Search the library")
    box.press_sequentially("RED two-stage")
    expect(page.locator("#library .job")).to_have_count(2)
    expect(page.locator("#library .count")).to_have_text("2 of 4 comparisons")
    box.fill("nothing is called so")
    expect(page.get_by_text("Nothing matches “nothing is called so”")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#library .job")).to_have_count(4)
    page.get_by_label("Order").select_option("oldest")
    expect(page.locator("#library .job").first).to_have_attribute("data-id", served[2]["old"])
    page.get_by_label("Pinned").check(force=True)
    expect(page.get_by_text("Nothing is pinned")).to_be_visible()


def test_pinning_with_the_keyboard_keeps_the_focus_on_the_star(library, served):
    page, jobs = library(), served[1]
    star = job(page, served, "fish").get_by_role("button", name=re.compile("^Pin "))
    star.focus()
    page.keyboard.press("Enter")
    expect(star).to_have_attribute("aria-pressed", "true")
    assert jobs.view(served[2]["fish"]).pinned
    expect(star).to_be_focused()
    page.keyboard.press("Enter")
    expect(star).to_have_attribute("aria-pressed", "false")
    assert not jobs.view(served[2]["fish"]).pinned


def test_deleting_can_be_undone_where_the_focus_then_is(library, served):
    page, jobs, ids = library(), served[1], served[2]
    remove = job(page, served, "fish").get_by_role("button", name=re.compile("^Delete "))
    remove.focus()
    page.keyboard.press("Enter")
    expect(job(page, served, "fish")).to_have_count(0)
    assert jobs.view(ids["fish"]).deleted
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    expect(page.locator("#library .toast")).to_contain_text("Deleted")
    page.keyboard.press("Enter")
    expect(job(page, served, "fish")).to_be_visible()
    assert jobs.view(ids["fish"]).deleted is None
    assert jobs.file(ids["fish"], "00.mp4").is_file()


def test_what_was_deleted_waits_in_the_trash(library, served):
    page, jobs, ids = library(), served[1], served[2]
    page.wait_for_function(DRAWN)
    jobs.delete(ids["half"])
    expect(job(page, served, "half")).to_have_count(0)  # the poll brings it
    page.get_by_label("Deleted").check(force=True)
    expect(job(page, served, "half")).to_contain_text("In the trash")
    page.get_by_role("button", name=re.compile("^Bring back")).click()
    expect(page.get_by_text("The trash is empty")).to_be_visible()
    assert jobs.view(ids["half"]).deleted is None


def test_runs_of_two_jobs_stand_side_by_side_and_their_likeness_is_said(library, served):
    page = library()
    run(page, served, "old", 0).check(force=True)
    expect(page.get_by_role("button", name="Compare")).to_be_disabled()
    expect(job(page, served, "again").locator(".kin")).to_be_visible()
    expect(job(page, served, "fish").locator(".kin")).to_be_hidden()
    run(page, served, "again", 2).check(force=True)
    expect(page.locator("#library .chosen[role=region]")).to_contain_text("same prompt and seed")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("tab", name="Studio")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_label("told")).to_have_value("compare 2: Same prompt and seed.")
    expect(page.locator("#comparator .tile")).to_have_count(2)
    page.wait_for_function(
        "() => [...document.querySelectorAll('#comparator .main video')].filter((v) => v.readyState >= 2).length === 2"
    )
    ids = served[2]
    page.wait_for_function(f"() => location.search === '?compare={ids['old']}.0,{ids['again']}.2'")


def test_no_more_than_eight_runs_are_chosen(library, served):
    page = library()
    boxes = page.locator("#library input[type=checkbox]")
    for number in range(8):
        boxes.nth(number).check(force=True)
    expect(page.locator("#library .chosen[role=region]")).to_contain_text("8 runs")
    expect(boxes.nth(8)).to_be_disabled()
    page.get_by_role("button", name="Clear").click()
    expect(boxes.nth(8)).to_be_enabled()


def test_opening_a_job_fills_the_studio_and_the_address(library, served):
    page = library()
    job(page, served, "again").get_by_role("link", name="a red apple", exact=True).click()
    expect(page.get_by_label("told")).to_have_value("open a red apple")
    page.wait_for_function(f"() => location.search === '?job={served[2]['again']}'")


def test_a_run_plays_under_the_pointer_and_under_the_focus_unless_motion_is_not_wanted(library, served):
    page = library()
    job(page, served, "again").locator(".run").nth(1).hover()
    page.wait_for_function("() => document.querySelector('#library .well video')?.currentTime > 0")
    page.mouse.move(0, 0)
    expect(page.locator("#library .well video")).to_have_count(0)
    run(page, served, "again", 0).focus()
    expect(page.locator("#library .well video")).to_have_count(1)
    calm = library(reduced_motion="reduce")
    job(calm, served, "again").locator(".run").nth(1).hover()
    run(calm, served, "again", 0).focus()
    expect(calm.locator("#library .well video")).to_have_count(0)


def test_an_exported_archive_comes_back_as_a_job_of_its_own(library, served, tmp_path):
    page, jobs, ids = library(), served[1], served[2]
    with page.expect_download() as given:
        job(page, served, "fish").get_by_role("link", name=re.compile("^Export ")).click()
    path = tmp_path / "run.zip"
    given.value.save_as(path)
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Import", exact=True).click()
    choosing.value.set_files(path)
    expect(page.locator("#library .toast")).to_contain_text("Imported")
    expect(page.locator("#library .job")).to_have_count(5)
    new = page.locator("#library .job").first
    expect(new.locator("h3")).to_have_text(HOSTILE)
    found = new.get_attribute("data-id")
    assert found not in ids.values()
    assert jobs.view(found).status == "done"
    jobs.delete(found)
    jobs.purge(found)


def test_a_file_that_is_no_archive_is_refused_in_one_sentence(library, tmp_path: Path):
    page = library()
    path = tmp_path / "run.zip"
    path.write_bytes(b"not a zip")
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Import", exact=True).click()
    choosing.value.set_files(path)
    expect(page.get_by_text("The archive cannot be read")).to_be_visible()
    expect(page.locator("#library .job")).to_have_count(4)


def test_notices_are_shown_until_they_are_dismissed(library, served):
    from engine.jobs.notices import notice

    page, jobs = library(), served[1]
    for old in jobs.notices():
        jobs.dismiss(old.id)
    notice(jobs._store, "worker", "The worker was killed <b>here</b>.")
    told = page.locator("#library .notices li")
    expect(told).to_have_count(1)
    expect(told).to_contain_text("The worker was killed <b>here</b>.")
    told.get_by_role("button").click()
    expect(told).to_have_count(0)
    assert jobs.notices() == []


@pytest.mark.parametrize("width", [390, 1280, 1900])
def test_nothing_is_cut_off_or_too_small_to_touch(library, width):
    page = library(viewport={"width": width, "height": 900}, has_touch=width == 390)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        """() => [...document.querySelectorAll('#library :is(button, select, a.icon, a.plain)')]
            .filter((node) => node.offsetParent)
            .map((node) => [node.getAttribute('aria-label') || node.textContent, node.getBoundingClientRect()])
            .filter(([, box]) => box.height < 40 || box.width < 40 || box.right > innerWidth + 1 || box.left < -1)
            .map(([name]) => name)"""
    )
    assert small == []


def test_it_is_polled_only_while_it_is_looked_at(library):
    page = library()
    polled = re.compile("/run/predict|/queue/join")
    for _ in range(3):
        with page.expect_response(polled):
            pass
    with page.expect_response(lambda answer: "Studio" in (answer.request.post_data or "")):
        page.get_by_role("tab", name="Studio").click()
    asked: list[str] = []
    page.on("request", lambda request: polled.search(request.url) and asked.append(request.url))
    page.wait_for_timeout(7000)  # what must not happen cannot be waited for: three polls and a half
    assert len(asked) <= 1, "one may have been on its way"


def test_an_empty_library_says_what_will_be_here(tmp_path, new_page):
    with Jobs(tmp_path, worker=False) as jobs, serving(library_page(jobs)) as url:
        page = new_page(url)
        page.set_default_timeout(60_000)
        page.get_by_role("tab", name="Library").click()
        expect(page.get_by_role("heading", name="Every comparison you run is kept here")).to_be_visible()
        page.get_by_role("button", name="Go to the studio").click()
        expect(page.get_by_role("tab", name="Studio")).to_have_attribute("aria-selected", "true")
        page.close()  # it would look for its server
