"""`python -m engine doctor`: it tells what a report needs, finds what is broken, and names nobody."""

from __future__ import annotations

import json
import platform
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli import doctor
from engine.jobs.database import MIGRATIONS
from engine.jobs.notices import notice
from engine.jobs.service import Jobs
from engine.measuring.video import VideoFailed
from tests.jobs import shelf

ROOT = Path(__file__).parents[2]
TORCH = {"torch": "2", "cuda": "none", "threads": 1, "gpus": []}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """torch is asked for in one test alone: importing it takes seconds."""
    monkeypatch.setattr(doctor, "TORCH", f"print({json.dumps(json.dumps(TORCH))})")


@pytest.fixture
def kept(tmp_path):
    """A data directory with one finished and one waiting job, and a notice."""
    shelf.put(tmp_path, shelf.experiment("SECRET PROMPT"))
    with Jobs(tmp_path, worker=False) as jobs:
        jobs.submit(shelf.experiment("SECRET TOO"), visitor="203.0.113.7")
        notice(jobs._store, "worker", "The worker was killed and was started again.")
    return tmp_path


def test_the_command_prints_everything_and_ends_with_0(kept):
    command = [sys.executable, "-m", "engine", "doctor", "--data-dir", str(kept)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=ROOT)
    told = json.loads(done.stdout)
    assert told["problems"] == []
    assert done.returncode == 0
    assert told["Devices"]["torch"].startswith("2.")
    assert told["Packages"]["gradio"]
    assert told["ffmpeg"]["libx264"] == "yes"
    assert told["Models"]["emoji-wan"] == "here"
    text = subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout
    for section in told.keys() - {"problems"}:
        assert f"{section}\n" in text
    assert text.rstrip().endswith("Nothing needed is broken.")


def test_it_counts_jobs_and_shows_notices_but_no_person(kept, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: kept.parent)
    named = platform.uname()._replace(node="machine-of-alice")
    monkeypatch.setattr(platform, "uname", lambda: named)
    found = doctor.examine(kept, {"RESOLUTE_DATA": str(kept), "USER": "alice"})
    assert found.well
    assert found.facts["Database"]["jobs"] == "1 done, 1 queued"
    assert found.facts["Database"]["schema"] == f"{len(MIGRATIONS)} of {len(MIGRATIONS)}"
    assert "The worker was killed" in str(found)
    for text in (str(found), found.to_json()):
        assert f"~/{kept.name}" in text
        for secret in (str(kept.parent), "SECRET", "203.0.113.7", "alice"):
            assert secret not in text


def test_a_running_instance_is_seen_and_left_alone(kept):
    with Jobs(kept, worker=False):
        before = (kept / "lock").read_bytes()
        assert doctor.examine(kept, {}).facts["Data directory"]["in use"].startswith("yes, by process")
        assert (kept / "lock").read_bytes() == before
    assert doctor.examine(kept, {}).facts["Data directory"]["in use"] == "no"


def test_it_changes_nothing(kept):
    def state() -> dict[str, bytes]:
        files = (path for path in kept.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files if not path.name.endswith(("-shm", "-wal"))}

    before = state()
    doctor.examine(kept, {})
    assert state() == before
    missing = kept / "not" / "there"
    assert doctor.examine(missing, {}).well
    assert not missing.parent.exists()


def broken(found: doctor.Diagnosis, words: str) -> None:
    assert not found.well
    told = [f"{problem.what} {problem.remedy}" for problem in found.problems]
    assert any(words in text for text in told), told
    for problem in found.problems:
        assert problem.what.endswith(".")
        assert problem.remedy.endswith(".")


def test_a_damaged_database_is_found(kept):
    for name in ("resolute.db-wal", "resolute.db-shm"):
        (kept / name).unlink(missing_ok=True)
    data = (kept / "resolute.db").read_bytes()
    (kept / "resolute.db").write_bytes(data[:4096] + b"\x13" * (len(data) - 4096))
    broken(doctor.examine(kept, {}), "The database")


def test_a_newer_database_is_found(kept):
    with sqlite3.connect(kept / "resolute.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    broken(doctor.examine(kept, {}), "schema 99")


def test_a_data_directory_that_is_a_file_is_found(tmp_path):
    path = tmp_path / "data"
    path.write_text("x")
    broken(doctor.examine(path, {}), "cannot be used")


def test_a_missing_ffmpeg_is_found(tmp_path, monkeypatch):
    def gone() -> str:
        raise VideoFailed("no ffmpeg")

    monkeypatch.setattr(doctor, "ffmpeg", gone)
    broken(doctor.examine(tmp_path, {}), "ffmpeg is missing")


def test_an_ffmpeg_without_h264_is_found(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho ffmpeg version 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(doctor, "ffmpeg", lambda: str(program))
    broken(doctor.examine(tmp_path, {}), "H.264")


@pytest.mark.parametrize("code", ["import os; os.abort()", "raise ImportError", "print('no json')", "pass"])
def test_a_torch_that_takes_its_process_with_it_is_found(tmp_path, monkeypatch, code):
    monkeypatch.setattr(doctor, "TORCH", code)
    broken(doctor.examine(tmp_path, {}), "torch cannot be imported")


def test_a_missing_package_is_found(tmp_path):
    problems: list[doctor.Problem] = []
    (tmp_path / "requirements.txt").write_text("# none\nnumpy==0.0.1\nno-such-package-of-ours==1.2\n")
    facts = doctor._packages(problems, tmp_path / "requirements.txt")
    assert facts["no-such-package-of-ours"] == "missing"
    assert "(tested with 0.0.1)" in facts["numpy"]
    assert [problem.remedy for problem in problems] == ["Run: pip install no-such-package-of-ours==1.2."]


def test_a_full_disk_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "LITTLE_BYTES", 2**80)
    broken(doctor.examine(tmp_path, {}), "Make room on it")


def test_a_limit_that_is_no_number_is_found(tmp_path):
    broken(doctor.examine(tmp_path, {"RESOLUTE_MAX_STEPS": "many"}), "RESOLUTE_MAX_STEPS is 'many'")


def test_names_of_hosts_that_are_set_are_not_told():
    environ = {"RESOLUTE_HOSTS": "box-of-alice.example", "RESOLUTE_ORIGINS": "https://box-of-alice.example"}
    told = doctor._settings(environ, [])
    assert told == {"RESOLUTE_HOSTS": "set", "RESOLUTE_ORIGINS": "set"}
