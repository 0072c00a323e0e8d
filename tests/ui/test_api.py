"""The endpoints for programs, over a real connection with gradio_client; and what strangers may not do."""

from __future__ import annotations

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from engine.jobs.limits import Limits
from engine.jobs.service import Jobs
from tests.browser.conftest import serving
from tests.experiments.pictures import drawn, saved
from tests.jobs.conftest import FAKE
from ui.server.web_app import MAX_BODY, create_app


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with Jobs(folder, limits=Limits(waiting_visitor=3), runner=FAKE) as jobs, serving(create_app(jobs)) as url:
        yield url


@pytest.fixture(scope="module")
def client(server):
    return Client(server, verbose=False, analytics_enabled=False)


def test_the_named_endpoints_are_there_and_nothing_else_is_public(client):
    names = set(client.view_api(return_format="dict")["named_endpoints"])
    assert names == {
        "/compare", "/estimate_cost", "/list_models", "/list_presets", "/check_schedule", "/get_job", "/cancel_job",
    }  # fmt: skip


def test_models_and_presets_are_listed(client):
    assert "emoji-wan" in [model["id"] for model in client.predict(api_name="/list_models")]
    presets = {preset["name"]: preset for preset in client.predict(api_name="/list_presets")}
    assert presets["lightx2v-wan_t2v_U"]["resolution_rate"] == [1.0, 0.75]


def test_a_schedule_is_checked_against_a_model(client):
    told = client.predict("0.75@50%", api_name="/check_schedule")
    assert [(stage["width"], stage["last_step"]) for stage in told["stages"]] == [(96, 15), (128, 30)]


def test_a_schedule_may_have_steps_of_its_own(client):
    told = client.predict("0.75@50%/20", "emoji-wan", 30, api_name="/check_schedule")
    assert [stage["last_step"] for stage in told["stages"]] == [10, 20]
    assert (told["steps"], told["lightx2v"]["infer_steps"]) == (20, 20)
    told = client.predict("flat@25", "wan2.1-14b", 50, api_name="/estimate_cost")
    assert told["speedup_by_flops"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        ("/etc/passwd", "must be one of"),
        ("flat@0", "whole number in 1..1000"),
        ("nope@15", "must be one of"),
        ("../../presets/u-0.75.json", "must be one of"),
        ('{"infer_steps": 30, "changing_resolution": true, "resolution_rate": [NaN]}', "NaN"),
        ("0.01@50%", "smallest legal rate"),
    ],
)
def test_a_bad_schedule_is_refused_in_one_sentence(client, schedule, sentence):
    with pytest.raises(AppError, match=sentence):
        client.predict(schedule, api_name="/check_schedule")


def test_a_track_by_levels_is_checked_and_costed(client):
    told = client.predict("levels=2,overlap=none", "emoji-hpdm", 56, api_name="/check_schedule")
    assert [(stage["width"], stage["last_step"]) for stage in told["stages"]] == [(16, 32), (32, 48)]
    assert (told["levels"]["overlap"], told["lightx2v"]) == ("none", None)
    cost = client.predict("levels=2,overlap=none", "emoji-hpdm", 56, api_name="/estimate_cost")
    assert cost["speedup_by_flops"] > 5
    assert cost["source"] == "none"


def test_the_two_kinds_of_tracks_are_not_taken_for_each_other(client):
    with pytest.raises(AppError, match="has no levels"):
        client.predict("levels=2", "emoji-wan", api_name="/check_schedule")
    with pytest.raises(AppError, match="resolution schedule"):
        client.predict("0.5@50%", "emoji-hpdm", api_name="/check_schedule")
    with pytest.raises(AppError, match=r"in 1\.\.8"):
        client.predict("levels=9", "emoji-hpdm", api_name="/check_schedule")


def test_models_say_their_levels(client):
    levels = {model["id"]: model["levels"] for model in client.predict(api_name="/list_models")}
    assert (levels["emoji-hpdm"], levels["emoji-wan"]) == (3, None)


