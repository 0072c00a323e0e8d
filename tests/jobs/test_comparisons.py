"""What jobs ask of a comparison, on a tiny pipeline: runs skipped, taken over, reused exactly, stopped mid-decode."""

from __future__ import annotations

import gc
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.comparing import baseline_store as caching
from engine.comparing import result_files
from engine.comparing.baseline_store import Baselines, fingerprint, key_of
from engine.comparing.comparison import compare
from engine.comparing.listeners import Silent
from engine.comparing.run_entry import environment
from engine.errors import Cancelled, RunFailed, Skipped
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.jobs.model_runner import TorchRunner, interruptible
from engine.measuring.video import read_mp4
from engine.models.loading import load_model
from engine.reports.report_file import load
from engine.switching.policies import policy_named
from tests.tiny import saved_tiny_wan


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")), device="cpu")


def experiment(model, *schedules: str, **changes):
    tracks = [Track(name, load_preset(name, 4).schedule, policy_named("coherent")) for name in schedules]
    fields = {"prompt": "a red apple", "seed": 1, "steps": 4, "height": 64, "width": 64, "frames": 5}
    return make_experiment(model.spec, tracks, Settings(**fields | changes))


class Seen(Silent):
    """Keeps what a comparison tells, and raises what it is given when a run comes to a step."""

    def __init__(self, name="", step=0, error=None):
        self.at, self.error = (name, step), error
        self.started, self.phases, self.ended = [], [], []

    def run_started(self, name, number, runs):
        self.started.append(number)

    def step(self, name, event):
        if (name, event.step) == self.at:
            raise self.error

    def phase(self, name, phase):
        self.phases.append((name, phase))

    def run_ended(self, run):
        self.ended.append((run.name, run.status))


def compared(asked, model, out, listener=None, **options):
    return compare(asked, model, out, listener, noise_floor=False, numbered=True, **options)


def test_numbered_files_hold_no_names_and_every_run_has_a_picture(model, tmp_path):
    compared(experiment(model, "0.5@2"), model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00.mp4", "00.png", "01-difference.mp4", "01.mp4", "01.png", "index.html", "report.json"
    ]  # fmt: skip


def test_a_skipped_run_is_cancelled_and_the_others_go_on(model, tmp_path):
    listener = Seen("0.5@2", 2, Skipped("skipped"))
    report = compared(experiment(model, "0.5@2", "0.75@2"), model, tmp_path, listener)
    assert [(run.status, run.error) for run in report.runs] == [
        ("done", None),
        ("cancelled", "skipped"),
        ("done", None),
    ]
    assert listener.ended == [("baseline", "done"), ("0.5@2", "cancelled"), ("0.75@2", "done")]


def test_a_skipped_baseline_leaves_similarity_unknown(model, tmp_path):
    report = compare(experiment(model, "0.5@2"), model, tmp_path, Seen("baseline", 2, Skipped("skipped")))
    assert [run.status for run in report.runs] == ["cancelled", "done"]
    assert report.noise_floor_reason == "the baseline was skipped"
    assert "no baseline" in report.runs[1].similarity.psnr.reason


def test_a_reused_baseline_is_not_run_and_similarity_to_it_is_exact(model, tmp_path):
    cache, asked = Baselines(tmp_path / "baselines", 1e9), experiment(model, "0.5@2")
    first = compared(asked, model, tmp_path / "a", baselines=cache)
    assert first.runs[0].reused is None
    listener = Seen()
    second = compare(asked, model, tmp_path / "b", listener, numbered=True, baselines=cache)
    assert {phase for name, phase in listener.phases if name == "baseline"} == {"timing steps of the baseline"}
    assert second.runs[0].reused.startswith("computed on 20")
    pace = second.runs[0].latency.pace
    assert second.runs[0].latency.steps_s == pytest.approx([pace * s for s in first.runs[0].latency.steps_s])
    assert second.runs[1].similarity == first.runs[1].similarity
    assert second.runs[1].speedup.measured == pytest.approx(
        pace * first.runs[0].latency.denoise_s / second.runs[1].latency.denoise_s
    )
    assert "earlier comparison" in second.noise_floor_reason
    assert np.array_equal(read_mp4(tmp_path / "a" / "00.mp4"), read_mp4(tmp_path / "b" / "00.mp4"))
    assert load(tmp_path / "b" / "report.json") == second


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a blue apple"}, {"negative_prompt": "x"}, {"seed": 2}, {"steps": 5}, {"height": 80}, {"width": 80},
        {"frames": 9}, {"guidance": 2.0}, {"shift": 4.0}, {"solver": "euler"},
    ],
)  # fmt: skip
def test_whatever_decides_the_pixels_is_part_of_the_key(model, change):
    made = environment(model)
    key = key_of(experiment(model), made)
    assert key_of(experiment(model, **change), made) != key
    assert key_of(experiment(model, "0.5@2"), made) == key  # what else is compared does not


