"""Pictures at the border: sent over HTTP, kept among the added ones, in jobs, in archives, out again."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from engine.errors import InvalidInput
from engine.experiments.conditions import FILE, Conditions
from engine.experiments.control_video import clip_file, read_clip
from engine.experiments.documents import parse_experiment
from engine.experiments.experiment import Experiment, make_experiment
from engine.experiments.input_picture import picture_file, read_picture
from engine.experiments.settings import Settings
from engine.jobs import job_folders
from engine.jobs.job_errors import StorageError
from engine.jobs.limits import Limits
from engine.jobs.service import Jobs
from engine.models.catalogue import catalogue_model
from tests.experiments.pictures import MALICIOUS, drawn, saved
from tests.experiments.test_conditions import experiment, track
from tests.experiments.test_control_video import moving, mp4
from tests.jobs import shelf
from ui.server.web_app import create_app
from ui.studio import opened_files

PHOTO = saved(drawn(300, 200), "JPEG")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One app for all tests that talk to one."""
    with (
        Jobs(tmp_path_factory.mktemp("data"), worker=False) as jobs,
        TestClient(create_app(jobs), raise_server_exceptions=False) as client,
    ):
        yield jobs, client


@pytest.fixture
def jobs(request, tmp_path):
    """The app's jobs for a test of the app, else some of the test's own."""
    if "client" in request.fixturenames:
        yield request.getfixturevalue("served")[0]
        return
    with Jobs(tmp_path / "data", worker=False) as opened:
        yield opened


@pytest.fixture
def client(served):
    jobs, opened = served
    yield opened
    for path in jobs.data.inputs.iterdir():
        path.unlink()


def small(**given) -> Experiment:
    return replace(experiment(**given), height=64, width=96, frames=5)


# ---- over HTTP ---------------------------------------------------------------------------------------------------


def test_a_picture_is_named_by_the_answer_and_shown_by_that_name(client):
    answer = client.post("/inputs", content=PHOTO)
    assert answer.json() == read_picture(PHOTO).document()
    shown = client.get(f"/inputs/{answer.json()['sha256']}.png")
    assert shown.content == read_picture(PHOTO).png
    assert (shown.headers["content-type"], shown.headers["x-content-type-options"]) == ("image/png", "nosniff")


@pytest.mark.parametrize("name", MALICIOUS)
def test_what_is_no_picture_is_answered_with_one_sentence_and_leaves_nothing(client, jobs, name):
    answer = client.post("/inputs", content=MALICIOUS[name])
    assert answer.status_code == (413 if name == "too many bytes" else 422)
    assert "\n" not in answer.json()["error"]
    assert list(jobs.data.inputs.iterdir()) == []


def test_another_sites_page_adds_nothing(client, jobs):
    assert client.post("/inputs", content=PHOTO, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert list(jobs.data.inputs.iterdir()) == []


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "0" * 64, "0" * 63, "input-" + "0" * 64, "%00", "lock"])
def test_what_is_no_added_picture_is_not_found(client, name):
    assert client.get(f"/inputs/{name}.png").status_code == 404


def test_a_link_among_the_pictures_is_not_followed(client, jobs):
    (jobs.data.inputs / f"input-{'0' * 64}.png").symlink_to("/etc/passwd")
    assert client.get(f"/inputs/{'0' * 64}.png").status_code == 404
    with pytest.raises(InvalidInput, match="not here"):
        jobs.picture("0" * 64, "image")


def test_the_least_recently_used_pictures_go_first(tmp_path):
    one, two, three = (saved(drawn(200 + 4 * k, 100), compress_level=0) for k in range(3))
    with Jobs(tmp_path, worker=False, limits=Limits(input_bytes=150_000)) as jobs:
        kept = [jobs.add_picture(data) for data in (one, two, one, three)]
        size = sum(path.stat().st_size for path in jobs.data.inputs.iterdir())
        names = {path.name for path in jobs.data.inputs.iterdir()}
    assert size <= 150_000 or len(names) == 1
    assert kept[3].file in names


# ---- in jobs -----------------------------------------------------------------------------------------------------


def test_a_job_has_its_picture_beside_it_and_counts_it(jobs):
    picture = jobs.add_picture(PHOTO)
    assert picture.png is None
    job = jobs.submit(small(image=picture))
    folder = jobs.data.job(job)
    assert picture_file(folder / picture.file) == picture
    assert picture.file in jobs.files(job)
    assert job_folders.size_of(folder) > (folder / picture.file).stat().st_size
    job_folders.tidy(folder)
    assert (folder / picture.file).is_file()
    (jobs.data.inputs / picture.file).unlink()
    asked = parse_experiment(jobs.view(job).document, "the job", catalogue_model)
    jobs.lend_pictures(job, asked)  # opened in the studio, its picture can start another run
    assert jobs.submit(asked) != job


def test_a_job_without_its_picture_is_refused_before_anything_is_stored(jobs):
    named = read_picture(PHOTO)
    for asked, told in ((small(), "image is empty"), (small(image=replace(named, png=None)), "is not here")):
        with pytest.raises(InvalidInput, match=told):
            jobs.submit(asked)
    assert jobs.library() == []
    assert list(jobs.data.jobs.iterdir()) == []


