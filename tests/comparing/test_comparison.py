"""A comparison, on a tiny pipeline: what it writes, and what becomes of a failure or a cancel."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from engine.cli.compare_flags import scheduled_tracks
from engine.comparing import pipeline_runner
from engine.comparing.comparison import compare
from engine.comparing.listeners import Silent
from engine.comparing.run_entry import environment
from engine.errors import Cancelled, InvalidInput, ModelNotFound, RunFailed
from engine.experiments.documents import load_experiment, parse_experiment
from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.measuring.video import read_metadata, write_mp4
from engine.models.catalogue import find_model
from engine.models.loading import load_model
from engine.patching import patched
from engine.reports.report_file import load
from engine.switching.policies import policy_named
from tests.tiny import saved_tiny_wan


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")


def experiment(model, *schedules: str, **changes) -> Experiment:
    tracks = [Track(name, load_preset(name, 4).schedule, policy_named("coherent")) for name in schedules]
    fields = {"prompt": "a red apple", "seed": 1, "steps": 4, "height": 64, "width": 64, "frames": 5}
    return make_experiment(model.spec, tracks, Settings(**fields | changes))


def test_videos_carry_the_experiment(model, tmp_path):
    asked = experiment(model, "0.5@2", prompt='„Apfel" 🍎 <script>')
    report = compare(asked, model, tmp_path, noise_floor=False)
    carried = json.loads(read_metadata(tmp_path / report.runs[1].video)["resolute"])
    assert carried == json.loads(json.dumps(asked.document()))
    assert report.noise_floor is None
    assert report.noise_floor_reason


def test_same_experiment_twice_gives_the_same_frames(model, tmp_path):
    asked = experiment(model, "0.5@2")
    one, two = (compare(asked, model, tmp_path / name, noise_floor=False) for name in ("a", "b"))
    assert one.runs[1].similarity == two.runs[1].similarity


def failing(monkeypatch, which: int, error: Exception):
    """Make the `which`-th staged run raise."""
    calls, original = [], pipeline_runner.run_staged

    def run(*args, **kwargs):
        calls.append(1)
        if len(calls) == which:
            raise error
        return original(*args, **kwargs)

    monkeypatch.setattr(pipeline_runner, "run_staged", run)


def test_out_of_memory_in_one_schedule_keeps_the_others(monkeypatch, model, tmp_path):
    failing(monkeypatch, 2, RunFailed("out of memory after step 2; use a smaller size.", 2))
    report = compare(experiment(model, "0.5@2", "0.75@2"), model, tmp_path, noise_floor=False)
    assert [run.status for run in report.runs] == ["done", "failed", "done"]
    assert "step 2" in report.runs[1].error
    assert report.runs[2].similarity.psnr.mean is not None
    assert load(tmp_path / "report.json") == report


def test_failed_baseline_leaves_similarity_unknown_never_zero(monkeypatch, model, tmp_path):
    failing(monkeypatch, 1, RunFailed("out of memory after step 0; use a smaller size.", 0))
    report = compare(experiment(model, "0.5@2"), model, tmp_path, noise_floor=False)
    run = report.runs[1]
    assert run.status == "done"
    assert run.similarity.psnr.mean is None
    assert "no baseline" in run.similarity.psnr.reason
    assert run.speedup.measured is None
    assert run.latency.denoise_s > 0


def test_an_unforeseen_error_fails_its_run_alone(monkeypatch, model, tmp_path):
    failing(monkeypatch, 2, ZeroDivisionError("oops\nsecond line"))
    report = compare(experiment(model, "0.5@2"), model, tmp_path, noise_floor=False)
    assert report.runs[1].error == "ZeroDivisionError: oops"


def test_an_error_deep_in_a_network_leaves_its_place_in_the_log(model, tmp_path, caplog):
    block = model.pipe.transformer.blocks[1].attn1.to_q

    def breaking(x):
        raise RuntimeError("Expected all tensors to be on the same device") from KeyError("deeper")

    with patched(block, forward=breaking):
        report = compare(experiment(model), model, tmp_path, noise_floor=False)
    assert report.runs[0].error == "RuntimeError: Expected all tensors to be on the same device"
    assert "in breaking" in caplog.text
    assert "transformer_wan.py" in caplog.text  # of the library too, as far as the loop
    assert "KeyError: 'deeper'" in caplog.text


def test_cancel_keeps_finished_runs_in_the_report(model, tmp_path):
    class Impatient(Silent):
        def step(self, name, event):
            if name != "baseline" and event.step == 2:
                raise Cancelled("enough")

    report = compare(experiment(model, "0.5@2", "0.75@2"), model, tmp_path, Impatient(), noise_floor=False)
    assert [run.status for run in report.runs] == ["done", "cancelled"]
    assert load(tmp_path / "report.json") == report
    assert (tmp_path / "index.html").is_file()


def test_cancel_during_the_warm_up_ends_with_a_report_too(model, tmp_path):
    class Hasty(Silent):
        def step(self, name, event):
            raise Cancelled("at once")

    report = compare(experiment(model, "0.5@2"), model, tmp_path, Hasty())
    assert [(run.name, run.status) for run in report.runs] == [("baseline", "cancelled")]
    assert "cancelled" in report.noise_floor_reason
    assert load(tmp_path / "report.json") == report


def test_cancel_between_two_runs_is_heard(model, tmp_path):
    class Tired(Silent):
        def run_started(self, name, number, runs):
            if number == 1:
                raise Cancelled("enough")

    report = compare(experiment(model, "0.5@2", "0.75@2"), model, tmp_path, Tired(), noise_floor=False)
    assert [run.status for run in report.runs] == ["done", "cancelled"]


def test_every_schedule_runs_under_every_policy_asked_for():
    tracks = scheduled_tracks(["two-stage-0.5", "two-stage-0.5"], 30, ["coherent", "lightx2v"], [])
    assert [track.policy.name for track in tracks] == ["coherent", "lightx2v"] * 2


def test_tracks_of_one_name_get_names_of_their_own(model):
    assert [track.name for track in experiment(model, "0.5@2", "0.5@2", "0.5@2").tracks] == [
        "0.5@2",
        "0.5@2 (2)",
        "0.5@2 (3)",
    ]


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\x", "<script>alert(1)</script>", "🍎", "a" * 300, ".."])
def test_hostile_track_names_become_plain_file_names(name):
    slug = Track(name, load_preset("flat", 4).schedule, policy_named("coherent")).slug
    assert slug
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    assert not slug.startswith(".")
    assert len(slug) <= 60


def test_damaged_models_are_told_in_one_sentence(folder, tmp_path):
    import shutil

    with pytest.raises(ModelNotFound, match=r"model_index\.json"):
        load_model(str(tmp_path))
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    weights = next((broken / "transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelNotFound, match="incomplete or damaged"):
        load_model(str(broken))
    for file in broken.glob("*/*.safetensors"):
        file.unlink()
    with pytest.raises(ModelNotFound, match="no safetensors"):
        load_model(str(broken))
    index = json.loads((folder / "model_index.json").read_text())
    (broken / "model_index.json").write_text(json.dumps(index | {"_class_name": "LTXConditionPipeline"}))
    with pytest.raises(InvalidInput, match=r"LTXConditionPipeline cannot follow a resolution schedule: .+"):
        load_model(str(broken))


def test_a_hub_model_that_is_not_cached_says_what_to_do_offline():
    with pytest.raises(ModelNotFound, match=r"hf download Wan-AI/Wan2\.1-T2V-1\.3B-Diffusers"):
        load_model("wan2.1-1.3b")


def test_catalogue_defaults_are_sizes_that_the_models_can_run():
    for name in ("wan2.1-1.3b", "wan2.1-14b"):
        spec = find_model(name)
        assert make_experiment(spec, [], Settings(prompt="x")).height == spec.defaults.height


def test_torch_threads_are_in_the_environment(model):
    assert environment(model).threads == torch.get_num_threads()


def catalogued(monkeypatch, model):
    for module in ("engine.experiments.documents", "engine.models.loading", "engine.cli.commands"):
        monkeypatch.setattr(f"{module}.find_model", lambda name: model.spec)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"resolute_experiment": 2}, "newer version of Resolute"),
        ({"resolute_experiment": None}, "an experiment has 1 there"),
        ({"surprise": 1}, 'unknown key "surprise"'),
        ({"seed": True}, "seed is True"),
        ({"tracks": "all"}, "tracks must be a list"),
        ({"tracks": [{"name": "x", "policy": "best", "infer_steps": 4}]}, "policy is 'best'"),
        ({"tracks": [{"name": "", "policy": "coherent", "infer_steps": 4}]}, "name must be text"),
        ({"tracks": [7]}, "must be an object"),
        ({"tracks": [{}] * 65}, "at most 64"),
        ({"model": 7}, "it must be a model's name"),
        ({"height": 1e300}, "height is 1e"),
    ],
)
def test_a_document_from_a_stranger_is_refused_in_one_sentence(monkeypatch, model, change, sentence):
    catalogued(monkeypatch, model)
    document = experiment(model, "0.5@2").document() | change
    with pytest.raises(InvalidInput, match=re.escape(sentence)):
        parse_experiment(json.dumps(document), "the link")


def test_a_video_made_elsewhere_carries_no_experiment(tmp_path):
    write_mp4(tmp_path / "other.mp4", np.zeros((2, 32, 32, 3), np.float32), 8)
    with pytest.raises(InvalidInput, match="carries no experiment"):
        load_experiment(tmp_path / "other.mp4")


def test_without_ffmpeg_the_frames_are_kept_and_its_metrics_say_why(monkeypatch, caplog, model, tmp_path):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nothing"))
    report = compare(experiment(model, "0.5@2"), model, tmp_path / "out", noise_floor=False)
    run = report.runs[1]
    assert run.status == "done"
    assert run.video.endswith(".webp")
    assert (tmp_path / "out" / run.video).is_file()
    assert run.similarity.psnr.mean is not None
    assert run.similarity.vmaf.mean is None
    assert "ffmpeg" in run.similarity.vmaf.reason
    assert "ffmpeg" in caplog.text
