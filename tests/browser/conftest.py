"""A real Chromium for the tests of the page, and a server for one widget or the whole studio."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from engine.jobs.service import Jobs
from tests.browser.install import AXE_FILE, chromium_path
from ui.server.web_app import SERVER, create_app

expect.set_options(timeout=30_000)  # a loaded machine answers late
STYLE = Path(__file__).parent.parent.parent / "ui" / "shared" / "style.css"


_running: list[Browser] = []


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the whole session, also where another folder's conftest imports this fixture."""
    if _running:
        yield _running[0]
        return
    with sync_playwright() as playwright:
        _running.append(playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"]))
        yield _running[0]
        _running.pop().close()


class Watched:
    """What a page must not do: log errors, or ask another machine for anything."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))

    def _asked(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1", "data:", "blob:", "about:")):
            self.foreign.append(url)


_contexts: dict[str, BrowserContext] = {}


def context_of(browser: Browser, options: dict) -> BrowserContext:
    """One context for all pages of the same options: what it has fetched and compiled once is there for the next."""
    key = json.dumps(options, sort_keys=True)
    if key not in _contexts:
        _contexts[key] = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        _contexts[key].on("close", lambda _: _contexts.pop(key, None))
    return _contexts[key]


def emptied(context: BrowserContext) -> None:
    """No page is left, and nothing that one has stored."""
    context.clear_cookies()
    for page in context.pages:
        if page.url.startswith("http"):
            page.evaluate("localStorage.clear(); sessionStorage.clear()")
        page.close()


@pytest.fixture
def new_page(browser: Browser):
    """Opens pages with options of `browser.new_context`; none may log an error or leave the machine."""
    watched = []

    def opened(url: str | None = None, **options) -> Page:
        page = context_of(browser, options).new_page()
        page.set_default_timeout(30_000)  # a loaded machine answers late
        watched.append(Watched(page))
        if url:
            page.goto(url)
        return page

    yield opened
    for context in [*_contexts.values()]:
        emptied(context)
    assert not [error for one in watched for error in one.errors]
    assert not [url for one in watched for url in one.foreign]


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[str]:
    """The whole app with the shipped models, for all tests that leave nothing but finished jobs."""
    with Jobs(tmp_path_factory.mktemp("studio")) as jobs, serving(create_app(jobs)) as url:
        yield url


def serious(page: Page) -> list[str]:
    """Serious findings of axe-core, as sentences."""
    page.evaluate(AXE_FILE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{item['id']}: {node['target']} {node['failureSummary'][:300]}"
        for item in found["violations"]
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"]
    ]


@contextlib.contextmanager
def serving(app: FastAPI, port: int = 0, **options: str) -> Iterator[str]:
    """The app on a port of this machine, a free one where none is given, until the block ends."""
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    given = options | SERVER
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="critical", timeout_graceful_shutdown=0, **given
    )
    server = uvicorn.Server(config)  # pages that are still open are not waited for
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@contextlib.contextmanager
def serving_blocks(blocks: gr.Blocks, files: Path | None = None) -> Iterator[str]:
    """A page of one widget, with the studio's colours; `files` are served under /files/."""
    app = FastAPI()
    if files is not None:
        app.mount("/files", StaticFiles(directory=files))
    options = {"css": STYLE.read_text("utf-8"), "ssr_mode": False, "footer_links": [], "run_history": False}
    gr.mount_gradio_app(app, blocks, path="/", **options)
    with serving(app) as url:
        yield url
