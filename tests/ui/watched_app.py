"""The whole web app in this process, asked as a browser or a program asks it, and watched meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi.testclient import TestClient

from engine.jobs.service import Jobs
from tests.ui.strangers import (
    dumps,
)

ROOT = Path(__file__).parents[2]


HEADERS = {"content-type": "application/json"}
SECRET = re.compile(r"Traceback|site-packages|\.py\b.{0,12}line \d+|\"/(root|home)/", re.IGNORECASE)
OURS = ("presets", "weights", "ui/example", "engine/models")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}


MOST_S = 2.0  # of one request
MOST_BYTES = 1_000_000_000  # of the server's process
AT_REST = 200_000_000  # of them are what it takes before anyone has asked for anything (about 160 MB)


class TimedClient(TestClient):
    """Knows how long the last request took: on the clock, or of this process's own time where others hold it up."""

    took = 0.0

    def request(self, *args: Any, **kwargs: Any) -> Any:
        clock, own = time.perf_counter(), time.process_time()
        try:
            return super().request(*args, **kwargs)
        finally:
            self.took = min(time.perf_counter() - clock, time.process_time() - own)


def peak_bytes() -> int:
    """The most memory that this process has held since `reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


@dataclass(repr=False)
class Served:
    """The app in this process over one finished job, and every place that a stranger might have had written to."""

    client: TestClient
    jobs: Jobs
    job: str
    root: Path
    handlers: dict[str, int]
    watch: Watch
    faults: list[BaseException] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0

    def __repr__(self) -> str:
        return "served"  # in the reports of hypothesis

    @property
    def fns(self) -> dict[int, Any]:
        return blocks_of(self.client).fns

    def check(self, answer: Any, *, told: str = "") -> Any:
        """What must be true of every answer; `told` is what it may repeat, a path that the client was given."""
        self.statuses[answer.status_code] += 1
        if isinstance(self.client, TimedClient):
            self.slowest = max(self.slowest, self.client.took)
            assert self.client.took < MOST_S, f"{answer.request.method} {answer.request.url}: {self.client.took:.1f} s"
        faults = [*self.faults]
        self.faults.clear()
        assert not faults, faults
        assert answer.status_code != 500, answer.text[:2000]
        text = answer.content.decode("utf-8", "replace").replace(str(self.root / "data" / "uploads"), "")
        for path in (str(ROOT), str(self.root), sys.prefix, os.path.expanduser("~/")):
            assert path in told or path not in text, (path, text[:2000])
        if "text/html" not in answer.headers.get("content-type", "") and "zip" not in answer.headers.get(
            "content-type", ""
        ):
            assert not SECRET.search(text.replace(told, "") if told else text), text[:2000]
        return answer

    def call(self, fn: int | str, data: list[Any], *, query: str = "", told: str = "", **more: Any) -> Any:
        """Post to an event as a browser does: by its number, or by the name of a public one."""
        body: dict[str, Any] = {"data": data, "session_hash": "fuzz"} | more
        if isinstance(fn, int):
            body["fn_index"] = fn
        place = f"/gradio_api/run/{'predict' if isinstance(fn, int) else fn}{query}"
        answer = self.client.post(place, content=dumps(body), headers=HEADERS)
        self.settle()
        return self.check(answer, told=told)

    def upload(self, name: str, data: bytes) -> str | None:
        """The path that Gradio keeps a file under, or None where it was refused."""
        answer = self.check(self.client.post("/gradio_api/upload", files={"files": (name, data)}))
        return answer.json()[0] if answer.status_code == 200 else None

    def settle(self) -> None:
        """Jobs that were accepted are taken away again; the library stays as it was."""
        for view in self.jobs.library():
            if view.id != self.job:
                self.jobs.delete(view.id)
                self.jobs.purge(view.id)
        for view in self.jobs.library(deleted=True):
            self.jobs.restore(view.id) if view.id == self.job else self.jobs.purge(view.id)
        if not any(view.id == self.job for view in self.jobs.library()):
            raise AssertionError("the finished job is gone")


def blocks_of(client: TestClient) -> gr.Blocks:
    return next(route.app.blocks for route in client.app.routes if hasattr(getattr(route, "app", None), "blocks"))


def events_of(client: TestClient) -> dict[str, int]:
    """The numbers by which a browser calls the handlers of a page."""
    return {getattr(fn.fn, "__name__", ""): number for number, fn in blocks_of(client).fns.items()}


class Watch:
    """Every file that this process opens for writing, makes, moves or removes outside the allowed folders."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] = ()
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.allowed:
            return
        if event == "open":
            paths = args[:1] if isinstance(args[2], int) and args[2] & WRITING else ()
        else:
            paths = [one for one in args[:2] if isinstance(one, str | bytes | os.PathLike)] if event in CHANGES else ()
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike):
                full = os.path.realpath(os.fsdecode(path))
                if not full.startswith(self.allowed) and "__pycache__" not in full:
                    self.seen.append(f"{event} {full}")


def names_below(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if "__pycache__" not in path.parts}


@contextlib.contextmanager
def elsewhere(root: Path) -> Iterator[list[Path]]:
    """A working folder, home and temporary folder of its own: all must be empty at the end."""
    places = [root / name for name in ("cwd", "home", "temp")]
    for place in places:
        place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(places[0])
        patch.setenv("HOME", str(places[1]))
        patch.setenv("TMPDIR", str(places[2]))
        patch.setattr(tempfile, "tempdir", str(places[2]))
        patch.setenv("GRADIO_TEMP_DIR", str(root / "data" / "uploads"))
        patch.setenv(
            "MPLCONFIGDIR", str(root / "data" / "uploads")
        )  # Gradio imports matplotlib, which lists fonts there
        yield places


def listening(faults: list[BaseException]) -> Any:
    """Gradio's way of telling an error, which also notes those that are no refusal."""
    from gradio.utils import error_payload

    def listened(error: BaseException | None, show_error: bool) -> Any:
        if error is not None and not isinstance(error, gr.Error):
            faults.append(error)
        return error_payload(error, show_error)

    return listened