def test_device_number_type_versions_and_weights_are_part_of_the_key(model, tmp_path):
    asked, made = experiment(model), environment(model)
    keys = {key_of(asked, made)}
    for field, value in (("device_name", "other"), ("dtype", "x"), ("threads", 99), ("torch", "9"), ("resolute", "9")):
        keys.add(key_of(asked, made.model_copy(update={field: value})))
    assert len(keys) == 6
    other = saved_tiny_wan(tmp_path / "other")
    spec = replace(model.spec, location=str(other))
    before = fingerprint(spec)
    weights = next(other.glob("transformer/*.safetensors"))
    os.utime(weights, ns=(1, 1))
    assert fingerprint(spec) != before


def test_a_damaged_baseline_is_a_miss_and_goes(model, tmp_path):
    cache, asked = Baselines(tmp_path / "baselines", 1e9), experiment(model)
    compared(asked, model, tmp_path / "a", baselines=cache)
    entry = next(cache.folder.iterdir())
    for damage in (
        lambda: (entry / "frames.npy").write_bytes((entry / "frames.npy").read_bytes()[:500]),
        lambda: (entry / "run.json").write_text('{"run": {}}'),
        lambda: (entry / "00.mp4").unlink(),
    ):
        damage()
        assert cache.find(entry.name) is None
        assert not entry.exists()
        compared(asked, model, tmp_path / "a", baselines=cache)
        assert cache.find(entry.name) is not None


def test_the_least_recently_used_baselines_go_first(model, tmp_path):
    cache = Baselines(tmp_path / "baselines", 1e9)
    run = compared(experiment(model), model, tmp_path / "a", baselines=cache).runs[0]
    frames, video = np.zeros((5, 64, 64, 3), np.float32), tmp_path / "a" / "00.mp4"
    small = Baselines(tmp_path / "small", 3.5 * frames.nbytes)
    for age, key in ((3, "old"), (2, "used"), (1, "new")):
        small.keep(key, run, frames, video)
        os.utime(small.folder / key, ns=(10**18 - age, 10**18 - age))
    assert small.find("used") is not None
    small.keep("newest", run, frames, video)
    assert small.find("old") is None
    assert small.find("used") is not None
    assert small.size() <= small.quota
    Baselines(tmp_path / "none", 1.0).keep("key", run, frames, video)
    assert not (tmp_path / "none").exists()


def test_a_full_disk_costs_the_cache_and_not_the_run(model, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.np, "save", full)
    cache = Baselines(tmp_path / "baselines", 1e9)
    report = compared(experiment(model), model, tmp_path / "a", baselines=cache)
    assert report.runs[0].status == "done"
    assert list(cache.folder.iterdir()) == []


def test_a_cancelled_comparison_goes_on_from_what_was_finished(model, tmp_path):
    cache, asked = Baselines(tmp_path / "baselines", 1e9), experiment(model, "0.5@2", "0.75@2")
    first = compared(asked, model, tmp_path / "a", Seen("0.75@2", 2, Cancelled("enough")), baselines=cache)
    assert [run.status for run in first.runs] == ["done", "done", "cancelled"]
    listener = Seen()
    second = compared(asked, model, tmp_path / "a", listener, baselines=cache, earlier=first)
    assert listener.started == [2]
    assert second.runs[:2] == first.runs[:2]
    whole = compared(asked, model, tmp_path / "whole")
    assert second.runs[2].similarity == whole.runs[2].similarity


