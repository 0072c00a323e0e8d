"""What pages of other sites try in a real browser, and what must work: the studio by its names, by a proxy, framed.

Names are made to point at this machine as an attacker's are: `evil.test` is theirs, `lan.test` is ours.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, BrowserContext, Page, expect

from engine.jobs.service import Jobs
from tests.browser.conftest import serving
from tests.browser.install import chromium_path
from tests.jobs import shelf
from tests.jobs.conftest import until
from tests.ui.watched_app import events_of
from ui.server.addresses import Addresses
from ui.server.web_app import create_app

HUB, SPACE = "huggingface.co", "me-studio.hf.space"
SCRIPT = (Path(__file__).parent / "attacks.js").read_text("utf-8").partition("\n")[2].strip()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory) -> Iterator[Jobs]:
    root = tmp_path_factory.mktemp("attacked")
    shelf.put(root, shelf.experiment("a victim's prompt"))
    with Jobs(root, worker=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def job(jobs) -> str:
    return jobs.library()[0].id


@pytest.fixture(scope="module")
def shows(jobs) -> int:
    """The number of the library's event, as every browser knows it from /config."""
    return events_of(TestClient(create_app(jobs, Addresses())))["changed"]


class Heard:
    """An app, and how it answered what changes something: method, path, status."""

    def __init__(self, app: FastAPI, answers: list[tuple[str, str, int]]) -> None:
        self.app, self.answers = app, answers

    async def __call__(self, scope, receive, send) -> None:
        async def told(message) -> None:
            if message["type"] == "http.response.start" and scope["method"] == "POST":
                self.answers.append((scope["method"], scope["path"], message["status"]))
            await send(message)

        await self.app(scope, receive, told)


@pytest.fixture(scope="module")
def answers() -> list[tuple[str, str, int]]:
    return []


@pytest.fixture(scope="module")
def ports(jobs, answers) -> Iterator[dict[str, str]]:
    """The studio as it is by itself, the studio by a name, and a server of somebody else: by their ports."""
    other = FastAPI()
    other.get("/", response_class=HTMLResponse)(lambda: "<!doctype html><title>somebody else</title><body></body>")
    named = Addresses.from_environment({"RESOLUTE_HOSTS": "lan.test"})
    with contextlib.ExitStack() as stack:
        servers = {
            "bare": Heard(create_app(jobs, Addresses()), answers),
            "named": Heard(create_app(jobs, named), answers),
            "other": other,
        }
        yield {name: stack.enter_context(serving(app)).rpartition(":")[2] for name, app in servers.items()}


@pytest.fixture(scope="module")
def secure_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0)), two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture(scope="module")
def pointed(browser: Browser, secure_ports) -> Iterator[Browser]:
    """A browser for which names of two sites, and those of a Space, point at this machine."""
    rules = [f"MAP {HUB}:443 127.0.0.1:{secure_ports[0]}", f"MAP {SPACE}:443 127.0.0.1:{secure_ports[1]}",
             "MAP *.test 127.0.0.1"]  # fmt: skip
    args = ["--no-sandbox", "--ignore-certificate-errors", f"--host-resolver-rules={','.join(rules)}"]
    opened = browser.browser_type.launch(executable_path=chromium_path(), args=args)
    yield opened
    opened.close()


@pytest.fixture
def context(pointed: Browser) -> Iterator[BrowserContext]:
    opened = pointed.new_context(viewport={"width": 1280, "height": 900}, ignore_https_errors=True)
    opened.set_default_timeout(30_000)
    yield opened
    opened.close()


def tried(page: Page, what: str, *given: object) -> dict[str, str | None]:
    """What a function of `attacks.js` comes back with, run by a page."""
    return page.evaluate(f"(given) => {SCRIPT}.{what}(given)", [*given])


def untouched(jobs: Jobs, job: str) -> bool:
    view = jobs.view(job)
    return (view.deleted, view.pinned, jobs.library_count()) == (None, False, 1)


# ---- what fails ---------------------------------------------------------------------------------------------------

