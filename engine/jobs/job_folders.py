"""The folders of jobs: made, tidied after a crash, moved to the trash and back, found again without a database."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import ResoluteError
from engine.experiments.conditions import FILE, Conditions
from engine.jobs.data_dir import ID, NAME
from engine.jobs.job_errors import StorageError
from engine.measuring.video import whole_file
from engine.reports.html import outdated, write_index
from engine.reports.report_file import load
from engine.reports.schema import Report, Run

JOB, REPORT, PAGE = "job.json", "report.json", "index.html"


def make(folder: Path, record: dict[str, Any], conditions: Conditions | None = None) -> None:
    """Make a job's folder with `job.json`, which says what was asked for, and its pictures. Raises StorageError."""
    try:
        folder.mkdir()
        write_record(folder, record)
        if conditions is not None:
            conditions.keep(folder)
    except (OSError, ResoluteError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        reason = str(error) if isinstance(error, ResoluteError) else f"{(error.strerror or str(error)).lower()}."
        raise StorageError(f"the job was not accepted: {reason}") from error


def write_record(folder: Path, record: dict[str, Any]) -> None:
    with whole_file(folder / JOB) as part:
        part.write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")


def record_of(folder: Path) -> dict[str, Any] | None:
    """What `job.json` holds; None where it cannot be read."""
    try:
        record = json.loads((folder / JOB).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def report_of(folder: Path) -> Report | None:
    """The report of a job, of whatever has finished so far; None where there is none yet."""
    try:
        return load(folder / REPORT)
    except ResoluteError:
        return None


def renew_page(folder: Path) -> None:
    """Make `index.html` anew where it was made from a report of an earlier version, whose figures it shows."""
    if outdated(folder / PAGE) and (report := report_of(folder)) is not None:
        with contextlib.suppress(ResoluteError, OSError):
            write_index(report, folder)


def finished_runs(folder: Path, names: list[str]) -> dict[int, Run]:
    """The runs that are done, by number: in the report, with all of their files. `names` are the job's, in order."""
    report = report_of(folder)
    if report is None:
        return {}
    return {
        names.index(run.name): run
        for run in report.runs
        if run.status == "done" and run.name in names and run.video and _has(folder, run)
    }


def _has(folder: Path, run: Run) -> bool:
    return all((folder / name).is_file() for name in (run.video, run.heatmap) if name)


def tidy(folder: Path) -> None:
    """Remove what a process left half done: `*.part`, and videos and pictures that no run of the report owns.

    The pictures that runs start from stay.

    Where there is a report that cannot be read, of another version perhaps, nothing but the halves is removed.
    """
    remove_parts(folder)
    report = report_of(folder)
    if report is None and (folder / REPORT).exists():
        return
    owned = {name for run in report.runs if run.status == "done" for name in _files(run)} if report else set()
    for path in _children(folder):
        given = FILE.fullmatch(path.name)
        if path.suffix in (".mp4", ".webp", ".png") and path.name not in owned and not given:
            with contextlib.suppress(OSError):
                path.unlink()


def remove_parts(folder: Path) -> None:
    """Remove what was half written."""
    for path in _children(folder):
        if path.suffix == ".part":
            with contextlib.suppress(OSError):
                path.unlink()


def _files(run: Run) -> Iterator[str]:
    yield from (name for name in (run.video, run.heatmap) if name)
    yield from (level.video for level in run.pyramid)
    if run.video:
        yield poster_of(run.video)


def poster_of(video: str) -> str:
    """The still picture of a run's video."""
    return f"{Path(video).stem}.png"


def size_of(folder: Path) -> int:
    """Bytes of a folder's files."""
    total = 0
    for path in _children(folder):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def ids_in(folder: Path) -> set[str]:
    """The ids of the jobs whose folders lie here."""
    return {path.name for path in _children(folder) if ID.fullmatch(path.name) and path.is_dir()}


def move(source: Path, target: Path) -> None:
    """Move a folder within the data directory; one that is not there is left so. Raises StorageError."""
    try:
        os.replace(source, target)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StorageError(f"the results cannot be moved: {(error.strerror or str(error)).lower()}.") from error


def remove(folder: Path) -> None:
    """Remove a job's folder and all that is in it; links are removed, not followed."""
    shutil.rmtree(folder, ignore_errors=True)


def plain_names(folder: Path) -> list[str]:
    """The files of a job that may be handed out."""
    return [path.name for path in _children(folder) if NAME.fullmatch(path.name) and path.suffix != ".part"]
