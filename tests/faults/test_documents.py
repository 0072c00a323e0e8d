"""Documents that would freeze a running studio or fill its memory: refused at once, and all others are answered."""

from __future__ import annotations

import io
import json
import threading
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from tests.faults.conftest import App
from tests.jobs import shelf

MOST_S, MOST_ANSWER_S, MOST_BYTES = 1.0, 0.2, 300_000_000
REPORT = b'{"runs":[' + b"0," * 8_000_000 + b"0]}"
ONE_KEY = b"{" + b'"a":1,' * 2_400_000 + b'"b":1}'
UNKNOWN = b"{" + b"".join(b'"%x":1,' % number for number in range(1_400_000)) + b'"b":1}'


def sent(app: App, path: str, body: bytes, kind: str = "application/json") -> Any:
    request = urllib.request.Request(f"{app.url}/gradio_api/{path}", body, headers={"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def uploaded(app: App, name: str, data: bytes) -> str:
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    return sent(app, "upload", head + data + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")[0]


def given(app: App, path: str, archive: bool) -> Any:
    """The event of the library's button, or of the studio's, with an uploaded file, as a browser sends it."""
    config = json.loads(app.get("config"))
    parts = {part["id"]: part for part in config["components"]}
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    for event in config["dependencies"]:
        inputs = [parts[number] for number in event["inputs"]]
        buttons = [part for part in inputs if part["type"] == "uploadbutton"]
        if buttons and (len(inputs) == 1) is archive:
            data = [file if part in buttons else part["props"].get("value") for part in inputs]
            data = [None if part["type"] == "state" else value for part, value in zip(inputs, data, strict=True)]
            body = {"fn_index": event["id"], "data": data, "session_hash": "x"}
            return sent(app, "run/predict", json.dumps(body).encode())
    raise AssertionError("the page has no such button")


def packed(members: dict[str, bytes], report: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (members | {"report.json": report}).items():
            archive.writestr(name, data)
    return made.getvalue()


def peak(app: App) -> int:
    lines = Path(f"/proc/{app.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


class Waiting:
    """Asks for the health of a server all the time; `worst` is the longest that an answer took."""

    def __init__(self, app: App) -> None:
        self.app, self.worst, self._over = app, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Waiting:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.01):
            start = time.perf_counter()
            self.app.get("healthz")
            self.worst = max(self.worst, time.perf_counter() - start)


def test_no_document_freezes_the_server_or_fills_its_memory(tmp_path: Path, app: Any) -> None:
    job = shelf.put(tmp_path / "data", shelf.experiment())
    served = app()
    with zipfile.ZipFile(io.BytesIO(served.get(f"archive/{job}.zip"))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    rows = {
        "8 million wrong runs": packed(members, REPORT),
        "1.4 million unknown keys": packed(members, UNKNOWN),
        "one key 2.4 million times": packed(members, ONE_KEY),
        "a dropped report of one key": b"{" + b'"a":1,' * 8_000_000 + b'"b":1}',
        "wrong runs, as many as are read": b'{"runs":[' + b"0," * 290_000 + b"0]}",
    }
    given(
        served, uploaded(served, "run.zip", b"no zip"), archive=True
    )  # the first event of a process loads what it needs
    for name, data in rows.items():
        whole = data[:2] == b"PK"
        path = uploaded(served, "run.zip" if whole else "report.json", data)
        before = peak(served)
        with Waiting(served) as waiting:
            start = time.perf_counter()
            given(served, path, archive=whole)
            took = time.perf_counter() - start
        grown = peak(served) - before
        print(f"{name}: {took:.2f} s, {grown / 1e6:.0f} MB, others waited {waiting.worst * 1000:.0f} ms at most")
        assert took < MOST_S
        assert grown < MOST_BYTES
        assert waiting.worst < MOST_ANSWER_S
    print(f"the most that the server held: {peak(served) / 1e6:.0f} MB")
    assert peak(served) < 1_000_000_000
