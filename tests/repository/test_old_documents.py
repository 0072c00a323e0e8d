"""What Resolute wrote before its files were sorted into packages opens today and says the same."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from engine.experiments.documents import load_experiment, parse_experiment
from engine.experiments.lightx2v_config import parse_config
from engine.experiments.presets import load_preset, parse_preset, to_json
from engine.experiments.share_link import pack, unpack
from engine.jobs import queue
from engine.jobs.service import Jobs
from engine.models.catalogue import catalogue_model
from engine.reports.earlier_versions import EXCHANGED, _similarities
from engine.reports.report_file import dumps, load

OLD = Path(__file__).parents[1] / "data" / "before_packages"
JOB, WAITING = "2rLNoM2DHERx16_t", "LYTOGATHy9vkSxMV"
EXPERIMENT = json.loads((OLD / "experiment.json").read_text("utf-8"))


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    shutil.copytree(OLD / "data", tmp_path / "data")
    with Jobs(tmp_path / "data", worker=False) as opened:
        yield opened


@pytest.mark.parametrize("path", ["comparison/report.json", f"data/jobs/{JOB}/report.json"])
def test_a_report_is_read_and_written_as_it_was_but_for_what_was_wrong_in_it(path: str) -> None:
    was, now = json.loads((OLD / path).read_text("utf-8")), json.loads(dumps(load(OLD / path)))
    assert (was.pop("version"), now.pop("version")) == (1, 2)
    wrong = [block.pop("xpsnr") for block in _similarities(was)]
    told = [block.pop("xpsnr") for block in _similarities(now)]
    assert any(figure["mean"] is not None for figure in wrong)
    for before, after in zip(wrong, told, strict=True):
        assert (after["mean"], after["min"], after["frames"]) == (None, None, None)
        assert after["reason"] == (before["reason"] if before["mean"] is None else EXCHANGED)
    new = [block.pop("psnr_pooled") for block in _similarities(now)]
    assert all(figure["mean"] is None and figure["reason"] for figure in new)
    assert now.pop("other_seed_reason")
    assert without_new(now, was) == was


def without_new(now: Any, was: Any) -> Any:
    """A document of today without the fields that it did not have then and that say nothing."""
    if isinstance(was, list):
        return [without_new(*pair) for pair in zip(now, was, strict=True)]
    if not isinstance(was, dict):
        return now
    said = {name: value for name, value in now.items() if name in was or value not in (None, [], {})}
    return {name: without_new(value, was[name]) if name in was else value for name, value in said.items()}


def test_where_a_page_of_before_shows_what_was_wrong_it_is_made_anew(jobs: Jobs) -> None:
    page = jobs.data.job(JOB) / "index.html"
    page.write_text("<!doctype html><title>a page of before · Resolute</title> XPSNR 21.05")
    text = jobs.file(JOB, "index.html").read_text("utf-8")
    assert "21.05" not in text
    assert EXCHANGED in text
    made = page.stat().st_mtime_ns
    assert jobs.file(JOB, "index.html").stat().st_mtime_ns == made


@pytest.mark.parametrize("name", ["report.json", "00-baseline.mp4"])
def test_a_report_and_its_video_hold_their_experiment(name: str) -> None:
    made = load_experiment(OLD / "comparison" / name, catalogue_model)
    assert (made.prompt, made.seed, made.steps) == ("a green frog spinning over a yellow background", 5, 6)
    (track,) = made.tracks
    assert (track.name, track.policy.name) == ("U 1.0/0.5/1.0 @ 20%/70%", "lightx2v")
    assert track.schedule == load_preset("u-0.5", 6).schedule.with_steps(6)


def test_an_experiment_says_the_same() -> None:
    assert parse_experiment((OLD / "experiment.json").read_bytes(), "old").document() == EXPERIMENT


def test_links_open_and_are_packed_to_the_same_text() -> None:
    links = json.loads((OLD / "links.json").read_text("utf-8"))
    assert unpack(links["emoji-wan"]).document() == EXPERIMENT
    by_levels = unpack(links["emoji-hpdm"])
    assert (by_levels.prompt, by_levels.seed, by_levels.steps, len(by_levels.tracks)) == ("a frog", 3, 7, 3)
    assert [pack(unpack(link)) for link in links.values()] == list(links.values())


def test_a_preset_is_read_and_written_to_the_byte() -> None:
    text = (OLD / "preset.json").read_text("utf-8")
    preset = parse_preset(text, "preset.json")
    assert to_json(preset) == text
    assert (preset.name, preset.policy, str(preset.cache)) == (
        "U with TeaCache", "lightx2v", "teacache:0.2,ret_steps=false",
    )  # fmt: skip


def test_a_lightx2v_config_keeps_what_is_not_known() -> None:
    text = (OLD / "lightx2v.json").read_text("utf-8")
    config = parse_config(text)
    assert config.to_json() == text
    assert config.document["a_key_of_the_future"] == {"x": [1, None]}
    assert (config.settings.height, config.settings.frames, config.settings.shift) == (480, 81, 8.0)


def test_a_data_directory_lists_its_jobs_as_they_were(jobs: Jobs) -> None:
    waiting, done = jobs.library(sort="newest")
    assert (done.id, done.status, done.pinned, done.prompt) == (JOB, "done", True, EXPERIMENT["prompt"])
    assert [(run.name, run.status) for run in done.runs] == [
        (name, "done") for name in ("baseline", "0.5@50%", "1/0.5@2/4+teacache:0.2")
    ]
    assert (waiting.id, waiting.status, waiting.position, waiting.prompt) == (WAITING, "queued", 1, "a blue boat")
    assert jobs.report(JOB) == load(OLD / "data" / "jobs" / JOB / "report.json")
    spec = catalogue_model("emoji-wan")
    assert jobs.timings(spec, frames=5, guidance=3.0) is not None


def test_a_job_that_waited_is_claimed_with_its_experiment(jobs: Jobs) -> None:
    claimed = queue.claim(jobs._store)
    assert claimed is not None
    assert (claimed.id, claimed.noise_floor) == (WAITING, False)
    made = parse_experiment(claimed.document, "the job", catalogue_model)
    assert (made.prompt, [track.name for track in made.tracks]) == ("a blue boat", ["0.75@50%"])


def test_a_finished_job_is_exported_as_it_was(jobs: Jobs) -> None:
    made = zipfile.ZipFile(BytesIO(b"".join(jobs.archive(JOB))))
    kept = zipfile.ZipFile(OLD / "archive.zip")
    assert {name: made.read(name) for name in made.namelist()} == {name: kept.read(name) for name in kept.namelist()}


def test_an_archive_is_taken_in(tmp_path: Path) -> None:
    with Jobs(tmp_path / "data", worker=False) as jobs:
        job = jobs.take_in(OLD / "archive.zip")
        view, report = jobs.view(job), jobs.report(job)
        assert view.status == "done"
        assert report == load(OLD / "data" / "jobs" / JOB / "report.json")
        files = sorted(jobs.files(job))
        assert {f"0{number}.mp4" for number in range(3)} <= set(files)
