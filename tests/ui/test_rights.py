"""Strangers on one server, by events of the page, endpoints of programs and addresses: each has their own."""

from __future__ import annotations

import inspect
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from gradio_client import Client
from gradio_client.exceptions import AppError

from engine.jobs.job_errors import NotFound
from engine.jobs.service import Jobs
from engine.jobs.visitors import NOBODY, Visitor
from tests.browser.conftest import serving
from tests.jobs import shelf
from tests.ui.watched_app import blocks_of
from ui.server.addresses import Addresses
from ui.server.web_app import create_app
from ui.shared.who_asks import cookie_name, named, visitor_of

BASE = "http://127.0.0.1:7860"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    with Jobs(tmp_path_factory.mktemp("public"), worker=False, public=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(jobs):
    return create_app(jobs, Addresses())


class Person:
    """A browser with cookies of its own, that has opened the page."""

    def __init__(self, app, path="/"):
        self.client = TestClient(app, base_url=BASE, raise_server_exceptions=False)
        self.first = self.client.get(path)
        self.numbers = {
            getattr(fn.fn, "__name__", ""): (number, len(fn.inputs))
            for number, fn in blocks_of(self.client).fns.items()
        }

    def call(self, handler: str, data: list[Any] | None = None, event: Any = None):
        number, inputs = self.numbers[handler]
        body = {"fn_index": number, "data": data or [None] * inputs, "event_data": event, "session_hash": "s"}
        return self.client.post("/gradio_api/run/predict", json=body)

    def library(self, action="show", shelf="all", **more):
        answer = self.call("changed", event={"action": action, "query": {"shelf": shelf}, **more})
        return answer.json()["data"][0]

    def api(self, name: str, *data):
        return self.client.post(f"/gradio_api/run/{name}", json={"data": list(data)})


@pytest.fixture
def people(app, jobs):
    """Ann with a job, Bob with none."""
    ann, bob = Person(app), Person(app)
    name = ann.client.cookies[cookie_name(jobs)].partition(".")[0]
    job = jobs.submit(shelf.experiment("ann's secret"), by=Visitor(f"cookie:{name}", "testclient"))
    yield ann, bob, job
    operator = Visitor(operator=True)
    for view in [*jobs.library(by=operator), *jobs.library(deleted=True, by=operator)]:
        if view.deleted is None:
            jobs.delete(view.id, by=operator)
        jobs.purge(view.id, by=operator)


def test_a_visitor_gets_a_name_with_the_page_once(app, jobs):
    person = Person(app)
    cookie = person.first.headers["set-cookie"]
    assert cookie.startswith(f"{cookie_name(jobs)}=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "set-cookie" not in person.client.get("/").headers
    assert "set-cookie" not in TestClient(app, base_url=BASE).get("/healthz").headers
    person.client.cookies.set(cookie_name(jobs), "made.up")
    assert "set-cookie" in TestClient(app, base_url=BASE, cookies={cookie_name(jobs): "made.up"}).get("/").headers


def test_a_spaces_cookie_is_kept_in_its_frame_and_travels_by_https_alone(jobs):
    space = Addresses.from_environment({"SPACE_ID": "a/b", "SPACE_HOST": "a-b.hf.space"})
    cookie = TestClient(create_app(jobs, space), base_url="https://a-b.hf.space").get("/").headers["set-cookie"]
    assert {"HttpOnly", "Secure", "SameSite=None", "Partitioned"} <= set(cookie.split("; "))


def test_where_no_strangers_come_there_is_no_cookie(tmp_path):
    with Jobs(tmp_path, worker=False) as private, TestClient(create_app(private), base_url=BASE) as client:
        assert "set-cookie" not in client.get("/").headers
        assert client.get("/operator/x").status_code == 404


def test_the_library_lists_what_is_theirs_and_what_they_have_opened_by_its_link(people):
    ann, bob, job = people
    assert [card["id"] for card in ann.library()["jobs"]] == [job]
    before = bob.library()
    assert (before["jobs"], before["total"], before["every"]) == ([], 0, 0)
    assert "ann" not in bob.call("changed", event={"action": "show", "query": {"search": "secret"}}).text
    bob.call("left", event={"action": "open", "job": job})
    (card,) = bob.library()["jobs"]
    assert (card["id"], card["yours"]) == (job, False)
    assert ann.library()["jobs"][0]["yours"] is True


@pytest.mark.parametrize("action", ["pin", "unpin", "delete", "restore", "purge", "restart", "dismiss"])
def test_no_event_changes_what_is_anothers_or_the_servers(people, jobs, action):
    _, bob, job = people
    before = jobs.view(job)
    answer = bob.call("changed", event={"action": action, "job": job, "notice": 1, "query": {}})
    assert "not yours" in answer.text or "only the operator" in answer.text
    assert jobs.view(job) == before


def test_stop_and_skip_and_retry_are_theirs_by_event_and_by_endpoint(people, jobs):
    ann, bob, job = people
    before = jobs.view(job)
    for number in (0, 1):
        bob.call("acted", [job], {"action": "skip", "number": number})
    bob.call("acted", [job], {"action": "retry", "number": 0})
    bob.call("stop", [job])
    refused = bob.api("cancel_job", job)
    assert refused.status_code == 400
    assert "not yours" in refused.text
    assert TestClient(bob.client.app, base_url=BASE).post(
        "/gradio_api/run/cancel_job", json={"data": [job]}
    ).status_code == 400  # fmt: skip
    assert jobs.view(job) == before
    ann.call("acted", [job], {"action": "skip", "number": 1})
    assert jobs.view(job).runs[1].skipping
    assert ann.api("cancel_job", job).json()["data"][0]["status"] == "cancelled"
    ann.call("acted", [job], {"action": "retry", "number": 0})
    assert jobs.view(job).status == "queued"
    ann.call("stop", [job])
    assert jobs.view(job).status == "cancelled"


def test_what_is_theirs_they_delete_and_bring_back(people, jobs):
    ann, _, job = people
    assert ann.library("delete", job=job)["total"] == 0
    assert ann.library(shelf="deleted")["total"] == 1
    assert ann.library("restore", job=job)["total"] == 1


def test_the_operators_address_makes_the_operator_who_may_remove_for_good(people, app, jobs):
    ann, bob, job = people
    assert bob.client.get("/operator/made-up", follow_redirects=False).status_code == 404
    answer = bob.client.get(f"/operator/{jobs.signatures.key}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "..")
    assert bob.library()["manage"] is True
    assert ann.library()["manage"] is False
    bob.library("delete", job=job)
    bob.library("purge", job=job)
    with pytest.raises(NotFound):
        jobs.view(job)


def test_a_program_stops_its_own_jobs_with_the_cookie_of_its_first_request(app):
    with serving(app) as url:
        cookie = httpx.get(url).headers["set-cookie"].partition(";")[0]
        known, unknown = (
            Client(url, headers=headers, verbose=False, analytics_enabled=False) for headers in ({"cookie": cookie}, {})
        )
        job = next(iter(known.submit("a cat", ["0.75@50%"], steps=4, api_name="/compare")))["job"]
        with pytest.raises(AppError, match="not yours"):
            unknown.predict(job, api_name="/cancel_job")
        assert unknown.predict(job, api_name="/get_job")["status"] == "queued"
        assert known.predict(job, api_name="/cancel_job")["status"] == "cancelled"


def test_a_name_is_found_among_cookies_of_others_and_what_is_no_name_is_nobodys(jobs):
    given, name = jobs.signatures.give(), cookie_name(jobs)
    for cookies in (f"{name}={given}", f'a={{"b": 1}}; =; ;;x; {name}={given}; z=ü'):
        assert named(cookies, jobs).owner == f"cookie:{given.partition('.')[0]}"
    for cookies in (None, "", f"{name}", f"{name}=x.y", f"other={given}", f"{name}={given};" + "x" * 9000, 7):
        assert named(cookies, jobs) == NOBODY


def test_a_login_is_a_name_of_its_own(jobs):
    class Request:
        client, headers, username = None, {"cookie": "x=1"}, "ann"

    assert visitor_of(Request(), jobs).owner == "login:ann"


def test_every_way_to_change_something_asks_who_does():
    """What changes jobs takes `by`; a new way in that forgets it may do nothing where strangers come."""
    names = ("cancel", "skip", "retry", "pin", "delete", "restore", "purge", "restart_worker", "dismiss", "take_in")
    for name in (*names, "submit", "library", "library_count", "first_to_go"):
        assert "by" in inspect.signature(getattr(Jobs, name)).parameters, name