FROM_AND_TO = {
    "another site, to an address": ("http://evil.test:{other}", "http://127.0.0.1:{bare}"),
    "another site, to a name": ("http://evil.test:{other}", "http://lan.test:{named}"),
    "another port of this machine": ("http://127.0.0.1:{other}", "http://127.0.0.1:{bare}"),
    "another port of the name": ("http://lan.test:{other}", "http://lan.test:{named}"),
    "a sibling name": ("http://evil.lan.test:{other}", "http://lan.test:{named}"),
}


@pytest.mark.parametrize("way", FROM_AND_TO)
def test_a_page_from_elsewhere_reads_and_changes_nothing(context, ports, answers, jobs, job, shows, way):
    answers.clear()
    origin, target = (text.format(**ports) for text in FROM_AND_TO[way])
    page = context.new_page()
    page.goto(origin)
    got = tried(page, "tries", target, shows, job)
    # Pictures of our own site, which another port of a host is, are refused by Cross-Origin-Resource-Policy too.
    assert got == dict.fromkeys(got), way
    tried(page, "forms", target, shows, job)
    until(
        lambda: len(answers) >= 6, 5
    )  # three that ask nobody first, and three forms; the rest is stopped by the browser
    assert {path for _, path, _ in answers} == {"/gradio_api/run/predict", "/gradio_api/upload"}
    assert {status for _, _, status in answers} == {403}
    assert untouched(jobs, job)


def test_the_same_tries_all_succeed_from_our_own_page(context, ports, answers, jobs, job, shows):
    """Else the test above would show nothing."""
    answers.clear()
    page = context.new_page()
    target = f"http://127.0.0.1:{ports['bare']}"
    page.goto(f"{target}/healthz")
    try:
        got = tried(page, "tries", target, shows, job)
        # Gradio itself takes no JSON that is not called so; "blind" cannot be read by whoever sends it.
        assert {name for name, text in got.items() if text is None} == {"blind", "simple"}
        assert "victim" in str(got["library"])
        assert jobs.view(job).pinned
        assert answers.count(("POST", "/gradio_api/run/predict", 200)) == 2
    finally:
        jobs.pin(job, False)
    assert untouched(jobs, job)


def test_a_name_that_was_made_to_point_here_gets_nothing(context, ports, jobs, job, shows):
    page = context.new_page()
    answer = page.goto(f"http://rebind.test:{ports['bare']}/")
    assert answer.status == 421
    got = tried(page, "tries", f"http://rebind.test:{ports['bare']}", shows, job)
    assert got == dict.fromkeys(got)
    assert untouched(jobs, job)


@pytest.mark.parametrize("path", ["/", "/media/{job}/index.html", "/media/{job}/report.json"])
def test_a_page_from_elsewhere_cannot_put_ours_in_a_frame_to_be_clicked(context, ports, jobs, job, path):
    page = context.new_page()
    page.goto(f"http://evil.test:{ports['other']}")
    target = f"http://127.0.0.1:{ports['bare']}{path.format(job=job)}"
    tried(page, "frame", target)
    page.mouse.click(600, 400)
    (frame,) = (one for one in page.frames if one is not page.main_frame)
    assert frame.url.startswith("chrome-error:")
    assert untouched(jobs, job)


# ---- what works ----------------------------------------------------------------------------------------------------


def works(page: Page, frame=None) -> None:
    """The page is whole: board, a video that plays, the library by its event; and no error is logged."""
    seen = frame or page
    expect(seen.locator("#board [role=slider]").first).to_be_visible()
    expect(seen.locator("#comparator video").first).to_be_visible()
    seen.get_by_role("tab", name="Library").click()
    expect(seen.locator("#library")).to_contain_text("a victim's prompt")
    expect(seen.locator("#library .poster, #library .well img").first).to_be_visible()


def logged(page: Page) -> list[str]:
    errors: list[str] = []
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors


@pytest.mark.parametrize("place", ["http://localhost:{bare}/", "http://lan.test:{named}/"])
def test_our_own_page_works_by_its_names(context, ports, place):
    page = context.new_page()
    errors = logged(page)
    page.goto(place.format(**ports))
    works(page)
    assert errors == []