def test_without_its_frames_the_baseline_is_run_again_and_measures_all(model, tmp_path):
    asked = experiment(model, "0.5@2", "0.75@2")
    first = compared(asked, model, tmp_path, Seen("0.75@2", 2, Cancelled("enough")))
    listener = Seen()
    second = compared(asked, model, tmp_path, listener, earlier=first)
    assert listener.started == [0, 2]
    assert second.runs[1].similarity == first.runs[1].similarity
    for run in second.runs[1:]:
        assert run.speedup.measured == pytest.approx(second.runs[0].latency.denoise_s / run.latency.denoise_s)


def test_a_finished_baseline_is_kept_when_its_second_run_is_cancelled(model, tmp_path):
    asked = experiment(model, "0.5@2")
    first = compared(asked, model, tmp_path, Seen("0.5@2", 2, Cancelled("enough")))
    second = compared(asked, model, tmp_path, Seen("baseline", 2, Cancelled("enough")), earlier=first)
    assert second.runs[0] == first.runs[0]
    assert load(tmp_path / "report.json").runs[0].status == "done"


def test_a_run_whose_file_is_gone_is_not_taken_over(model, tmp_path):
    asked = experiment(model, "0.5@2")
    first = compared(asked, model, tmp_path)
    (tmp_path / "01.mp4").unlink()
    listener = Seen()
    compared(asked, model, tmp_path, listener, earlier=first)
    assert listener.started == [0, 1]


def test_a_disk_that_fills_up_fails_the_run_and_leaves_no_half_video(model, tmp_path, monkeypatch):
    def full(path, *args):
        raise RunFailed(f"{path.name} was not written: the disk is full.")

    original = result_files.write_mp4
    monkeypatch.setattr(result_files, "write_mp4", lambda path, *rest: (full if path.name == "01.mp4" else original)(path, *rest))  # fmt: skip  # noqa: E501
    report = compared(experiment(model, "0.5@2", "0.75@2"), model, tmp_path)
    assert [run.status for run in report.runs] == ["done", "failed", "done"]
    assert "the disk is full" in report.runs[1].error
    assert not (tmp_path / "01.mp4").exists()


def test_a_decoder_can_be_stopped_half_way_and_nothing_of_it_stays(model, tmp_path):
    calls = []

    def check():
        calls.append(1)
        if len(calls) > 20:
            raise Cancelled("enough")

    vae = model.pipe.vae
    hooks = sum(len(part._forward_pre_hooks) for part in vae.modules())
    with interruptible(model.pipe, check):
        report = compared(experiment(model), model, tmp_path)
    assert report.runs[0].status == "cancelled"
    assert sum(len(part._forward_pre_hooks) for part in vae.modules()) == hooks
    assert not [kept for kept in getattr(vae, "_feat_map", []) if isinstance(kept, torch.Tensor)]
    assert compared(experiment(model), model, tmp_path).runs[0].status == "done"


def test_decoding_between_steps_is_heard(model, tmp_path):
    """The check fires while the decoder works, not only at steps: the listener has seen the last step by then."""
    seen = []
    armed = []

    class Late(Silent):
        def step(self, name, event):
            seen.append(event.step)

        def phase(self, name, phase):
            if phase == "decoding":
                armed.append(1)

    def check():
        if armed:
            raise Cancelled("while decoding")

    with interruptible(model.pipe, check):
        report = compared(experiment(model), model, tmp_path, Late())
    assert seen == [1, 2, 3, 4]
    assert report.runs[0].status == "cancelled"


def test_another_model_is_loaded_only_after_the_one_before_is_gone(model, monkeypatch):
    alive = []

    class Fake:
        def __init__(self, spec):
            self.spec, self.device = spec, torch.device("cpu")
            self.preview = None
            alive.append(spec.id)

        def __del__(self):
            alive.remove(self.spec.id)

    def load_fake(name, **more):
        gc.collect()
        assert alive == []
        return Fake(replace(model.spec, id=name))

    monkeypatch.setattr("engine.jobs.model_runner.load_model", load_fake)
    runner = TorchRunner()
    for name in ("one", "one", "two"):
        runner.load(replace(model.spec, id=name))
        assert alive == [name]


def test_the_record_of_a_reused_baseline_can_be_read_back(model, tmp_path):
    cache = Baselines(tmp_path / "baselines", 1e9)
    compared(experiment(model), model, tmp_path / "a", baselines=cache)
    record = json.loads(next(cache.folder.glob("*/run.json")).read_text())
    assert record["run"]["name"] == "baseline"
    assert record["run"]["reused"] is None
