"""The files of jobs over HTTP: videos with ranges, pages in a sandbox, a job as one archive. Ids and names only."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse

from engine.jobs.data_dir import NAME
from engine.jobs.job_errors import NotFound
from engine.jobs.service import Jobs

EXAMPLE = Path(__file__).parents[1] / "example"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
SANDBOX = "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; " \
    "img-src data: blob:; media-src data: blob:"  # fmt: skip


def add_files(app: FastAPI, jobs: Jobs) -> None:
    """Serve the files of all jobs under /media and /archive; what is no file of a job is 404."""

    @app.get("/media/example/{name}")
    def example(name: str) -> Response:
        return file(EXAMPLE / name) if NAME.fullmatch(name) else missing()

    @app.get("/media/{job}/{name}")
    def media(job: str, name: str) -> Response:
        try:
            return file(jobs.file(job, name))
        except NotFound:
            return missing()

    @app.get("/archive/{job}.zip")
    def archive(job: str) -> Response:
        try:
            pieces = jobs.archive(job)
        except NotFound:
            return missing()
        named = {"Content-Disposition": f'attachment; filename="resolute-{job}.zip"'}
        return StreamingResponse(pieces, media_type="application/zip", headers=HEADERS | named)


def file(path: Path) -> Response:
    """A file of ours, with ranges for seeking; pages open in a sandbox of their own."""
    if not path.is_file():
        return missing()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    headers = dict(HEADERS)
    if kind == "text/html":
        headers["Content-Security-Policy"] = SANDBOX
    return FileResponse(path, media_type=kind, headers=headers)


def missing() -> Response:
    """There is no such file; not a word more."""
    return JSONResponse({"error": "there is no such file"}, status_code=404)
