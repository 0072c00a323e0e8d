"""Pictures and videos over HTTP: one is sent as a request's body, read once, and named by the answer; shown by name."""

from __future__ import annotations

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from engine.errors import InvalidInput
from engine.jobs.job_errors import NotFound, StorageError
from engine.jobs.service import Jobs
from ui.server.job_files import file, missing

AT_ONCE = 2  # pictures that are decoded: each may take hundreds of megabytes


def add_inputs(app: FastAPI, jobs: Jobs) -> None:
    """Take pictures and control videos at /inputs and show them at /inputs/SHA256.png, .mp4."""
    decoding = CapacityLimiter(AT_ONCE)

    @app.post("/inputs")
    async def add(request: Request) -> Response:
        try:
            content = await request.body()
        except ClientDisconnect:
            return JSONResponse({"error": "The file is too large, or did not arrive whole."}, status_code=413)
        try:
            picture = await anyio.to_thread.run_sync(jobs.add_picture, content, limiter=decoding)
        except InvalidInput as error:
            return JSONResponse({"error": _sentence(error)}, status_code=422)
        except StorageError as error:
            return JSONResponse({"error": _sentence(error)}, status_code=507)
        return JSONResponse(picture.document())

    def shown(name: str, kind: str) -> Response:
        try:
            return file(jobs.picture_path(name, kind))
        except NotFound:
            return missing()

    @app.get("/inputs/{name}.png")
    def picture(name: str) -> Response:
        return shown(name, "png")

    @app.get("/inputs/{name}.mp4")
    def video(name: str) -> Response:
        return shown(name, "mp4")


def _sentence(error: Exception) -> str:
    text = str(error).removeprefix("image: ").removeprefix("video: ")
    return text[:1].upper() + text[1:]
