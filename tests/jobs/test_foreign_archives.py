# ruff: noqa: F811 (fixtures of another file are named where they are used)
"""What a stranger's archive may cost and what is kept of it: memory, disk, codings, tags, one at a time."""

from __future__ import annotations

import io
import json
import subprocess
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from engine.errors import InvalidInput, RunFailed
from engine.experiments.documents import TAG, load_experiment
from engine.jobs import archive, job_folders
from engine.jobs.job_errors import NotNow, StorageError
from engine.jobs.limits import Limits
from engine.jobs.one_at_a_time import BUSY, OneAtATime
from engine.jobs.remembered_views import Remembered, held_bytes
from engine.jobs.service import Jobs
from engine.measuring.video import ffmpeg, read_metadata, write_mp4
from engine.reports.report_file import load
from tests.jobs import shelf
from tests.jobs.test_archive import Members, exported, jobs, refused, written  # noqa: F401

CODINGS = {
    "qtrle": (), "cinepak": (), "png": (), "mjpeg": (), "prores_ks": (), "gif": (), "tiff": (), "cfhd": (),
    "jpeg2000": (),
}  # fmt: skip


def made(path: Path, *options: str, source: str = "testsrc=size=64x64:rate=8") -> bytes:
    """A video of ffmpeg's, as mov."""
    command = [ffmpeg(), "-v", "error", "-y", "-f", "lavfi", "-i", source, *options, "-t", "1", "-f", "mov", str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path.read_bytes()


def with_report(members: Members, change: Any) -> Members:
    report = json.loads(members["report.json"])
    change(report)
    return members | {"report.json": json.dumps(report, separators=(",", ":")).encode()}


# ---- memory ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b'{"runs":[' + b"0," * 8_000_000 + b"0]}",
        b"{" + b"".join(b'"%x":1,' % number for number in range(1_100_000)) + b'"b":1}',
        b"{" + b'"a":1,' * 2_400_000 + b'"b":1}',
    ],
    ids=["wrong runs", "unknown keys", "one key"],
)
def test_an_archive_whose_report_would_fill_the_memory_is_refused_unread(jobs, exported, tmp_path, monkeypatch, data):
    path = written(tmp_path / "a.zip", exported | {"report.json": data})
    monkeypatch.setattr(archive, "load", lambda path: pytest.fail("the report was read"))
    refused(jobs, path, "report.json has .* bytes, at most 8,388,608 are taken")


@pytest.mark.parametrize("count", [1001, 250_000, 7_000_000])
def test_a_report_that_is_valid_but_bloated_is_refused(jobs, exported, tmp_path, count):
    def bloat(report: Any) -> None:
        report["runs"][1]["similarity"]["psnr"]["frames"] = [2] * count

    refused(jobs, written(tmp_path / "a.zip", with_report(exported, bloat)), "at most")


def test_reports_are_remembered_by_what_they_take():
    kept = Remembered(1000, len)
    for number in range(9):
        kept.keep(str(number), "x" * 300)
    assert kept.weight == 900
    assert [number for number in range(9) if kept.get(str(number))] == [6, 7, 8]
    kept.keep("7", "x" * 1001)
    assert kept.get("7") is None
    kept.keep("8", "y")
    assert kept.weight == 301


def test_what_a_report_takes_grows_with_all_that_it_holds(exported, tmp_path):
    (tmp_path / "report.json").write_bytes(exported["report.json"])
    small = load(tmp_path / "report.json")

    def longer(report: Any) -> None:
        report["runs"][1]["similarity"]["psnr"]["frames"] = [k + 0.5 for k in range(1000)]

    (tmp_path / "report.json").write_bytes(with_report(exported, longer)["report.json"])
    assert held_bytes(load(tmp_path / "report.json")) > held_bytes(small) + 1000 * 20


# ---- disk ----------------------------------------------------------------------------------------------------------


def test_all_that_an_import_takes_is_counted(jobs, exported, tmp_path):
    job = jobs.take_in(written(tmp_path / "a.zip", exported))
    folder = jobs.data.job(job)
    assert (folder / job_folders.PAGE).stat().st_size > 4_000_000
    assert jobs.view(job).bytes == job_folders.size_of(folder) > 4_000_000
    assert jobs.disk().results == job_folders.size_of(folder)


def test_a_folder_that_is_found_again_is_counted_with_its_page(tmp_path):
    job = shelf.put(tmp_path, shelf.experiment())
    with Jobs(tmp_path, worker=False) as opened:
        assert opened.view(job).bytes == job_folders.size_of(opened.data.job(job)) > 4_000_000