def test_a_cost_is_estimated_without_weights(client):
    told = client.predict("0.5@50%", "wan2.1-14b", 50, api_name="/estimate_cost")
    assert told["speedup_by_flops"] == pytest.approx(1.8, abs=0.05)
    assert told["seconds"] is None
    assert told["source"] == "none"


def test_compare_yields_its_job_until_it_is_done(client):
    job = client.submit("{}", ["0.5@50%", "u-0.75"], api_name="/compare")
    states = list(job)
    assert states[-1]["status"] == "done"
    assert [run["status"] for run in states[-1]["runs"]] == ["done"] * 3
    assert states[-1]["report"]["runs"][0]["name"] == "baseline"
    again = client.predict(states[-1]["job"], api_name="/get_job")
    assert again["files"]["report.json"].endswith("report.json")


def test_a_comparison_goes_on_when_its_client_has_left(client, server):
    job = client.submit('{"step_s": 0.02}', ["0.5@50%"], api_name="/compare")
    first = next(iter(job))
    job.cancel()
    while (state := client.predict(first["job"], api_name="/get_job"))["status"] in ("queued", "running"):
        pass
    assert state["status"] == "done"


def test_cancel_by_id(client):
    job = client.submit('{"step_s": 5}', ["0.5@50%"], api_name="/compare")
    found = next(iter(job))
    client.predict(found["job"], api_name="/cancel_job")
    assert list(job)[-1]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"prompt": "", "schedules": []}, "prompt is empty"),
        ({"prompt": "{}", "schedules": [], "steps": 10**9}, "1..1000"),
        ({"prompt": "{}", "schedules": [], "steps": 900}, "at most 200"),
        ({"prompt": "{}", "schedules": [], "height": 8192}, "height is 8192"),
        ({"prompt": "{}", "schedules": ["flat"] * 30}, "at most"),
        ({"prompt": "{}", "schedules": [], "model": "/etc"}, "not in the catalogue"),
        ({"prompt": "{}", "schedules": [], "seed": -1}, "seed is -1"),
    ],
)
def test_compare_refuses_in_one_sentence_before_anything_runs(client, arguments, sentence):
    with pytest.raises(AppError, match=sentence):
        client.predict(**arguments, api_name="/compare")


@pytest.mark.parametrize(
    "path",
    [
        "media/../app.py", "media/x/y", "media/AAAAAAAAAAAAAAAA/report.json", "media/example/nothing",
        "media/example/..%2f__init__.py", "media/example/%2e%2e/server.py",
        "gradio_api/file=/etc/passwd", "gradio_api/file=app.py",
    ],
)  # fmt: skip
def test_no_file_but_a_jobs_own_is_handed_out(server, path):
    assert httpx.get(f"{server}/{path}").status_code in (403, 404)


def test_the_examples_videos_are_served_with_ranges(server):
    found = httpx.get(f"{server}/media/example/00.mp4", headers={"Range": "bytes=0-99"})
    assert (found.status_code, len(found.content), found.headers["content-type"]) == (206, 100, "video/mp4")


def test_a_request_larger_than_any_honest_one_is_refused(server):
    assert httpx.post(f"{server}/gradio_api/queue/join", content=b"x" * (MAX_BODY + 1)).status_code == 413


def test_health(server):
    assert httpx.get(f"{server}/healthz").json()["status"] == "ok"


def test_a_picture_is_sent_and_then_named(client, server):
    sent = httpx.post(f"{server}/inputs", content=saved(drawn(300, 200))).json()
    settings = {"model": "wan2.2-i2v-a14b", "steps": 6, "height": 64, "width": 96, "frames": 5, "api_name": "/compare"}
    told = client.predict("a red apple", ["u-0.75"], image=sent["sha256"], **settings)
    assert f"input-{sent['sha256']}.png" in told["files"]
    for image, sentence in ((None, "image is empty"), ("0" * 64, "not here"), ("../x", "not here")):
        with pytest.raises(AppError, match=sentence):
            client.predict("a red apple", ["u-0.75"], image=image, **settings)
