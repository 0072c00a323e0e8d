"""Tracks with a number of steps of their own, beside a baseline of another: the runs, their costs, their report."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.caches.cache_choice import parse_shorthand
from engine.comparing.comparison import compare
from engine.comparing.listeners import Silent
from engine.comparing.pipeline_runner import ScheduledRunner
from engine.comparing.result_files import ResultFiles
from engine.costs.timings import Timings, timing_key
from engine.experiments.documents import load_experiment
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.measuring.step_event import StepEvent
from engine.models.loading import load_model, scheduler_for
from engine.patching import patched
from engine.reports.html import render
from engine.switching.policies import POLICIES, policy_named
from tests.tiny import saved_tiny_wan

OWN = 4
SIZE = {"height": 64, "width": 96, "frames": 5}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(saved_tiny_wan(tmp_path_factory.mktemp("own") / "tiny")), device="cpu")


def asked(model, steps, *schedules, policy="coherent", own=True, caches=()):
    tracks = []
    for name in schedules:
        preset = load_preset(name, steps)
        cache = preset.cache or (parse_shorthand(caches[0]) if caches else None)
        tracks.append(Track(name, preset.schedule, policy_named(policy), cache, steps=preset.steps if own else None))
    return make_experiment(model.spec, tracks, Settings("a red apple", seed=1, steps=steps, guidance=3.0, **SIZE))


class Heard(Silent):
    def __init__(self):
        self.steps: list[StepEvent] = []

    def step(self, name, event):
        self.steps.append(event)


def frames(model, experiment, folder, *, baseline=False):
    """Of every track, after the baseline where asked for, by one runner: what runs share is shared."""
    heard = Heard()
    runner = ScheduledRunner(experiment, model, ResultFiles(folder, experiment, False), heard)
    with runner.prepared():
        first = [runner.run(experiment.baseline)] if baseline else []
        found = [runner.run(track) for track in experiment.tracks]
    return [one.frames for one in (*first, *found)], heard.steps


def untouched(model, experiment, steps):
    """The pipeline's own call, without a schedule."""
    with patched(model.pipe, scheduler=scheduler_for(model.pipe, experiment.solver, experiment.shift)):
        pipe, generator = model.pipe, torch.Generator().manual_seed(experiment.seed)
        size = {"height": experiment.height, "width": experiment.width}
        call = experiment.call() | size | {"num_inference_steps": steps, "output_type": "np"}
        return pipe(**call, generator=generator).frames[0]


@pytest.mark.parametrize("baseline", [True, False], ids=["after the baseline", "alone"])
def test_a_flat_track_of_its_own_steps_is_the_plain_pipeline_at_that_number_to_the_bit(model, tmp_path, baseline):
    experiment = asked(model, 6, f"flat@{OWN}", "flat@9")
    found, _ = frames(model, experiment, tmp_path, baseline=baseline)
    for own, steps in zip(found[-2:], (OWN, 9), strict=True):
        assert np.array_equal(own, untouched(model, experiment, steps))
    if baseline:
        assert np.array_equal(found[0], untouched(model, experiment, 6))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_staged_track_of_its_own_steps_is_that_of_a_comparison_of_as_many_to_the_bit(model, tmp_path, policy):
    """Whatever runs before it: the baseline of other steps, a track of others still, or nothing."""
    two, u = f"0.5@50%/{OWN}", "1/0.75@1/3/5"
    mixed = asked(model, 6, two, u, policy=policy)
    after, heard = frames(model, mixed, tmp_path / "a", baseline=True)
    alone, _ = frames(model, mixed, tmp_path / "b")
    for k, (name, steps) in enumerate(((two, OWN), (u, 5))):
        same = asked(model, steps, name, policy=policy, own=False)
        assert same.tracks[0].schedule == mixed.tracks[k].schedule
        expected = frames(model, same, tmp_path / f"c{k}", baseline=True)[0][1]
        assert np.array_equal(after[1 + k], expected)
        assert np.array_equal(alone[k], expected)
    assert [event.steps for event in heard] == [6] * 6 + [OWN] * OWN + [5] * 5
    assert [event.step for event in heard] == [*range(1, 7), *range(1, OWN + 1), *range(1, 6)]


def test_a_cached_track_of_its_own_steps_has_ratios_of_as_many(model, tmp_path):
    """MagCache needs one ratio a step: those that the baseline's steps gave are of no use to others."""
    mixed = asked(model, 8, "0.5@50%", "0.5@50%/6", caches=["magcache"])
    found, _ = frames(model, mixed, tmp_path / "a")
    same = asked(model, 6, "0.5@50%/6", own=False, caches=["magcache"])
    assert np.array_equal(found[1], frames(model, same, tmp_path / "b")[0][0])


@pytest.fixture(scope="module")
def compared(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    experiment = asked(model, 6, f"flat@{OWN}", f"0.5@50%/{OWN}", "flat@9", "0.5@50%")
    return experiment, compare(experiment, model, folder, noise_floor=False), folder


def test_the_report_says_whose_steps_are_its_own_and_counts_against_the_baselines(compared):
    _, report, folder = compared
    assert [run.status for run in report.runs] == ["done"] * 5
    assert (report.steps, report.most_steps) == (6, 9)
    assert [run.steps for run in report.runs] == [None, OWN, OWN, 9, None]
    assert [len(run.latency.steps_s) for run in report.runs] == [6, OWN, OWN, 9, 6]
    assert [len(run.sigmas) for run in report.runs] == [6, OWN, OWN, 9, 6]
    assert report.runs[1].speedup.by_flops == pytest.approx(6 / OWN)
    assert report.runs[3].speedup.by_flops == pytest.approx(6 / 9)
    assert [run.told_policy for run in report.runs[1:]] == [
        "coherent, 4 steps", "coherent, 4 steps", "coherent, 9 steps", "coherent",
    ]  # fmt: skip
    page = render(report, folder)
    assert "coherent, 4 steps" in page
    assert "6, but of their own where a run says so" in page
    text = (folder / "report.json").read_text("utf-8")
    assert text.count(f'"steps": {OWN},') == 2


def test_reports_and_videos_open_as_the_experiment_with_the_same_steps_of_their_own(compared):
    experiment, report, folder = compared
    catalogued = {"models": lambda name: experiment.spec}
    assert load_experiment(folder / "report.json", **catalogued).tracks == experiment.tracks
    assert load_experiment(folder / report.runs[2].video, **catalogued) == experiment


def test_timings_learn_from_runs_of_any_number_of_steps(compared):
    experiment, report, _ = compared
    empty = Timings(key=timing_key(experiment.spec, 5, 3.0, report.environment))
    for run in report.runs:
        quiet = run.model_copy(update={"disturbed": None})
        assert empty.with_run(quiet).runs == 1
