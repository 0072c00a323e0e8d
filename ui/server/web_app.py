"""The web server around the page: files of jobs, limits on what is sent, a health check. One FastAPI app."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import gradio as gr
from fastapi import FastAPI

from engine import __version__
from engine.experiments.input_picture import MAX_BYTES
from engine.jobs.service import Jobs
from ui.page import build_page
from ui.server.border import Envelope, Refusals, refuse
from ui.server.input_routes import add_inputs
from ui.server.job_files import add_files
from ui.shared import theme

MAX_BODY = 4_000_000  # bytes of a JSON request; a page's whole state is some tens of thousands
MAX_UPLOAD = 64 * 2**20  # bytes of a dropped video
QUEUE_SIZE = 200  # calls that wait for a Python thread, not jobs


def create_app(jobs: Jobs) -> FastAPI:
    """The whole web app over the jobs of one data directory. Nothing is computed here."""
    app = FastAPI(title="Resolute", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    blocks = build_page(jobs).queue(max_size=QUEUE_SIZE)
    app.add_middleware(Envelope, page=blocks)
    app.add_middleware(BodyLimit)
    app.add_middleware(SameSite)
    app.add_middleware(Refusals)

    @app.get("/healthz")
    def health() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    add_files(app, jobs)
    add_inputs(app, jobs)
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        theme=theme.theme(),
        css=theme.css(),
        head=theme.head(),
        ssr_mode=False,
        footer_links=["api"],
        run_history=False,
        show_error=False,
        enable_monitoring=False,
        max_file_size=MAX_UPLOAD,
        mcp_server=os.environ.get("RESOLUTE_MCP") == "1",
    )
    blocks.has_launched = True  # only then does Gradio check that files which an event names were uploaded
    return app


class SameSite:
    """Refuses what a page of another site makes a visitor's browser send: it uploads, runs and deletes nothing.

    Browsers mark such requests themselves; programs, which send no such mark, are let through.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        changing = scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if changing and headers.get(b"sec-fetch-site") == b"cross-site":
            await refuse(send, 403, "a page of another site sent this")
        else:
            await self.app(scope, receive, send)


class BodyLimit:
    """Refuses requests whose body is larger than any honest one, before anything reads it."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        limit = MAX_UPLOAD + 2**20 if path.endswith("/upload") else MAX_BYTES if path == "/inputs" else MAX_BODY
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            await refuse(send, 413, f"the request is larger than {limit} bytes")
            return
        seen = 0

        async def counted() -> Any:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            return {"type": "http.disconnect"} if seen > limit else message

        await self.app(scope, counted, send)