def test_room_is_asked_for_the_page_too(exported, tmp_path):
    total = sum(map(len, exported.values()))
    with Jobs(tmp_path / "data", worker=False, limits=Limits(disk_bytes=total + 4_000_000)) as jobs:
        refused(jobs, written(tmp_path / "a.zip", exported), "there is room for", StorageError)


@pytest.mark.parametrize("name", ["03.mp4", "03.png", "03-difference.webp", "00-level-1.mp4"])
def test_what_unpacks_to_far_more_than_it_was_packed_to_is_refused_unread(jobs, exported, tmp_path, monkeypatch, name):
    monkeypatch.setattr(archive, "_extract", lambda *args: pytest.fail("it was unpacked"))
    refused(jobs, written(tmp_path / "a.zip", exported | {name: bytes(10**7)}), f"{name} would unpack to 10,000,000")


def test_files_that_lie_over_one_another_are_refused(jobs, exported, tmp_path):
    path = written(tmp_path / "a.zip", exported)
    members = archive.zipfile.ZipFile(path).infolist()
    with pytest.raises(InvalidInput, match="over one another"):
        archive._check_members(members, 10**10, sum(member.compress_size for member in members) - 1)


def test_nothing_is_unpacked_beside_documents_that_do_not_agree(jobs, exported, tmp_path, monkeypatch):
    seen = []
    extract = archive._extract
    monkeypatch.setattr(
        archive,
        "_extract",
        lambda zipped, member, folder: seen.append(member.filename) or extract(zipped, member, folder),
    )
    members = with_report(exported, lambda report: report.update(seed=8))
    refused(jobs, written(tmp_path / "a.zip", dict(sorted(members.items()))), "differ in seed")
    assert sorted(seen) == ["job.json", "report.json"]


def test_the_first_bad_file_ends_the_unpacking(jobs, exported, tmp_path, monkeypatch):
    kept = []
    keep = archive.keep_member
    monkeypatch.setattr(archive, "keep_member", lambda path, made: kept.append(path.name) or keep(path, made))
    refused(jobs, written(tmp_path / "a.zip", exported | {"00.mp4": b"no video"}), "00.mp4 cannot be read")
    assert kept == ["00.mp4"]


def test_a_disk_that_fills_up_meanwhile_is_said_and_nothing_stays(jobs, exported, tmp_path, monkeypatch):
    def full(*args: Any) -> None:
        raise RunFailed("report.json was not written: the disk is full.")

    monkeypatch.setattr(archive, "save", full)
    refused(jobs, written(tmp_path / "a.zip", exported), "not taken in: .* the disk is full", StorageError)


# ---- one at a time -------------------------------------------------------------------------------------------------


def test_while_one_archive_is_taken_in_others_are_told_to_come_back(jobs, exported, tmp_path):
    path = written(tmp_path / "a.zip", exported)
    jobs.taking_in = OneAtATime(waiting=0)
    with jobs.taking_in.turn():
        refused(jobs, path, "another file is being taken in; try again in a moment", NotNow)
    assert jobs.view(jobs.take_in(path)).status == "done"


def test_a_few_wait_their_turn_and_never_two_are_in():
    gate, inside, most, told = OneAtATime(waiting=2, seconds=5), [], [], []
    begun = threading.Barrier(6)

    def one() -> None:
        begun.wait()
        try:
            with gate.turn():
                inside.append(1)
                most.append(len(inside))
                threading.Event().wait(0.05)
                inside.pop()
        except NotNow as error:
            told.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert most == [1] * 3
    assert told == [BUSY] * 3


def test_who_waits_too_long_is_told_and_leaves_the_gate_open():
    gate = OneAtATime(waiting=1, seconds=0.02)
    with gate.turn(), pytest.raises(NotNow), gate.turn():
        pass
    with gate.turn():
        pass


# ---- videos and stills -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", CODINGS)
def test_a_video_in_another_coding_is_refused_wherever_it_comes_in(jobs, exported, tmp_path, coding):
    data = made(tmp_path / "01.mp4", "-c:v", coding, "-metadata", "resolute={}", "-movflags", "use_metadata_tags")
    refused(jobs, written(tmp_path / "a.zip", exported | {"01.mp4": data}), "01.mp4 cannot be read")
    with pytest.raises(InvalidInput):
        jobs.add_picture(data)
    with pytest.raises(Exception, match=r"01\.mp4 cannot be read as a video"):
        load_experiment(tmp_path / "01.mp4")


