"""Disturbed runs say so, teach nothing, and are timed again without their videos being made anew."""

from __future__ import annotations

import pytest

from engine.comparing import comparison as comparing
from engine.comparing import measured_run, timing_again
from engine.comparing.baseline_store import Baselines
from engine.comparing.comparison import compare
from engine.costs.timings import Timings, timing_key
from engine.measuring.disturbance import Disturbance, Watch
from engine.models.loading import load_model
from engine.reports.html import write_index
from tests.comparing.test_comparison import experiment
from tests.tiny import saved_tiny_wan

REASON = "other programs kept it from the processor for 40% of the time that it wanted"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")), device="cpu")


class Loud(Watch):
    """A watch that finds every run disturbed."""

    def __exit__(self, *error):
        super().__exit__(*error)
        self.found = Disturbance(0.4, REASON)


class Quiet(Watch):
    def __exit__(self, *error):
        super().__exit__(*error)
        self.found = Disturbance(0.0, None)


def every_run(monkeypatch, watch: type[Watch]) -> None:
    for module in (measured_run, timing_again):
        monkeypatch.setattr(module, "Watch", watch)


def test_a_disturbed_run_says_so_in_the_report_and_on_its_page_and_predictions_learn_nothing(
    model, tmp_path, monkeypatch
):
    every_run(monkeypatch, Loud)
    asked = experiment(model, "0.5@2")
    report = compare(asked, model, tmp_path, noise_floor=False)
    assert [run.disturbed for run in report.runs] == [REASON, REASON]
    assert report.runs[1].latency.waited == 0.4
    assert report.runs[1].speedup.measured
    assert report.runs[1].speedup.interval is None
    assert f"Disturbed while it was timed: {REASON}." in write_index(report, tmp_path).read_text("utf-8")
    timings = Timings(key=timing_key(asked.spec, asked.frames, asked.guidance, report.environment))
    assert timings.with_run(report.runs[1]) == timings


def test_a_report_that_is_run_again_times_disturbed_runs_and_touches_neither_videos_nor_metrics(
    model, tmp_path, monkeypatch
):
    every_run(monkeypatch, Loud)
    asked = experiment(model, "0.5@2", "u-0.5")
    before = compare(asked, model, tmp_path, noise_floor=False)
    kept = before.model_copy(update={"runs": (*before.runs[:2], before.runs[2].model_copy(update={"disturbed": None}))})
    files = {path: path.read_bytes() for path in tmp_path.glob("*.mp4")}
    every_run(monkeypatch, Quiet)
    after = compare(asked, model, tmp_path, noise_floor=False, earlier=kept)
    assert [run.disturbed for run in after.runs] == [None] * 3
    assert after.runs[2].latency.steps_s == before.runs[2].latency.steps_s
    for number in (0, 1):
        assert after.runs[number].latency.steps_s != before.runs[number].latency.steps_s
        assert after.runs[number].similarity == before.runs[number].similarity
    assert after.runs[1].speedup.interval
    assert {path: path.read_bytes() for path in files} == files


def test_a_run_that_fails_while_it_is_timed_again_stays_as_it_was(model, tmp_path, monkeypatch):
    every_run(monkeypatch, Loud)
    asked = experiment(model, "0.5@2")
    before = compare(asked, model, tmp_path, noise_floor=False)

    def fails(*args):
        raise RuntimeError("no")

    monkeypatch.setattr(comparing, "timed_again", fails)
    after = compare(asked, model, tmp_path, noise_floor=False, earlier=before)
    assert after.runs == before.runs


def test_a_reused_baseline_is_as_fast_as_its_steps_are_here(model, tmp_path):
    asked, kept = experiment(model, "0.5@2"), Baselines(tmp_path / "baselines", 1e9)
    first = compare(asked, model, tmp_path / "a", noise_floor=False, baselines=kept)
    second = compare(experiment(model, "u-0.5", "0.5@2"), model, tmp_path / "b", noise_floor=False, baselines=kept)
    assert second.baseline.reused
    assert all(len(run.latency.beside_s) == 3 for run in second.runs[1:])
    steps = [s for run in second.runs[1:] for s in run.latency.beside_s]
    then = first.baseline.latency.steps_s[1:]
    pace = (sum(steps) / len(steps)) / (sum(then) / len(then))
    assert second.baseline.latency.pace == pytest.approx(pace)
    assert second.baseline.latency.denoise_s == pytest.approx(pace * first.baseline.latency.denoise_s)
    for run in second.runs[1:]:
        assert run.speedup.measured == pytest.approx(second.baseline.latency.denoise_s / run.latency.denoise_s)


def test_the_second_run_of_a_baseline_is_a_second_timing(model, tmp_path):
    report = compare(experiment(model, "0.5@2"), model, tmp_path, noise_floor=True)
    assert len(report.baseline.latency.repeat_s) == len(report.baseline.latency.steps_s)
