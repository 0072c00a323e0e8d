"""The data directory and the database: refusals in one sentence, corrupt and foreign files, paths, a full disk."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import subprocess
import sys
import threading

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.jobs import job_folders, queue
from engine.jobs.data_dir import ID, DataDir, default_folder, new_id
from engine.jobs.database import MIGRATIONS, VERSION, Store, open_or_renew
from engine.jobs.job_errors import NotFound, StorageError
from engine.jobs.limits import Limits
from engine.jobs.service import Jobs
from engine.jobs.supervisor import ROOT
from tests.jobs.conftest import experiment, finished


def test_the_page_side_of_jobs_loads_no_torch():
    code = (
        "import engine.jobs.service, engine.jobs.worker, sys; print(sorted({'torch', 'diffusers'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("folder", ["/proc/nowhere/data", "/dev/null/data", "/proc/self/fd"])
def test_a_directory_that_cannot_be_used_is_refused_in_one_sentence(folder, tmp_path):
    from pathlib import Path

    with pytest.raises(StorageError) as refused:
        Jobs(Path(folder))
    assert re.fullmatch(r"the data directory .* cannot be used \(.*\); give another .*\.", str(refused.value))
    with pytest.raises(StorageError, match="cannot be used"):
        DataDir(tmp_path / "missing")


def test_the_default_folder_follows_the_environment():
    assert str(default_folder({"RESOLUTE_DATA": "/srv/x"})) == "/srv/x"
    assert str(default_folder({"XDG_DATA_HOME": "/home/a/data"})) == "/home/a/data/resolute"


def test_an_ephemeral_directory_says_so(tmp_path, monkeypatch):
    data = DataDir(tmp_path)
    assert "persistent storage" in data.ephemeral({"SPACE_ID": "someone/resolute"})
    monkeypatch.setattr("engine.jobs.data_dir._file_system", lambda path: "tmpfs")
    assert "in memory" in data.ephemeral({})
    monkeypatch.setattr("engine.jobs.data_dir._file_system", lambda path: "ext4")
    assert data.ephemeral({}) is None


def test_ids_are_distinct_and_of_harmless_letters():
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(ID.fullmatch(one) for one in ids)


HOSTILE = [
    "../../etc/passwd", "..", ".", "", "/etc/passwd", "C:\\x", "a\\b", "%2e%2e", "a/b", "x.part", "\x00", "🍎", " ",
    "report.json/..", "link.mp4", "folder", None, 7, b"report.json", "a" * 300, "~root", ".hidden", "-x",
]  # fmt: skip


@pytest.fixture
def data(tmp_path):
    made = DataDir(tmp_path / "data", owner=True)
    folder = made.job("A" * 16)
    (folder / "folder").mkdir(parents=True)
    (folder / "report.json").write_text("{}")
    (tmp_path / "secret").write_text("secret")
    (folder / "link.mp4").symlink_to(tmp_path / "secret")
    (folder / "x.part").write_text("half")
    yield made
    made.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_only_plain_files_of_a_job_are_handed_out(data, name):
    assert data.file("A" * 16, "report.json").name == "report.json"
    with pytest.raises(NotFound):
        data.file("A" * 16, name)
    with pytest.raises(NotFound):
        data.file(name, "report.json")


def test_a_job_folder_that_is_a_link_is_not_followed(data, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "report.json").write_text("{}")
    (data.jobs / ("B" * 16)).symlink_to(tmp_path / "outside")
    with pytest.raises(NotFound):
        data.file("B" * 16, "report.json")


@settings(max_examples=500, deadline=None)
@given(job=st.text(max_size=20), name=st.text(max_size=30))
def test_no_id_and_name_lead_outside(tmp_path_factory, job, name):
    root = tmp_path_factory.getbasetemp() / "fuzzed"
    data = DataDir(root, owner=True)
    try:
        with pytest.raises(NotFound):
            data.file(job, name)
    finally:
        data.close()


@pytest.mark.parametrize("damage", ["garbage", "empty", "half", "first page", "zeros in the middle"])
def test_a_corrupt_database_is_put_aside_and_results_are_found_again(opened, damage):
    jobs = opened()
    job, pinned = jobs.submit(experiment(tracks=2)), jobs.submit(experiment())
    finished(jobs, job), finished(jobs, pinned)
    jobs.pin(pinned)
    jobs.close()
    waiting = opened(worker=False)
    lost = waiting.submit(experiment())
    waiting.close()
    database = jobs.data.database
    whole = database.read_bytes()
    damaged = {
        "garbage": os.urandom(len(whole)),
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "first page": whole[:4096],
        "zeros in the middle": whole[:5000] + bytes(12000) + whole[17000:],
    }[damage]
    database.write_bytes(damaged)
    again = opened()
    found = {view.id: view for view in again.library()}
    assert {run.status for run in found[job].runs} == {"done"}
    assert (found[job].status, found[pinned].pinned) == ("done", True)
    assert again.file(job, "01.mp4").is_file()
    assert (found[lost].status, {run.status for run in found[lost].runs}) == ("interrupted", {"interrupted"})
    texts = " ".join(notice.text for notice in again.notices())
    assert "taken in" in texts
    if damage != "empty":  # SQLite takes an empty file for a new database
        kept = [path for path in again.data.root.iterdir() if ".corrupt-" in path.name]
        assert [path.read_bytes() for path in kept] == [damaged]
        assert kept[0].name in texts
    again.retry(lost)
    assert finished(again, lost).status == "done"


def test_a_database_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "resolute.db"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(StorageError, match="made by a newer Resolute"):
        open_or_renew(path)
    assert path.exists()


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "resolute.db"
    Store(path).close()
    broken = (*MIGRATIONS, "ALTER TABLE jobs ADD COLUMN extra TEXT;\nNOT SQL AT ALL;\n")
    monkeypatch.setattr("engine.jobs.database.MIGRATIONS", broken)
    monkeypatch.setattr("engine.jobs.database.VERSION", len(broken))
    with pytest.raises(StorageError, match="syntax error"):
        Store(path)
    monkeypatch.undo()
    store = Store(path)
    assert "extra" not in {row["name"] for row in store.read("PRAGMA table_info(jobs)")}
    store.close()


def test_a_database_that_another_writer_holds_is_waited_for_then_told(tmp_path):
    store = Store(tmp_path / "resolute.db", busy_s=0.3)
    other = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="the database is busy; try again"), store.transaction():
        pass
    threading.Timer(0.1, lambda: other.execute("ROLLBACK")).start()
    with store.transaction() as db:
        db.execute("UPDATE counters SET value = 7 WHERE name = 'library'")
    assert store.read("SELECT value FROM counters WHERE name = 'library'")[0][0] == 7
    other.close()
    store.close()


def test_no_two_claims_get_the_same_job(tmp_path):
    data = DataDir(tmp_path, owner=True)
    store = Store(data.database)
    limits = Limits(waiting=99, waiting_visitor=99)
    for number in range(40):
        job = f"{number:016d}"
        queue.insert(store, job, experiment(), visitor="", noise_floor=False, limits=limits, write=lambda: None)
    barrier, claimed = threading.Barrier(8), []

    def claim_all():
        own = Store(data.database)
        barrier.wait()
        while job := queue.claim(own):
            claimed.append(job.id)
        own.close()

    threads = [threading.Thread(target=claim_all) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(claimed) == [f"{number:016d}" for number in range(40)]
    store.close()
    data.close()


def test_a_cancel_that_races_the_end_leaves_one_terminal_state(tmp_path):
    data = DataDir(tmp_path, owner=True)
    store = Store(data.database)
    for number in range(30):
        job = f"{number:016d}"
        queue.insert(store, job, experiment(), visitor="", noise_floor=False, limits=Limits(), write=lambda: None)
        queue.claim(store)
        barrier, ended = threading.Barrier(3), []

        def race(change, barrier=barrier):
            barrier.wait()
            change()

        changes = [
            lambda job=job: queue.cancel(store, job),
            lambda job=job, ended=ended: ended.append(queue.end_job(store, job, "done", None, 1)),
            lambda job=job, ended=ended: ended.append(queue.end_job(store, job, "cancelled", None, 1)),
        ]
        threads = [threading.Thread(target=race, args=(change,)) for change in changes]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert sorted(ended) == [False, True]
        assert store.read("SELECT status FROM jobs WHERE id = ?", job)[0][0] in ("done", "cancelled")
    store.close()
    data.close()


def test_a_disk_that_is_full_refuses_a_submission_and_leaves_nothing(opened, monkeypatch):
    jobs = opened(worker=False)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="was not written: the disk is full"):
        jobs.submit(experiment())
    monkeypatch.undo()
    assert jobs.library() == []
    assert list(jobs.data.jobs.iterdir()) == []
    jobs.submit(experiment())


def test_a_full_database_refuses_a_submission_and_leaves_nothing(opened):
    jobs = opened(worker=False)
    pages = jobs._store._writer.execute("PRAGMA page_count").fetchone()[0]
    jobs._store._writer.execute(f"PRAGMA max_page_count = {pages}")
    refusals = []
    for _ in range(100):
        try:
            jobs.submit(experiment(tracks=7), visitor=new_id())
        except StorageError as error:
            refusals.append(str(error))
    assert set(refusals) == {"the disk is full; delete results or make room."}
    rows = {view.id for view in jobs.library()}
    assert rows == job_folders.ids_in(jobs.data.jobs)


def test_fifty_openings_leave_no_file_and_no_thread_behind(opened, tmp_path):
    process = psutil.Process()
    opened(worker=False).close()
    files, threads = process.num_fds(), process.num_threads()
    for _ in range(50):
        jobs = opened(worker=False)
        jobs.view(jobs.submit(experiment(), visitor=new_id())) if jobs.library_revision() < 20 else None
        jobs.close()
    assert process.num_fds() <= files
    assert process.num_threads() <= threads
