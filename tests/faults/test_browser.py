"""Faults 3, 19 and 21 in a real browser: tabs that are closed, and texts and addresses that are attacks."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from engine.errors import InvalidInput
from engine.experiments.settings import MAX_PROMPT
from engine.jobs.service import Jobs
from tests.browser.conftest import serving
from tests.jobs import shelf
from tests.jobs.conftest import FAKE, at_step, experiment, finished
from ui.server.web_app import create_app

PROMPTS = {
    "right to left": "תפוח אדום على خلفية زرقاء reversed",
    "emoji": "a 🍎 with 👩‍👩‍👧‍👦 and 🏳️‍🌈",
    "combining": "Z͑ͫ̓ͪ̂ͫa̴l̵g̶o̷ ﷽ naïve",
    "script": "<script>window.struck = 1</script>",
    "attribute": '"><img src=x onerror="window.struck = 1">',
    "template": "${window.struck = 1}{{window.struck = 1}}`",
    "sql": "'; DROP TABLE jobs; --",
    "long": "word " * 399 + "end",
}


@pytest.fixture
def studio(tmp_path):
    """The app with the fake runner: its jobs and its address."""
    with Jobs(tmp_path / "data", runner=FAKE) as jobs, serving(create_app(jobs)) as url:
        yield jobs, url


def shown(new_page, url: str) -> Page:
    page = new_page(url)
    expect(page.locator("#board [role=slider]").first).to_be_visible()
    return page


def submit(new_page, url: str, **faults: object) -> tuple[Page, str]:
    """Run a comparison as a visitor does; the page, and the job's id from its address."""
    page = shown(new_page, url)
    for name, value in (("prompt", json.dumps(faults)), ("steps", "8")):
        box = page.locator(f"#{name} input, #{name} textarea").first
        box.fill(value)
        box.press("Tab")
    expect(page.locator("#board")).to_contain_text("8 steps")
    page.locator("#run").click()
    page.wait_for_function("location.search.includes('job=')")
    return page, page.evaluate("new URLSearchParams(location.search).get('job')")


def test_a_browser_that_is_closed_in_the_middle_finds_its_run_and_its_result_by_the_address(studio, new_page):
    jobs, url = studio
    page, job = submit(new_page, url, step_s=0.1, hold=[1, 2])
    at_step(jobs, job, 0, 2)
    page.context.close()
    at_step(jobs, job, 1, 1)  # the run goes on without it
    again = shown(new_page, f"{url}/?job={job}")
    expect(again.locator("#stop")).to_be_visible()
    expect(again.locator("#comparator")).to_contain_text("baseline")
    again.context.close()
    (jobs.data.root / "go").touch()
    assert finished(jobs, job).status == "done"
    last = shown(new_page, f"{url}/?job={job}")
    expect(last.locator("#comparator video")).to_have_count(len(jobs.view(job).runs))


def test_a_browser_that_is_closed_while_its_job_waits_keeps_its_place_in_the_queue(studio, new_page):
    jobs, url = studio
    ahead = jobs.submit(experiment(steps=60, step_s=1))
    page, job = submit(new_page, url)
    assert jobs.view(job).position == 1
    page.context.close()
    behind = jobs.submit(experiment())
    assert [jobs.view(one).position for one in (job, behind)] == [1, 2]
    again = shown(new_page, f"{url}/?job={job}")
    expect(again.locator("#stop")).to_be_visible()
    again.context.close()
    jobs.cancel(ahead)
    assert [finished(jobs, one).status for one in (job, behind)] == ["done", "done"]
    assert jobs.view(job).started < jobs.view(behind).started
    last = shown(new_page, f"{url}/?job={job}")
    expect(last.locator("#comparator video")).to_have_count(len(jobs.view(job).runs))


def test_any_prompt_goes_round_database_json_and_page_as_text_and_into_no_path(tmp_path, new_page):
    root = tmp_path / "data"
    ids = {name: shelf.put(root, shelf.experiment(text, tracks=1)) for name, text in PROMPTS.items()}
    with Jobs(root, worker=False) as jobs, serving(create_app(jobs)) as url:
        for name, job in ids.items():
            assert jobs.view(job).prompt == PROMPTS[name]  # the row
            assert jobs.report(job).prompt == PROMPTS[name]  # the report's JSON
        for name in ("right to left", "emoji", "script", "attribute", "template"):
            job = ids[name]
            page = shown(new_page, f"{url}/?job={job}")
            expect(page.locator("#prompt textarea")).to_have_value(PROMPTS[name])
            page.wait_for_function(
                "(start) => document.querySelector('#comparator').textContent.includes(start)", arg=PROMPTS[name][:20]
            )
            assert page.evaluate("window.struck") is None
            page.context.close()
        page = shown(new_page, url)
        page.get_by_role("tab", name="Library").click()
        expect(page.locator("#library ol.jobs > li")).to_have_count(len(ids))
        said = page.locator("#library ol.jobs").evaluate("(list) => list.textContent")
        assert all(text[:20] in said for text in PROMPTS.values())
        assert page.evaluate("window.struck") is None
        page.context.close()
        assert {path.name for path in jobs.data.jobs.iterdir()} == set(ids.values())


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("a\x00b", r"U\+0000"),
        ("a\ud800b", "surrogate"),
        ("x" * 2**20, f"{MAX_PROMPT:,}"),
    ],
    ids=["empty", "blank", "NUL", "lone surrogate", "1 MB"],
)
def test_a_prompt_that_is_no_text_or_too_long_is_refused(prompt, words):
    with pytest.raises(InvalidInput, match=words) as refused:
        shelf.experiment(prompt)
    assert refused.value.field == "prompt"
    assert len(str(refused.value)) < 200


def test_a_prompt_that_is_empty_is_refused_on_the_page_and_a_longer_one_than_legal_cannot_be_typed(studio, new_page):
    jobs, url = studio
    page = shown(new_page, url)
    page.locator("#prompt textarea").fill("x" * (MAX_PROMPT + 1))
    expect(page.locator("#prompt textarea")).to_have_value("x" * MAX_PROMPT)
    page.locator("#prompt textarea").fill(" ")
    page.locator("#run").click()
    expect(page.get_by_text("prompt is empty").first).to_be_visible()
    assert jobs.library_count() == 0
    page.context.close()


def test_addresses_that_are_attacks_show_a_sentence_and_the_studio(studio, new_page):
    _, url = studio
    for job in ("../../etc/passwd", "%252e%252e%2500", "<script>window.struck=1</script>"):
        page = shown(new_page, f"{url}/?job={job}")
        expect(page.get_by_text("there is no such job").first).to_be_visible()
        assert page.evaluate("window.struck") is None
        page.context.close()