def proxy(target: str, prefix: str) -> FastAPI:
    """A reverse proxy that serves what is at `target` under a prefix, and says what it was asked for."""
    app = FastAPI(openapi_url=None)

    @app.api_route(prefix + "/{path:path}", methods=["GET", "HEAD", "POST"])
    async def passed(path: str, request: Request) -> Response:
        client = httpx.AsyncClient(timeout=60)
        headers = {k: v for k, v in request.headers.items() if k not in ("host", "content-length")}
        headers["accept-encoding"] = "identity"
        headers |= {
            "x-forwarded-host": request.headers["host"],
            "x-forwarded-proto": "http",
            "x-forwarded-for": "9.9.9.9",
        }
        sent = client.build_request(
            request.method,
            f"{target}/{path}",
            params=request.query_params,
            headers=headers,
            content=await request.body(),
        )
        answer = await client.send(sent, stream=True)

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in answer.aiter_raw():
                yield piece
            await client.aclose()

        kept = {k: v for k, v in answer.headers.items() if k not in ("transfer-encoding", "connection", "date")}
        return StreamingResponse(pieces(), answer.status_code, kept)

    return app


def test_it_works_behind_a_proxy_with_a_path_prefix(context, jobs, monkeypatch):
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/studio")
    behind = Addresses.from_environment({"RESOLUTE_HOSTS": "lan.test", "FORWARDED_ALLOW_IPS": "127.0.0.1"})
    with serving(create_app(jobs, behind)) as inner, serving(proxy(inner, "/studio")) as outer:
        page = context.new_page()
        errors = logged(page)
        page.goto(f"http://lan.test:{outer.rpartition(':')[2]}/studio/")
        works(page)
        assert errors == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> dict[str, str]:
    """One that nobody vouches for; the browser was told not to mind."""
    assert shutil.which("openssl"), "the test of a Space's frame needs the program openssl: install its package"
    folder: Path = tmp_path_factory.mktemp("tls")
    key, file = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
         "-keyout", key, "-out", file], check=True, capture_output=True,
    )  # fmt: skip
    return {"ssl_keyfile": str(key), "ssl_certfile": str(file)}


def test_strangers_in_a_spaces_frame_have_their_own_and_the_page_works_there(
    context, pointed, secure_ports, certificate, tmp_path
):
    hub = FastAPI()
    hub.get("/", response_class=HTMLResponse)(
        lambda: f'<!doctype html><iframe src="https://{SPACE}/" width="1200" height="850"></iframe>'
    )
    space = Addresses.from_environment({"SPACE_ID": "me/studio", "SPACE_HOST": SPACE})
    with Jobs(tmp_path, worker=False, public=True) as public:
        job = public.submit(shelf.experiment("somebody else's prompt"))
        app = create_app(public, space)
        with serving(hub, secure_ports[0], **certificate), serving(app, secure_ports[1], **certificate):
            page = context.new_page()
            errors = logged(page)
            page.goto(f"https://{HUB}/")
            frame = page.frame_locator("iframe")
            frame.locator("#prompt textarea").fill("a prompt of mine")
            frame.locator("#run").click()
            expect(frame.locator("#stop")).to_be_visible()
            frame.get_by_role("tab", name="Library").click()
            library = frame.locator("#library")
            expect(library).to_contain_text("a prompt of mine")
            expect(library).not_to_contain_text("somebody else")
            library.get_by_role("button", name="Delete").click()
            expect(library).to_contain_text("Deleted")
            # Gradio asks the hub of itself there; the policy lets it ask nobody.
            assert [text for text in errors if f"https://{HUB}/api" not in text and "policy" not in text.lower()] == []
            other = pointed.new_context(ignore_https_errors=True)
            stranger = other.new_page()
            stranger.goto(f"https://{SPACE}/?job={job}")
            expect(stranger.locator("#comparator")).to_contain_text("somebody else's prompt")
            expect(stranger.locator("#stop")).to_be_hidden()
            other.close()
