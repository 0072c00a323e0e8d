"""A run as one file: it comes back whole under a new id; whatever else comes is refused and leaves nothing behind."""

from __future__ import annotations

import contextlib
import io
import json
import stat
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.errors import InvalidInput, ModelNotFound
from engine.jobs.job_errors import NotFound, StorageError
from engine.jobs.limits import Limits
from engine.jobs.service import Jobs
from engine.measuring.video import ffmpeg, read_mp4
from tests.jobs import shelf

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Members:
    """The members of an honest archive of three runs."""
    root = tmp_path_factory.mktemp("there")
    job = shelf.put(root, shelf.experiment("a red apple"))
    with Jobs(root, worker=False) as jobs:
        data = b"".join(jobs.archive(job))
        assert job.encode() not in data, "whoever is given the file is not given the job"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def jobs(tmp_path):
    with Jobs(tmp_path / "data", worker=False) as opened:
        yield opened


def written(path: Path, members: Members, change: Callable[[zipfile.ZipFile], None] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        if change:
            change(archive)
    return path


def refused(jobs: Jobs, path: Path, words: str, error: type[Exception] = InvalidInput) -> None:
    with pytest.raises(error, match=words) as found:
        jobs.take_in(path)
    sentence = str(found.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert str(path.parent) not in sentence
    assert jobs.library() == []
    assert list(jobs.data.jobs.iterdir()) == []
    assert list(jobs.data.trash.iterdir()) == []


def changed_report(members: Members, **changes: object) -> Members:
    return members | {"report.json": json.dumps(json.loads(members["report.json"]) | changes).encode()}


def changed_document(members: Members, **changes: object) -> Members:
    request = json.loads(members["job.json"])
    request["document"] = json.dumps(json.loads(request["document"]) | changes)
    return members | {"job.json": json.dumps(request).encode()}


def test_an_archive_comes_back_whole_under_a_new_id_each_time(jobs, exported, tmp_path):
    path = written(tmp_path / "a.zip", exported)
    ids = [jobs.take_in(path), jobs.take_in(path)]
    assert len(set(ids)) == 2
    for job in ids:
        view = jobs.view(job)
        assert (view.status, view.prompt, view.pinned) == ("done", "a red apple", False)
        assert [run.status for run in view.runs] == ["done"] * 3
        for name, data in exported.items():
            if name.endswith(".mp4"):  # its stream is copied into a new file
                (tmp_path / name).write_bytes(data)
                assert np.array_equal(read_mp4(jobs.file(job, name)), read_mp4(tmp_path / name))
            elif name != "job.json":
                assert jobs.file(job, name).read_bytes() == data
        assert jobs.file(job, "index.html").is_file(), "the page is made anew"
        assert json.loads(jobs.file(job, "job.json").read_text())["id"] == job


def test_what_was_taken_in_is_there_after_a_restart(exported, tmp_path):
    with Jobs(tmp_path / "data", worker=False) as jobs:
        job = jobs.take_in(written(tmp_path / "a.zip", exported))
    with Jobs(tmp_path / "data", worker=False) as jobs:
        assert jobs.view(job).status == "done"
        assert jobs.notices() == []


def test_a_crash_between_unpacking_and_taking_in_leaves_nothing(exported, tmp_path, monkeypatch):
    from engine.jobs import archive

    with Jobs(tmp_path / "data", worker=False) as jobs:
        monkeypatch.setattr(archive.job_folders, "remove", lambda folder: None)  # the process is gone
        monkeypatch.setattr(archive, "_agreed", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            jobs.take_in(written(tmp_path / "a.zip", exported))
        assert len(list(jobs.data.trash.iterdir())) == 1
    monkeypatch.undo()
    with Jobs(tmp_path / "data", worker=False) as jobs:
        assert list(jobs.data.trash.iterdir()) == []
        assert jobs.library() == []


def test_a_job_without_a_finished_run_has_no_archive(jobs):
    job = jobs.submit(shelf.experiment())
    with pytest.raises(NotFound):
        jobs.archive(job)
    with pytest.raises(NotFound):
        jobs.archive("../../../etc/pass")


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.mp4", "/etc/passwd", "..\\..\\evil.mp4", "C:\\evil.mp4", "jobs/00.mp4", "00.mp4/", "index.html",
        "report.json.part", ".hidden", "00.MP4", "٠٠.mp4", "resolute.db", "00.svg",
    ],
)  # fmt: skip
def test_only_the_files_that_a_job_has_may_be_inside(jobs, exported, tmp_path, name):
    refused(jobs, written(tmp_path / "a.zip", exported | {name: b"x"}), "no file of a run")
    assert not (tmp_path / "escaped.mp4").exists()


def test_a_name_that_goes_on_behind_a_nul_is_refused(jobs, exported, tmp_path):
    path = written(tmp_path / "a.zip", exported | {"03.mp4_.html": b"x"})
    path.write_bytes(path.read_bytes().replace(b"03.mp4_.html", b"03.mp4\0.html"))
    refused(jobs, path, "no file of a run")


def test_a_link_is_refused(jobs, exported, tmp_path):
    def link(archive: zipfile.ZipFile) -> None:
        member = zipfile.ZipInfo("03.mp4")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")

    refused(jobs, written(tmp_path / "a.zip", exported, link), "03.mp4 is not a plain file")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(jobs, exported, tmp_path):
    path = written(tmp_path / "a.zip", exported, lambda archive: archive.writestr("report.json", "{}"))
    refused(jobs, path, "report.json twice")


def test_a_bomb_is_refused_by_what_it_declares(jobs, exported, tmp_path):
    bomb = exported | {"03.png": b"\0" * (17 * 2**20)}
    path = written(tmp_path / "a.zip", bomb)
    assert path.stat().st_size < 300_000
    refused(jobs, path, "03.png has 17,825,792 bytes")


def test_a_bomb_that_declares_little_is_refused_by_what_it_holds(jobs, exported, tmp_path):
    path = written(tmp_path / "a.zip", exported | {"03.png": b"\0" * 2_000_000})
    data = bytearray(path.read_bytes())
    declared, little = (2_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    assert data.count(declared) == 2  # in the member's own header and in the directory
    path.write_bytes(data.replace(declared, little))
    refused(jobs, path, "archive")


def test_more_files_than_any_run_has_are_refused(jobs, exported, tmp_path):
    many = {f"{number:02d}.png": b"x" for number in range(100)} | {f"{n:02d}.webp": b"x" for n in range(99)}
    refused(jobs, written(tmp_path / "a.zip", exported | many), "at most 200")


def test_nothing_that_is_kept_goes_for_an_archive(exported, tmp_path):
    with Jobs(tmp_path / "data", worker=False, limits=Limits(disk_bytes=1000)) as jobs:
        refused(jobs, written(tmp_path / "a.zip", exported), "room for 1,000", StorageError)


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x05\x06" + b"\0" * 18, b"PK\x03\x04" + b"\xff" * 200])
def test_what_is_no_zip_is_refused(jobs, tmp_path, data):
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    refused(jobs, path, "archive")


def test_an_archive_that_is_cut_off_is_refused_wherever_it_is_cut(jobs, exported, tmp_path):
    whole = written(tmp_path / "a.zip", exported).read_bytes()
    path = tmp_path / "cut.zip"
    for share in range(1, 20):
        path.write_bytes(whole[: len(whole) * share // 20])
        refused(jobs, path, "archive")


def test_an_archive_with_a_changed_byte_is_refused_or_whole(jobs, exported, tmp_path):
    whole = written(tmp_path / "a.zip", exported).read_bytes()
    path = tmp_path / "changed.zip"
    for place in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        with contextlib.suppress(InvalidInput, StorageError, ModelNotFound):
            assert jobs.view(jobs.take_in(path)).status == "done"
        assert list(jobs.data.trash.iterdir()) == []


@pytest.mark.parametrize("missing", ["job.json", "report.json"])
def test_request_and_report_must_be_there(jobs, exported, tmp_path, missing):
    members = {name: data for name, data in exported.items() if name != missing}
    refused(jobs, written(tmp_path / "a.zip", members), f"no {missing}")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("report.json", b"{}"), ("report.json", b"[" * 100_000), ("report.json", b"\xff\xfe"), ("job.json", b"null"),
        ("job.json", b"[" * 20_000), ("job.json", b'{"document": 7}'), ("job.json", b'{"document": "{}"}'),
        ("job.json", b'{"a": 1, "a": 2}'), ("report.json", b'{"version": 99}'),
    ],
)  # fmt: skip
def test_request_and_report_are_parsed_strictly(jobs, exported, tmp_path, name, data):
    refused(jobs, written(tmp_path / "a.zip", exported | {name: data}), ".")


def test_the_report_must_be_of_the_same_experiment(jobs, exported, tmp_path):
    refused(jobs, written(tmp_path / "a.zip", changed_report(exported, prompt="another")), "differ in prompt")
    refused(jobs, written(tmp_path / "b.zip", changed_report(exported, seed=8)), "differ in seed")


def test_a_run_may_not_claim_the_files_of_another(jobs, exported, tmp_path):
    report = json.loads(exported["report.json"])
    for field, value in (("video", "job.json"), ("video", "01.mp4"), ("heatmap", "report.json")):
        runs = [report["runs"][0] | {field: value}, *report["runs"][1:]]
        refused(jobs, written(tmp_path / f"{field}.zip", changed_report(exported, runs=runs)), "files of another run")


def test_a_run_may_not_claim_other_steps_of_its_own_than_were_asked_for(jobs, exported, tmp_path):
    report = json.loads(exported["report.json"])
    for steps in (6, 1000):
        runs = [report["runs"][0], report["runs"][1] | {"steps": steps}, *report["runs"][2:]]
        refused(
            jobs, written(tmp_path / f"{steps}.zip", changed_report(exported, runs=runs)), "gives .* other steps than"
        )


def test_a_model_that_is_a_path_is_not_looked_for(jobs, exported, tmp_path):
    path = written(tmp_path / "a.zip", changed_document(exported, model="/etc"))
    refused(jobs, path, "not in the catalogue", ModelNotFound)


def test_what_could_be_run_here_is_within_what_may_be_run(exported, tmp_path):
    members = {name: data for name, data in exported.items() if not name.startswith("02")}
    report = json.loads(members["report.json"])
    members = changed_report(members, runs=report["runs"][:2])
    with Jobs(tmp_path / "strict", worker=False, limits=Limits(steps=2)) as strict:
        refused(strict, written(tmp_path / "a.zip", members), "at most 2 are allowed")
    with Jobs(tmp_path / "data", worker=False) as jobs:
        view = jobs.view(jobs.take_in(tmp_path / "a.zip"))
        assert [run.status for run in view.runs] == ["done", "done", "interrupted"]
        assert view.can_retry


@pytest.mark.parametrize("name", ["00.mp4", "01-difference.mp4", "00.png", "03.webp"])
@pytest.mark.parametrize(
    "data", [b"<html><script>alert(1)</script>", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b""]
)
def test_pictures_must_be_what_their_names_say(jobs, exported, tmp_path, name, data):
    refused(jobs, written(tmp_path / "a.zip", exported | {name: data}), name)


def test_a_video_whose_frames_would_fill_the_memory_is_not_decoded(jobs, exported, tmp_path):
    path = tmp_path / "huge.mp4"
    source = ["-f", "lavfi", "-i", "color=size=4100x4100:rate=1", "-frames:v", "1", "-pix_fmt", "yuv420p"]
    command = [ffmpeg(), "-v", "error", *source, "-c:v", "libx264", "-preset", "ultrafast", str(path)]
    subprocess.run(command, check=True, timeout=120)
    assert path.stat().st_size < 200_000
    refused(jobs, written(tmp_path / "a.zip", exported | {"00.mp4": path.read_bytes()}), "00.mp4 cannot be read")
