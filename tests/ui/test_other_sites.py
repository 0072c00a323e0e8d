"""What other sites send is refused and what they ask is not theirs to read: hosts, origins, proxies, headers, time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from engine.errors import InvalidInput
from engine.jobs.service import Jobs
from ui.server import web_app
from ui.server.addresses import Addresses

EVIL = "http://evil.example"
RUN = "/gradio_api/run/list_models"
BARE = Addresses.from_environment({})


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    with Jobs(tmp_path_factory.mktemp("sites"), worker=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(jobs):
    """As nobody has set anything."""
    return web_app.create_app(jobs, BARE)


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False) as opened:
        yield opened


def in_a_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run it to its end in a thread of its own: that of the tests may have a browser's loop running."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def asked(app, base="http://127.0.0.1:7860", peer="127.0.0.1") -> TestClient:
    return TestClient(app, base_url=base, client=(peer, 50000), raise_server_exceptions=False)


def ran(client: TestClient, **headers: str) -> int:
    return client.post(RUN, json={"data": []}, headers={k.replace("_", "-"): v for k, v in headers.items()}).status_code


# ---- hosts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:1", "[::1]", "[::1]:7860", "localhost", "LOCALHOST:80", "192.168.1.5"])
def test_an_address_in_figures_and_localhost_are_answered(client, host):
    assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:7881", "127.0.0.1.evil.example", "localhost.evil.example", "x@127.0.0.1", "[::1].evil.example", ""],
)
@pytest.mark.parametrize("path", ["/", "/config", "/healthz", "/media/example/report.json", "/gradio_api/info"])
def test_a_name_that_is_not_ours_is_refused_and_the_sentence_names_the_setting(client, host, path):
    answer = client.get(path, headers={"host": host})
    assert answer.status_code == 421
    assert "RESOLUTE_HOSTS" in answer.json()["error"]


@pytest.mark.parametrize(
    ("environ", "given", "host", "answered"),
    [
        ({"RESOLUTE_HOSTS": "studio.example.org, *.lan"}, "", "studio.example.org:443", True),
        ({"RESOLUTE_HOSTS": "studio.example.org, *.lan"}, "", "box.lan", True),
        ({"RESOLUTE_HOSTS": "studio.example.org, *.lan"}, "", "lan", False),
        ({"RESOLUTE_HOSTS": "studio.example.org"}, "", "a.studio.example.org", False),
        ({"SPACE_ID": "a/b", "SPACE_HOST": "a-b.hf.space"}, "", "a-b.hf.space", True),
        ({"SPACE_ID": "a/b", "SPACE_HOST": "a-b.hf.space"}, "", "c-d.hf.space", False),
        ({"SPACE_ID": "a/b"}, "", "a-b.hf.space", True),
        ({}, "", "a-b.hf.space", False),
        ({}, "box.local", "box.local:7860", True),
        ({}, "0.0.0.0", "box.local:7860", False),
    ],
)
def test_the_operators_names_are_answered(environ, given, host, answered):
    assert Addresses.from_environment(environ, host=given).answers_to(host) is answered


@pytest.mark.parametrize(
    ("key", "value"),
    [("RESOLUTE_HOSTS", "https://a.org"), ("RESOLUTE_HOSTS", "*"), ("RESOLUTE_HOSTS", "a.org:80"),
     ("RESOLUTE_ORIGINS", "a.org"), ("RESOLUTE_ORIGINS", "*"), ("RESOLUTE_ORIGINS", "https://a.org/x")],
)  # fmt: skip
def test_a_setting_that_means_nothing_is_refused_at_the_start(key, value):
    with pytest.raises(InvalidInput, match=key):
        Addresses.from_environment({key: value})


# ---- origins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["http://127.0.0.1:7860", "http://192.168.1.5:7860", "http://[::1]:7860"])
def test_our_own_page_and_programs_act_and_pages_of_others_do_not(app, base):
    client = asked(app, base)
    assert ran(client) == 200
    assert ran(client, origin=base, sec_fetch_site="same-origin") == 200
    for origin in (EVIL, "null", "http://127.0.0.1:9001", "http://localhost:7860", "file://", "", f"{base}0"):
        assert ran(client, origin=origin) == 403, origin
    for site in ("cross-site", "same-site"):
        assert ran(client, sec_fetch_site=site) == 403
        assert ran(client, origin=base, sec_fetch_site=site) == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/inputs", "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/cancel", "/x"]
)
def test_whatever_changes_something_is_refused_from_another_origin(client, method, path):
    assert client.request(method, path, headers={"origin": EVIL}).status_code == 403


@pytest.mark.parametrize("base", ["http://127.0.0.1:7860", "http://192.168.1.5:7860"])
@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:9"])
def test_no_answer_is_another_origins_to_read(app, base, origin):
    client = asked(app, base)
    for path in ("/", "/config", "/gradio_api/info", "/healthz", "/media/example/report.json"):
        answer = client.get(path, headers={"origin": origin})
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers
    asks = {"origin": origin, "access-control-request-method": "POST"}
    assert client.options(RUN, headers=asks).status_code == 400


def test_pages_behind_a_proxy_that_changes_the_host_act_where_their_origin_is_named(jobs):
    named = Addresses.from_environment({"RESOLUTE_ORIGINS": "https://studio.example.org"})
    client = asked(web_app.create_app(jobs, named))
    assert ran(client, origin="https://studio.example.org") == 200
    assert ran(client, origin="http://studio.example.org") == 403
    assert ran(client, origin="https://studio.example.org.evil.example") == 403


# ---- proxies ---------------------------------------------------------------------------------------------------

FORWARDED = {"x-forwarded-host": "studio.example.org", "x-forwarded-proto": "https", "x-forwarded-for": "6.6.6.6"}


def seen_of(addresses: Addresses, peer: str, headers: dict[str, str]) -> dict:
    """What the page sees of a request: its client, scheme and headers."""
    from ui.server.other_sites import Proxies

    found: dict = {}

    async def page(scope, receive, send):
        found.update(scope)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "scheme": "http", "client": (peer, 5), "headers": raw}
    in_a_loop(Proxies(page, addresses)(scope, None, None))
    return {"client": found["client"][0], "scheme": found["scheme"], "headers": dict(found["headers"])}


def test_forwarded_headers_are_believed_only_of_a_named_proxy():
    asks = {"host": "127.0.0.1:7860", "x-gradio-server": "http://evil.example", "forwarded": "for=6.6.6.6", **FORWARDED}
    nobody = seen_of(BARE, "127.0.0.1", asks)
    assert (nobody["client"], nobody["scheme"]) == ("127.0.0.1", "http")
    assert nobody["headers"] == {b"host": b"127.0.0.1:7860"}
    named = Addresses.from_environment({"FORWARDED_ALLOW_IPS": "127.0.0.1, 10.0.0.0/8"})
    assert seen_of(named, "192.168.1.9", asks) == nobody | {"client": "192.168.1.9"}
    for peer in ("127.0.0.1", "10.1.2.3"):
        believed = seen_of(named, peer, asks)
        assert (believed["client"], believed["scheme"]) == ("6.6.6.6", "https")
        assert believed["headers"][b"host"] == b"studio.example.org"
        assert b"x-gradio-server" not in believed["headers"]


def test_uvicorn_itself_believes_no_forwarded_header():
    assert web_app.SERVER["proxy_headers"] is False


def test_a_forwarded_host_is_no_way_around_the_hosts_and_does_not_name_the_pages_address(app, jobs):
    text = asked(app).get("/", headers={"x-forwarded-host": "evil.example"}).text
    assert "evil.example" not in text
    proxied = Addresses.from_environment({"FORWARDED_ALLOW_IPS": "127.0.0.1", "RESOLUTE_HOSTS": "studio.example.org"})
    client = asked(web_app.create_app(jobs, proxied))
    assert client.get("/config", headers={"x-forwarded-host": "evil.example"}).status_code == 421
    config = client.get("/config", headers=FORWARDED)
    assert config.json()["root"] == "https://studio.example.org"
    assert ran(client, **FORWARDED, origin="https://studio.example.org") == 200
    assert ran(client, **FORWARDED, origin="http://studio.example.org") == 403
    assert ran(client, **FORWARDED, origin="http://127.0.0.1:7860") == 403


# ---- what every answer says --------------------------------------------------------------------------------------


def test_every_answer_says_who_may_frame_it_and_what_it_is(client):
    upload = client.post("/gradio_api/upload", files={"files": ("a.txt", b"x")}).json()[0]
    paths = ["/", "/config", "/theme.css", "/gradio_api/info", f"/gradio_api/file={upload}", "/nothing", "/healthz",
             "/media/example/report.json", "/gradio_api/queue/data?session_hash=none", "/inputs/x.png"]  # fmt: skip
    answers = [client.get(path) for path in paths]
    answers += [client.get("/", headers={"host": "evil.example"}), client.post(RUN, headers={"origin": EVIL})]
    for answer in answers:
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"], answer.url
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] in ("same-origin", "no-referrer")
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert [client.get(path).headers["cache-control"] for path in ("/", "/config")] == ["no-store"] * 2


def test_a_spaces_page_may_be_framed_by_the_hub_and_by_nobody_else(jobs):
    space = Addresses.from_environment({"SPACE_ID": "a/b", "SPACE_HOST": "a-b.hf.space"})
    policy = asked(web_app.create_app(jobs, space), "https://a-b.hf.space").get("/").headers["content-security-policy"]
    assert policy.endswith("frame-ancestors 'self' https://huggingface.co https://*.hf.space")


# ---- time, length, log -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pause_s", [3600, 0.01], ids=["silent", "slow"])
def test_a_body_that_does_not_come_or_comes_too_slowly_is_not_waited_for(app, monkeypatch, pause_s):
    monkeypatch.setattr(web_app, "SILENCE_S", 0.05)
    sent: list[dict] = []

    async def receive():
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message):
        sent.append(message)

    async def ask():
        headers = [(b"host", b"127.0.0.1"), (b"content-length", b"1000"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": RUN, "raw_path": RUN.encode(), "query_string": b"",
                 "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860), "scheme": "http",
                 "http_version": "1.1", "root_path": ""}  # fmt: skip
        await asyncio.wait_for(app(scope, receive, send), 5)

    in_a_loop(ask())
    assert sent[0]["status"] == 413


def test_headers_longer_than_any_honest_ones_are_refused(client):
    assert client.get("/healthz", headers={"x-long": "x" * 40_000}).status_code == 431


@pytest.mark.parametrize(
    "path", ["queue/data?session_hash=nobody", "queue/data", "call/compare/nobody", "call/v2/compare/nobody"]
)
def test_asking_for_a_session_that_is_not_there_costs_one_answer_and_no_log(client, path, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        assert client.get(f"/gradio_api/{path}").status_code == 404
    assert "Traceback" not in capfd.readouterr().err + caplog.text
