from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from engine.jobs.supervisor import ROOT
from engine.measuring.device import trim_heap
from tests.browser.conftest import browser, new_page  # noqa: F401 - fixtures
from tests.faults.arguments import LAST
from tests.jobs.conftest import jobs, opened, until  # noqa: F401 - fixtures


def pytest_configure(config) -> None:
    config.addinivalue_line("markers", "gpu: needs a GPU; defined only where there is one")


def resident() -> int:
    """Bytes that this process holds once everything unused is given back."""
    gc.collect()
    trim_heap()
    return psutil.Process().memory_info().rss


def parts(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*.part")]


class App:
    """The whole app as a process of its own, to be killed: web server, page, supervisor, worker."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "tests.faults.app", str(folder), str(port)]
        self.said = folder.parent / f"app-{port}.log"
        with self.said.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as answer:
            return answer.read()

    def call(self, name: str, *data: object) -> dict:
        """The first answer of a named endpoint, as a program gets it."""
        body = json.dumps({"data": data}).encode()
        request = urllib.request.Request(
            f"{self.url}/gradio_api/call/{name}", body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            event = json.load(answer)["event_id"]
        with urllib.request.urlopen(f"{self.url}/gradio_api/call/{name}/{event}", timeout=30) as stream:
            for line in stream:
                if line.startswith(b"data: [") and line.strip() != b"data: []":
                    return json.loads(line[6:])[0]
                assert not line.startswith(b"event: error"), stream.readline()
        raise AssertionError(f"{name} gave no answer")

    def compare(self, steps: int, **faults: object) -> str:
        """Submit a comparison; the id of its job."""
        settings = [None] * 7
        sent = [json.dumps(faults), ["0.5@2"], "emoji-wan", 0, steps, "coherent", *settings, False, *[None] * LAST]
        first = self.call("compare", *sent)
        return first["job"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def app(tmp_path):
    """Starts the app over one folder, as often as asked; all are gone at the end."""
    started: list[App] = []

    def start() -> App:
        started.append(App(tmp_path / "data"))
        until(lambda: answers(started[-1]))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def answers(one: App) -> bool:
    assert one.process.poll() is None, one.said.read_text()
    try:
        return bool(one.get("healthz"))
    except OSError:
        return False


def mountable() -> bool:
    """Whether this process may mount a small file system: found out by trying."""
    if sys.platform != "linux" or os.geteuid():
        return False
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
        try:
            done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        except OSError:
            return False
        if done:
            subprocess.run(["umount", folder], capture_output=True, check=True)
        return done
