"""The web server around the page: files of jobs, limits on what is sent, a health check. One FastAPI app."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from engine import __version__
from engine.experiments.input_picture import MAX_BYTES
from engine.jobs.service import Jobs
from ui.page import build_page
from ui.server.addresses import Addresses
from ui.server.border import Envelope, Refusals, refuse
from ui.server.input_routes import add_inputs
from ui.server.job_files import add_files
from ui.server.names import Names, add_operator
from ui.server.other_sites import Answers, Hosts, OwnPages, Proxies
from ui.shared import theme

MAX_BODY = 4_000_000  # bytes of a JSON request; a page's whole state is some tens of thousands
MAX_UPLOAD = 64 * 2**20  # bytes of a dropped video
QUEUE_SIZE = 200  # calls that wait for a Python thread, not jobs
SILENCE_S, SLOWEST = 30.0, 50_000  # a body may pause so long, and must bring so many bytes a second after that
# How uvicorn is started. Forwarded headers are read by `other_sites.Proxies` alone; pages keep a connection each.
SERVER: dict[str, Any] = {"proxy_headers": False, "server_header": False, "limit_concurrency": 1000, "backlog": 512}


def create_app(jobs: Jobs, addresses: Addresses | None = None) -> FastAPI:
    """The whole web app over the jobs of one data directory. Nothing is computed here.

    `addresses` says how it may be reached; as the environment says where left out. Raises InvalidInput.
    """
    addresses = addresses or Addresses.from_environment()
    app = FastAPI(title="Resolute", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    blocks = build_page(jobs).queue(max_size=QUEUE_SIZE)
    app.add_middleware(CORSMiddleware, allow_origins=[])  # Gradio's own, which lets any origin read, then steps aside
    app.add_middleware(Envelope, page=blocks)
    app.add_middleware(BodyLimit)
    app.add_middleware(Refusals)
    if jobs.signatures:
        app.add_middleware(Names, jobs=jobs, addresses=addresses)
    for layer in (OwnPages, Hosts, Proxies, Answers):
        app.add_middleware(layer, addresses=addresses)

    @app.get("/healthz")
    def health() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    add_files(app, jobs)
    add_inputs(app, jobs)
    add_operator(app, jobs, addresses)
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


class BodyLimit:
    """Refuses requests whose body is larger, or comes more slowly, than any honest one, before anything reads it."""

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
        seen, whole, begun = 0, False, time.monotonic()

        async def counted() -> Any:
            nonlocal seen, whole
            if whole:  # what comes now is the end of the connection, however late
                return await receive()
            left = begun + SILENCE_S + seen / SLOWEST - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), min(max(left, 0), SILENCE_S))
            except TimeoutError:
                return {"type": "http.disconnect"}
            seen += len(message.get("body", b""))
            whole = not message.get("more_body")
            return {"type": "http.disconnect"} if seen > limit else message

        await self.app(scope, counted, send)
