"""What SECURITY.md promises, tried on the whole app: files, uploads, ids, pages, paths in events."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from engine.jobs.service import Jobs
from tests.jobs import shelf
from ui.server import web_app

ROOT = Path(__file__).parents[2]
HOSTILE = (
    "..", ".", "....", "%2e%2e", "..%2f..", "..%5c..", "%2fetc%2fpasswd", "C:%5cx", "a" * 16 + "%00", "A" * 15, 
    "A" * 17, "example%2f..", "%ff%fe", "٠" * 16, "-" * 16, "con", "nul",
)  # fmt: skip


ASKED = (
    None, 7, [], {}, {"action": "rm"}, {"action": "delete", "job": "../x"}, {"action": "pin", "job": {"a": 1}},
    {"action": "show", "query": {"count": 1e999}}, {"action": "show", "query": {"sort": "id; DROP TABLE jobs"}},
    {"action": "dismiss", "notice": "1 OR 1"},
)  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("secure")
    job = shelf.put(root, shelf.experiment("<script>alert(1)</script>"))
    with (
        Jobs(root, worker=False) as jobs,
        TestClient(web_app.create_app(jobs), raise_server_exceptions=False) as client,
    ):
        yield client, jobs, job


@pytest.mark.parametrize("place", ["/media/{}/00.mp4", "/media/{}/report.json", "/archive/{}.zip"])
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_id_of_a_job_is_not_found(served, place, name):
    assert served[0].get(place.format(name)).status_code == 404


@pytest.mark.parametrize("name", [*HOSTILE, "job.json.part", "..%2f..%2fresolute.db", "%2fetc%2fpasswd", "lock"])
def test_what_is_no_file_of_a_job_is_not_found(served, name):
    client, _, job = served
    answer = client.get(f"/media/{job}/{name}")
    assert answer.status_code == 404
    assert b"root:" not in answer.content


def test_a_link_out_of_a_jobs_folder_is_not_followed(served):
    client, jobs, job = served
    link = jobs.data.job(job) / "passwd.txt"
    os.symlink("/etc/passwd", link)
    try:
        assert client.get(f"/media/{job}/passwd.txt").status_code == 404
        archive = client.get(f"/archive/{job}.zip")
        assert b"passwd" not in archive.content
    finally:
        link.unlink()


def test_the_files_of_a_deleted_job_are_not_served(served):
    client, jobs, job = served
    assert client.get(f"/media/{job}/00.mp4").status_code == 200
    jobs.delete(job)
    try:
        assert client.get(f"/media/{job}/00.mp4").status_code == 404
        assert client.get(f"/archive/{job}.zip").status_code == 404
    finally:
        jobs.restore(job)
    assert client.get(f"/media/{job}/00.mp4").status_code == 200


def test_a_jobs_page_opens_in_a_sandbox_without_the_origin(served):
    client, _, job = served
    answer = client.get(f"/media/{job}/index.html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    assert "<script>alert(1)" not in answer.text
    for name in ("00.mp4", "report.json", "index.html"):
        answer = client.get(f"/media/{job}/{name}")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_gradio_serves_no_file_of_this_machine_or_of_the_data_directory(served):
    client, jobs, job = served
    for path in (
        "/etc/passwd", ROOT / "app.py", ROOT / "ui/server/web_app.py", jobs.data.database, jobs.data.log,
        jobs.data.root / "lock",
        jobs.data.job(job) / "report.json", "http://127.0.0.1:1/x", "../../etc/passwd",
    ):  # fmt: skip
        for prefix in ("/gradio_api/file=", "/file=", "/gradio_api/file/"):
            answer = client.get(f"{prefix}{path}", follow_redirects=False)
            assert answer.status_code in (403, 404), (prefix, path)


def test_too_large_a_request_is_refused_before_it_is_read(served):
    client, _, _ = served
    large = b"x" * (web_app.MAX_BODY + 1)
    assert client.post("/gradio_api/queue/join", content=large).status_code == 413
    assert client.post("/gradio_api/run/predict", content=large).status_code == 413
    huge = {"content-length": str(web_app.MAX_UPLOAD + 2**21)}
    assert client.post("/gradio_api/upload", content=b"x", headers=huge).status_code == 413


def test_a_page_of_another_site_sends_nothing(served):
    client, _, _ = served
    files = {"files": ("x.mp4", b"x")}
    for site, status in (("cross-site", 403), ("same-origin", 200), ("none", 200), (None, 200)):
        headers = {"sec-fetch-site": site} if site else {}
        assert client.post("/gradio_api/upload", files=files, headers=headers).status_code == status
    assert client.get("/healthz", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_too_large_a_request_that_does_not_say_so_is_cut_off(served):
    def pieces():
        for _ in range(web_app.MAX_BODY // 2**16 + 2):
            yield b" " * 2**16

    assert served[0].post("/gradio_api/run/predict", content=pieces()).status_code >= 400


def test_an_uploaded_page_comes_back_as_an_attachment(served):
    client, _, _ = served
    given = client.post("/gradio_api/upload", files={"files": ("evil.html", b"<script>alert(1)</script>", "text/html")})
    assert given.status_code == 200
    answer = client.get(f"/gradio_api/file={given.json()[0]}")
    assert answer.headers["content-disposition"].startswith("attachment")


def event(served, handler: str) -> int:
    """The number by which a browser calls a handler of the page."""
    return next(number for number, fn in blocks_of(served[0]).fns.items() if getattr(fn.fn, "__name__", "") == handler)


def blocks_of(client: TestClient):
    return next(route.app.blocks for route in client.app.routes if hasattr(getattr(route, "app", None), "blocks"))


@pytest.mark.parametrize("more", [{}, {"is_stream": True}, {"url": "http://127.0.0.1:1/x.zip"}])
@pytest.mark.parametrize(("handler", "name"), [("taken_in", "real.zip"), ("dropped", "real.json")])
def test_an_event_reads_no_file_that_was_not_uploaded(served, tmp_path, handler, name, more):
    """Both files would be taken if they had been uploaded; here only their paths are sent."""
    client, jobs, job = served
    path = tmp_path / name
    path.write_bytes(
        b"".join(jobs.archive(job)) if name == "real.zip" else (ROOT / "presets/two-stage-0.5.json").read_bytes()
    )
    number = event(served, handler)
    kinds = [component.get_block_name() for component in blocks_of(client).fns[number].inputs]
    sent = {"path": str(path), "meta": {"_type": "gradio.FileData"}, **more}
    data = [sent if kind in ("file", "uploadbutton") else None for kind in kinds]
    assert sent in data
    before = len(jobs.library())
    answer = client.post("/gradio_api/run/predict", json={"fn_index": number, "data": data, "session_hash": "x"})
    assert answer.status_code >= 400
    assert "resolution_rate" not in answer.text
    assert len(jobs.library()) == before


@pytest.mark.parametrize("launched", [True, False])
def test_the_button_itself_refuses_what_was_not_uploaded(served, tmp_path, launched):
    """Also where Gradio's own check is not active; and no address is fetched for a visitor."""
    client, jobs, job = served
    path = tmp_path / "real.zip"
    path.write_bytes(b"".join(jobs.archive(job)))
    blocks, number, before = blocks_of(client), event(served, "taken_in"), len(jobs.library())
    blocks.has_launched = launched
    try:
        for named in (str(path), "http://127.0.0.1:1/real.zip", f"file://{path}"):
            sent = {"path": named, "meta": {"_type": "gradio.FileData"}}
            body = {"fn_index": number, "data": [sent], "session_hash": "x"}
            assert client.post("/gradio_api/run/predict", json=body).status_code >= 400
    finally:
        blocks.has_launched = True
    assert len(jobs.library()) == before