def test_a_document_that_is_opened_asks_for_its_picture_and_keeps_all_else(tmp_path):
    asked = experiment(image=read_picture(PHOTO))
    (tmp_path / "experiment.json").write_text(json.dumps(asked.document()))
    opened = opened_files.open_file(
        str(tmp_path / "experiment.json"), opened_files.Board(6), {}, catalogue_model("emoji-wan")
    ).experiment
    assert opened == asked
    assert opened.conditions.image.png is None


# ---- in archives -------------------------------------------------------------------------------------------------


@pytest.fixture
def exported(tmp_path) -> dict[str, bytes]:
    """The members of the archive of a finished job that started from a picture."""
    asked = small(image=read_picture(PHOTO))
    root = tmp_path / "other"
    job = shelf.put(root, asked)
    report = json.loads((root / "jobs" / job / "report.json").read_text())
    report["image"] = asked.conditions.image.document()
    (root / "jobs" / job / "report.json").write_text(json.dumps(report))
    asked.conditions.keep(root / "jobs" / job)
    with Jobs(root, worker=False) as jobs:
        (tmp_path / "a.zip").write_bytes(b"".join(jobs.archive(job)))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_an_archive_carries_the_picture(exported, jobs, tmp_path):
    job = jobs.take_in(written(tmp_path / "b.zip", exported))
    picture = read_picture(PHOTO)
    assert picture_file(jobs.data.job(job) / picture.file) == picture
    assert jobs.report(job).image.sha256 == picture.sha256


def test_an_archives_picture_is_the_one_that_its_request_names(exported, jobs, tmp_path):
    (name,) = (name for name in exported if FILE.fullmatch(name))
    other = read_picture(saved(drawn(90, 64)))
    for members, told in (
        (exported | {name: other.png}, "is another picture than its name says"),
        (exported | {other.file: other.png}, "that no run started from"),
        (exported | {name: MALICIOUS["svg"]}, "is no whole PNG"),
        (exported | {name: MALICIOUS["bomb"]}, "pixels"),
    ):
        with pytest.raises((InvalidInput, StorageError), match=told):
            jobs.take_in(written(tmp_path / "c.zip", members))
    assert jobs.library() == []


def test_a_report_of_another_picture_is_no_report_of_this_request(exported, jobs, tmp_path):
    report = json.loads(exported["report.json"]) | {"image": None}
    with pytest.raises(InvalidInput, match="differ in image"):
        jobs.take_in(written(tmp_path / "d.zip", exported | {"report.json": json.dumps(report).encode()}))


def test_conditions_without_bytes_write_nothing(tmp_path):
    Conditions(replace(read_picture(PHOTO), png=None)).keep(tmp_path)
    assert list(tmp_path.iterdir()) == []


# ---- control videos ----------------------------------------------------------------------------------------------


def following(clip) -> Experiment:
    spec = catalogue_model("wan2.1-vace-1.3b")
    return make_experiment(
        spec, [track("u-0.75", 6)], Settings(prompt="a boat", steps=6, height=64, width=96, frames=5, video=clip)
    )


def test_a_control_video_is_named_by_the_answer_and_a_job_has_it(client, jobs, tmp_path):
    data = mp4(tmp_path, comment="at home")
    answer = client.post("/inputs", content=data)
    clip = read_clip(data)
    assert answer.json() == clip.document()
    shown = client.get(f"/inputs/{clip.sha256}.mp4")
    assert (shown.content, shown.headers["content-type"]) == (clip.content, "video/mp4")
    assert client.get(f"/inputs/{clip.sha256}.png").status_code == 404
    named = jobs.picture(clip.sha256, "video")
    with pytest.raises(InvalidInput, match="image names a picture that is not here"):
        jobs.picture(clip.sha256, "image")
    job = jobs.submit(following(replace(named, content=None)))
    assert clip_file(jobs.data.job(job) / clip.file) == clip
    job_folders.tidy(jobs.data.job(job))
    assert (jobs.data.job(job) / clip.file).is_file()


def test_a_damaged_video_is_answered_with_one_sentence_and_leaves_nothing(client, jobs, tmp_path):
    answer = client.post("/inputs", content=mp4(tmp_path)[:300])
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("The file cannot be read as an mp4")
    assert list(jobs.data.inputs.iterdir()) == []


def test_an_archive_carries_the_control_video_and_no_other(jobs, tmp_path):
    clip, other = read_clip(mp4(tmp_path)), read_clip(mp4(tmp_path, moving(12)))
    asked, root = following(clip), tmp_path / "other"
    job = shelf.put(root, asked)
    report = json.loads((root / "jobs" / job / "report.json").read_text())
    (root / "jobs" / job / "report.json").write_text(json.dumps(report | {"video": clip.document()}))
    asked.conditions.keep(root / "jobs" / job)
    with Jobs(root, worker=False) as elsewhere:
        (tmp_path / "a.zip").write_bytes(b"".join(elsewhere.archive(job)))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    taken = jobs.take_in(written(tmp_path / "b.zip", members))
    assert clip_file(jobs.data.job(taken) / clip.file) == clip
    with pytest.raises(InvalidInput, match="is another video than its name says"):
        jobs.take_in(written(tmp_path / "c.zip", members | {clip.file: other.content}))
    with pytest.raises(InvalidInput, match="is a video that no run started from"):
        jobs.take_in(written(tmp_path / "d.zip", members | {other.file: other.content}))
