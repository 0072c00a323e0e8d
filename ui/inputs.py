"""Pictures over HTTP: one is sent as a request's body, read once, and named by the answer; shown by name."""

from __future__ import annotations

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from engine.errors import InvalidInput
from engine.jobs.errors import NotFound, StorageError
from engine.jobs.service import Jobs
from ui.media import file, missing

AT_ONCE = 2  # pictures that are decoded: each may take hundreds of megabytes


def add_inputs(app: FastAPI, jobs: Jobs) -> None:
    """Take pictures at /inputs and show them at /inputs/SHA256.png."""
    decoding = CapacityLimiter(AT_ONCE)

    @app.post("/inputs")
    async def add(request: Request) -> Response:
        try:
            content = await request.body()
        except ClientDisconnect:
            return JSONResponse({"error": "The picture is too large, or did not arrive whole."}, status_code=413)
        try:
            picture = await anyio.to_thread.run_sync(jobs.add_picture, content, limiter=decoding)
        except InvalidInput as error:
            return JSONResponse({"error": _sentence(error)}, status_code=422)
        except StorageError as error:
            return JSONResponse({"error": _sentence(error)}, status_code=507)
        return JSONResponse(picture.document())

    @app.get("/inputs/{name}.png")
    def show(name: str) -> Response:
        try:
            return file(jobs.picture_path(name))
        except NotFound:
            return missing()


def _sentence(error: Exception) -> str:
    text = str(error).removeprefix("image: ")
    return text[:1].upper() + text[1:]