def test_of_an_imported_video_only_its_pictures_and_the_experiment_are_kept(jobs, exported, tmp_path):
    noisy = made(
        tmp_path / "x.mov", "-f", "lavfi", "-i", "sine", "-f", "lavfi", "-i", "color=red:size=32x32:rate=8",
        "-map", "0", "-map", "1", "-map", "2", "-c:v", "libx264", "-c:a", "aac",
        "-metadata", "resolute={}", "-metadata", "title=secret", "-metadata", "location=+51.5-000.1/",
        "-metadata:s:v:0", "handler_name=secret", "-movflags", "use_metadata_tags",
    )  # fmt: skip
    assert b"secret" in noisy
    path = written(tmp_path / "a.zip", exported | {"01.mp4": noisy, "01-difference.mp4": noisy})
    job = jobs.take_in(path)
    folder = jobs.data.job(job)
    assert read_metadata(folder / "01.mp4").keys() == {TAG}
    assert load_experiment(folder / "01.mp4").document() == jobs.view(job).experiment.document()
    assert read_metadata(folder / "01-difference.mp4") == {}
    for name in ("01.mp4", "01-difference.mp4"):
        kept = (folder / name).read_bytes()
        assert b"secret" not in kept
        assert b"51.5" not in kept
        probe = subprocess.run([ffmpeg(), "-hide_banner", "-i", folder / name], capture_output=True, text=True)
        assert probe.stderr.count("Stream #") == 1, probe.stderr


def test_more_tags_than_any_video_of_ours_has_are_not_read(tmp_path):
    write_mp4(tmp_path / "a.mp4", shelf.drawn(1, 2, 32, 32), 8, {f"k{number}": "x" * 90_000 for number in range(5)})
    with pytest.raises(Exception, match="bytes of tags; at most 400,000 are read"):
        read_metadata(tmp_path / "a.mp4")


def _png(**options: Any) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(made, "PNG", **options)
    return made.getvalue()


def test_a_still_is_decoded_whole_and_written_anew(jobs, exported, tmp_path):
    told = PngImagePlugin.PngInfo()
    told.add_text("comment", "secret")
    data = _png(pnginfo=told) + b"<script>secret</script>"
    assert data.count(b"secret") == 2
    job = jobs.take_in(written(tmp_path / "a.zip", exported | {"01.png": data}))
    kept = jobs.file(job, "01.png").read_bytes()
    assert kept == _png()


def test_a_still_whose_pixels_cannot_be_unpacked_is_refused(jobs, exported, tmp_path):
    data = exported["01.png"]
    at = data.index(b"IDAT") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    odd = zlib.compress(b"")[:2] + bytes(range(256))
    chunk = len(odd).to_bytes(4, "big") + b"IDAT" + odd + zlib.crc32(b"IDAT" + odd).to_bytes(4, "big")
    bad = data[:at] + chunk + data[at + 12 + length :]
    Image.open(io.BytesIO(bad)).verify()  # what was done before
    refused(jobs, written(tmp_path / "a.zip", exported | {"01.png": bad}), "01.png is no PNG picture that is whole")


def test_a_still_that_moves_or_is_huge_is_refused(jobs, exported, tmp_path):
    other = Image.new("RGB", (64, 48), "blue")
    moving = _png(save_all=True, append_images=[other])
    refused(jobs, written(tmp_path / "a.zip", exported | {"01.png": moving}), "larger than any of a run")
    huge = io.BytesIO()
    Image.new("1", (5000, 5000)).save(huge, "PNG")
    refused(jobs, written(tmp_path / "b.zip", exported | {"01.png": huge.getvalue()}), "larger than any of a run")


def test_an_animated_picture_is_decoded_frame_by_frame(jobs, exported, tmp_path):
    made = io.BytesIO()
    frames = [Image.effect_noise((64, 48), 50 + k).convert("RGB") for k in range(4)]
    frames[0].save(made, "WEBP", save_all=True, append_images=frames[1:], lossless=True, duration=50)
    data = made.getvalue()
    assert jobs.take_in(written(tmp_path / "a.zip", exported | {"03.webp": data}))
    at = len(data) * 3 // 4
    with pytest.raises(InvalidInput, match=r"03\.webp is no WebP picture that is whole"):
        jobs.take_in(written(tmp_path / "b.zip", exported | {"03.webp": data[:at] + bytes(400) + data[at + 400 :]}))
