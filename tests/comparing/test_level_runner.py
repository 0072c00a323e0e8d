"""A hierarchical patch model as one more model: refusals, the way there and back, one whole comparison."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.comparing.comparison import compare
from engine.errors import InvalidInput
from engine.experiments.documents import experiment_of, load_experiment
from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.level_tracks import level_track
from engine.experiments.settings import Settings
from engine.experiments.share_link import pack, unpack
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.hpdm_model import Hpdm
from engine.hpdm.level_choice import LevelChoice, level_schedule, parse_level_words
from engine.hpdm.weights_folder import save_hpdm
from engine.models.catalogue import ModelSpec, find_model
from engine.models.loading import load_model
from engine.reports import report_file
from engine.schedules.schedule import parse_schedule
from engine.switching.policies import policy_named

CONFIG = HpdmConfig(
    patch=(2, 16, 16), levels=3, token=(2, 4, 4), dim=16, latent_dim=16, latents=4, compute=1, heads=2,
    level_blocks=(1, 2, 3), input_scales=(1.0, 0.5, 0.25), conditions={"emoji": ("frog", "star")},
)  # fmt: skip
STEPS = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("hpdm")
    save_hpdm(Hpdm(CONFIG), out)
    return out


@pytest.fixture(scope="module")
def spec(folder: Path) -> ModelSpec:
    return find_model(str(folder))


def experiment(spec: ModelSpec, *choices: LevelChoice) -> Experiment:
    tracks = [level_track(str(choice), choice, CONFIG, STEPS) for choice in choices]
    return make_experiment(spec, tracks, Settings(prompt="a frog", steps=STEPS))


def test_the_levels_are_the_schedule(spec: ModelSpec) -> None:
    stages = experiment(spec).baseline.stages
    assert [(stage.rate, stage.steps) for stage in stages] == [(0.25, 4), (0.5, 2), (1.0, 1)]


@pytest.mark.parametrize("steps", range(3, 60))
def test_every_level_has_a_step(steps: int) -> None:
    assert sum(stage.steps for stage in level_schedule(CONFIG, steps).stages) == steps


@pytest.mark.parametrize("text", ["levels=2,overlap=none,context=off", "overlap=full,context=cpu,heun=true"])
def test_a_choice_is_read_as_it_is_written(text: str) -> None:
    assert str(parse_level_words(text)) == text


@pytest.mark.parametrize("text", ["levels=0", "levels=9", "overlap=wide", "context=disk", "speed=2", "levels"])
def test_a_choice_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_level_words(text)


def test_a_document_comes_back_the_same(spec: ModelSpec) -> None:
    asked = experiment(spec, LevelChoice(levels=2, overlap="none", context="off"), LevelChoice(heun=True))
    assert experiment_of(json.loads(json.dumps(asked.document())), "it", lambda _: spec) == asked


def test_a_link_keeps_the_levels() -> None:
    shipped = find_model("emoji-hpdm")
    assert shipped.levels is not None
    track = level_track("short", LevelChoice(levels=2, overlap="none"), shipped.levels, 14)
    asked = make_experiment(shipped, [track], Settings(prompt="a frog", steps=14))
    assert unpack(pack(asked)) == asked


def test_what_belongs_to_the_other_kind_is_refused_in_one_sentence(spec: ModelSpec) -> None:
    flat = level_track("a", LevelChoice(), CONFIG, STEPS)
    wan = find_model("emoji-wan")
    with pytest.raises(InvalidInput, match="resolution schedule"):
        make_experiment(
            spec, [replace(flat, schedule=parse_schedule(STEPS, [0.75], [3]))], Settings(prompt="a frog", steps=STEPS)
        )
    with pytest.raises(InvalidInput, match="policy"):
        make_experiment(spec, [replace(flat, policy=policy_named("jenga"))], Settings(prompt="a frog", steps=STEPS))
    with pytest.raises(InvalidInput, match="has no levels"):
        make_experiment(wan, [flat], Settings(prompt="a frog", steps=STEPS))
    with pytest.raises(InvalidInput, match="no other size"):
        make_experiment(spec, [], Settings(prompt="a frog", height=128))
    with pytest.raises(InvalidInput, match="frog, star"):
        make_experiment(spec, [], Settings(prompt="a castle"))
    with pytest.raises(InvalidInput, match="levels is 4"):
        experiment(spec, LevelChoice(levels=4))


def test_a_comparison_is_whole(folder: Path, spec: ModelSpec, tmp_path: Path) -> None:
    asked = experiment(spec, LevelChoice(context="off"), LevelChoice(levels=2, overlap="none"))
    report = compare(asked, load_model(str(folder), device="cpu"), tmp_path)
    base, off, short = report.runs
    assert [run.status for run in report.runs] == ["done"] * 3
    assert report.noise_floor is not None
    assert report.noise_floor.psnr.mean == 100
    assert off.similarity.psnr.mean is not None
    assert off.similarity.psnr.mean > 60
    assert base.flops
    assert off.flops
    assert base.flops < off.flops
    assert [len(level.tiles) for level in base.pyramid] == [1, 18, 196]
    assert [len(level.tiles) for level in short.pyramid] == [1, 8]
    assert len(short.latency.steps_s) == 6
    assert short.stages[-1].last_step == 6
    assert "enlarged from 4 frames of 32x32" in (short.similarity.ssim.reason or "")
    assert all((tmp_path / level.video).is_file() for run in report.runs for level in run.pyramid)
    assert report_file.load(tmp_path / "report.json") == report
    name = Path(asked.spec.location)
    assert load_experiment(tmp_path / "report.json", lambda _: find_model(str(name))).tracks == asked.tracks


def test_a_track_of_another_model_says_nothing_of_levels() -> None:
    track = Track("a", parse_schedule(10, [0.5], [5]), policy_named("coherent"))
    assert "levels" not in track.document()


def test_the_first_run_alone_is_warmed_up_and_the_frames_are_as_without(
    folder: Path, spec: ModelSpec, tmp_path: Path
) -> None:
    asked, model = experiment(spec, LevelChoice()), load_model(str(folder), device="cpu")
    report = compare(asked, model, tmp_path, noise_floor=False)
    assert [run.latency.warm_up_s is None for run in report.runs] == [False, True]
    assert report.runs[1].similarity.psnr.mean == 100
    again = compare(asked, model, tmp_path / "again", noise_floor=False)
    assert [run.latency.warm_up_s for run in again.runs] == [None, None]