def test_an_uploaded_archive_is_taken_in(served):
    client, jobs, job = served
    archive = client.get(f"/archive/{job}.zip").content
    path = client.post("/gradio_api/upload", files={"files": ("run.zip", archive)}).json()[0]
    sent = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = {"fn_index": event(served, "taken_in"), "data": [sent], "session_hash": "x"}
    before = {view.id for view in jobs.library()}
    assert client.post("/gradio_api/run/predict", json=body).status_code == 200
    (new,) = {view.id for view in jobs.library()} - before
    jobs.delete(new)
    jobs.purge(new)


def test_what_the_library_is_asked_for_is_checked(served):
    client, jobs, job = served
    number = event(served, "changed")
    for data in ASKED:
        body = json.dumps({"fn_index": number, "data": [], "event_data": data, "session_hash": "x"})
        answer = client.post("/gradio_api/run/predict", content=body, headers={"content-type": "application/json"})
        assert "Traceback" not in answer.text
        assert jobs.view(job).deleted is None


def test_who_uses_the_server_is_not_told_and_no_other_site_may_read_it(served):
    client, _, _ = served
    for path in ("/monitoring", "/monitoring/summary", "/docs", "/redoc"):
        assert client.get(path).status_code in (403, 404)
    answer = client.get("/config", headers={"origin": "https://evil.example", "host": "127.0.0.1:7860"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
