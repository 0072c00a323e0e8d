"""Faults 14 to 18 through the raw API: what no honest client sends is refused in a sentence, nothing is stored."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient

from engine.errors import InvalidInput
from engine.experiments.presets import PRESETS, load_preset, preset_names
from engine.jobs.job_errors import OverLimit
from engine.jobs.limits import Limits
from engine.jobs.service import Jobs
from tests.faults.arguments import LAST, NULLS
from tests.faults.conftest import resident
from tests.jobs.conftest import experiment
from ui.server.web_app import create_app

RATES = ("NaN", "Infinity", "-Infinity", "-0.5", "0", "1e999", '"0.5"', "true", "null", "[]", "{}")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with Jobs(tmp_path_factory.mktemp("data"), worker=False) as jobs, TestClient(create_app(jobs)) as client:
        yield jobs, client


def refused(client: TestClient, name: str, body: str) -> str:
    """The sentence with which an endpoint refuses a body of raw JSON."""
    headers = {"content-type": "application/json"}
    begun = client.post(f"/gradio_api/call/{name}", content=body, headers=headers)
    if begun.status_code != 200:
        assert begun.status_code in (400, 422), begun.text
        return begun.text
    lines = client.get(f"/gradio_api/call/{name}/{begun.json()['event_id']}").text.splitlines()
    assert "event: error" in lines, lines
    return json.loads(lines[lines.index("event: error") + 1].removeprefix("data: "))["error"]


def config(rates: str, switches: str = "[10]", steps: str = "30") -> str:
    """A LightX2V config as JSON text, whose values may be no JSON at all."""
    return (
        f'{{"infer_steps": {steps}, "changing_resolution": true, "resolution_rate": {rates},'
        f' "changing_resolution_steps": {switches}}}'
    )


def compared(client: TestClient, schedule: str, steps: str = "30", size: str = "null, null, null") -> str:
    """The sentence of `compare` for one schedule."""
    body = (
        f'{{"data": ["{{}}", [{json.dumps(schedule)}], "emoji-wan", 0, {steps}, "coherent", null, {size},'
        f" null, null, null, false, {NULLS}]}}"
    )
    return refused(client, "compare", body)


@pytest.mark.parametrize("rate", RATES)
def test_a_rate_that_is_none_is_refused_by_the_raw_api_before_the_queue(served, rate):
    jobs, client = served
    for said in (
        compared(client, config(f"[{rate}]")),
        refused(client, "check_schedule", json.dumps({"data": [config(f"[{rate}]"), "emoji-wan", 30]})),
    ):
        assert "resolution_rate" in said or rate in said or "too large" in said, said
        assert "Traceback" not in said
    assert jobs.library_count() == 0


@pytest.mark.parametrize("steps", ["NaN", "Infinity", "1e999", '"30"', "true", "0", "-1", "1000000000", "[]"])
def test_steps_that_are_none_are_refused_by_the_raw_api(served, steps):
    jobs, client = served
    said = compared(client, "0.5@50%", steps)
    assert "steps" in said or "NaN" in said, said
    assert jobs.library_count() == 0


@pytest.mark.parametrize(
    ("rates", "switches", "steps", "words"),
    [
        ("[0.5]", "[0]", "30", "1..29"),
        ("[0.5]", "[30]", "30", "1..29"),
        ("[0.5]", "[31]", "30", "1..29"),
        ("[0.5, 0.75]", "[10, 10]", "30", "repeats"),
        ("[0.5, 0.75]", "[20, 10]", "30", "comes before"),
        ("[0.5]", "[1]", "1", "leaves no room for a switch"),
        ("[0.03]", "[10]", "30", "smallest legal rate"),
        ("[1e-300]", "[10]", "30", "smallest legal rate"),
    ],
)
def test_a_schedule_that_cannot_be_run_is_refused_by_the_raw_api_with_the_legal_range(
    served, rates, switches, steps, words
):
    jobs, client = served
    assert words in compared(client, config(rates, switches, steps), steps)
    assert jobs.library_count() == 0


@pytest.mark.parametrize("prompt", ['""', '" "', '"a\\u0000b"', '"a\\ud800b"', json.dumps("x" * 2**20), "null", "7"])
def test_a_prompt_that_is_no_text_or_too_long_is_refused_by_the_raw_api(served, prompt):
    jobs, client = served
    rest = f', [], "emoji-wan", 0, 4, "coherent", {", ".join(["null"] * 7)}, false, {NULLS}]}}'
    said = refused(client, "compare", f'{{"data": [{prompt}{rest}')
    assert "prompt" in said or "surrogate" in said or "JSON" in said, said
    assert len(said) < 300
    assert jobs.library_count() == 0


@pytest.mark.parametrize(
    "text",
    ['{"infer_steps": 30', "\ufeff{}", "[" * 40_000, '{"a": 1, "a": 2}', "[1, 2]", '{"a": "' + "x" * 70_000 + '"}'],
    ids=["truncated", "BOM", "deep", "twice", "list", "long"],
)
def test_a_malformed_preset_is_refused_by_the_raw_api(served, text):
    jobs, client = served
    said = compared(client, text)
    assert len(said) < 1000
    assert "Traceback" not in said
    assert jobs.library_count() == 0


def test_a_damaged_preset_leaves_the_others_usable(tmp_path):
    for name in preset_names():
        (tmp_path / f"{name}.json").write_bytes((PRESETS / f"{name}.json").read_bytes())
    broken, *whole = preset_names(tmp_path)
    (tmp_path / f"{broken}.json").write_bytes(b'{"infer_steps": 50')
    with pytest.raises(InvalidInput, match=rf"{broken}.*not complete, valid JSON"):
        load_preset(broken, 30, tmp_path)
    assert [load_preset(name, 30, tmp_path).schedule for name in whole]


@pytest.mark.parametrize(
    ("size", "steps", "words"),
    [
        ("8192, 8192, null", "30", "8192"),
        ("128, 128, 1000001", "30", "frames"),
        ("null, null, null", "1000000000", "1..1000"),
        ("null, null, null", "900", "The comparison would cost"),
        ("2048, 2048, null", "30", "positions for at most 1024"),
    ],
)
def test_what_is_far_too_large_is_refused_while_memory_stays(served, size, steps, words):
    jobs, client = served
    compared(client, "0.5@50%", steps, size)
    before = resident()
    for _ in range(5):
        assert words in compared(client, "0.5@50%", steps, size)
    assert resident() < before + 20e6
    assert jobs.library_count() == 0


def test_five_hundred_schedules_are_refused(served):
    jobs, client = served
    body = {"data": ["{}", ["0.5@50%"] * 500, "emoji-wan", 0, 30, "coherent", *[None] * 7, False, *[None] * LAST]}
    assert "at most" in refused(client, "compare", json.dumps(body))
    assert jobs.library_count() == 0


def test_a_refusal_by_the_table_of_limits_allocates_nothing():
    asked = experiment(tracks=7, steps=4)
    before = resident()
    for _ in range(200):
        with pytest.raises(OverLimit, match=r"at most 1 .*\. The comparison would cost 8 runs of 4 steps"):
            Limits(work=1).check(asked)
    assert resident() < before + 5e6
