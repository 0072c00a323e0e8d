"""Another seed beside the baseline: what it is, what it costs, what becomes of it when a baseline is reused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.comparing import other_seed, pipeline_runner
from engine.comparing.baseline_store import Baselines
from engine.comparing.comparison import compare
from engine.comparing.listeners import Silent
from engine.comparing.other_seed import next_seed
from engine.errors import Cancelled, RunFailed, Skipped
from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import MAX_SEED, Settings
from engine.measuring.similarity import psnr_pooled
from engine.models.loading import LoadedModel, load_model
from engine.reports.report_file import load
from engine.switching.policies import policy_named
from tests.tiny import saved_tiny_wan


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(str(saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")), device="cpu")


@pytest.fixture
def asked(model: LoadedModel) -> Experiment:
    track = Track("half", load_preset("0.5@1", 3).schedule, policy_named("coherent"))
    fields = {"prompt": "a red apple", "seed": 1, "steps": 3, "height": 64, "width": 64, "frames": 5}
    return make_experiment(model.spec, [track], Settings(**fields))  # type: ignore[arg-type]


@pytest.fixture
def seeds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of all runs, in order."""
    ran, original = [], pipeline_runner.run_staged

    def run(request, *args, **kwargs):  # type: ignore[no-untyped-def]
        if request.decode:
            ran.append(request.seed)
        return original(request, *args, **kwargs)

    monkeypatch.setattr(pipeline_runner, "run_staged", run)
    return ran


def test_another_seed_is_as_far_off_as_a_comparison_of_that_seed_finds_it(
    model: LoadedModel, asked: Experiment, seeds: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[np.ndarray] = []
    original = pipeline_runner.ScheduledRunner.run
    monkeypatch.setattr(
        pipeline_runner.ScheduledRunner, "run",
        lambda self, *args: ((result := original(self, *args)) and frames.append(result.frames)) or result,
    )  # fmt: skip
    report = compare(asked, model, tmp_path, noise_floor=False, other_seed=True)
    assert seeds == [1, 2, 1]
    assert report.other_seed is not None
    assert report.other_seed.psnr_pooled == psnr_pooled(frames[1], frames[0])
    assert report.other_seed_reason is None
    assert load(tmp_path / "report.json") == report
    assert [run.name for run in report.runs] == ["baseline", "half"]


def test_where_nobody_asks_it_is_run_if_it_is_cheap(
    model: LoadedModel, asked: Experiment, seeds: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compare(asked, model, tmp_path / "a", noise_floor=False, other_seed=None).other_seed is not None
    monkeypatch.setattr(other_seed, "CHEAP_S", 0.0)
    report = compare(asked, model, tmp_path / "b", noise_floor=False, other_seed=None)
    assert report.other_seed is None
    assert "is run where it is asked for" in str(report.other_seed_reason)
    refused = compare(asked, model, tmp_path / "c", noise_floor=False, other_seed=False)
    assert "not asked for" in str(refused.other_seed_reason)
    assert seeds == [1, 2, 1, 1, 1, 1, 1]


def test_it_is_kept_with_a_baseline_that_is_reused(
    model: LoadedModel, asked: Experiment, seeds: list[int], tmp_path: Path
) -> None:
    kept = Baselines(tmp_path / "baselines", 1e9)
    first = compare(asked, model, tmp_path / "a", noise_floor=False, other_seed=False, baselines=kept)
    second = compare(asked, model, tmp_path / "b", noise_floor=False, other_seed=True, baselines=kept)
    third = compare(asked, model, tmp_path / "c", noise_floor=False, other_seed=True, baselines=kept)
    assert seeds == [1, 1, 2, 1, 1]  # the second takes the baseline over and runs the other seed, the third neither
    assert first.other_seed is None
    assert second.other_seed == third.other_seed is not None


@pytest.mark.parametrize(
    ("error", "reason", "statuses"),
    [
        (RunFailed("out of memory."), "the run of another seed failed: out of memory.", ["done", "done"]),
        (Skipped("skipped"), "another seed was skipped", ["done", "done"]),
        (Cancelled("cancelled"), "the comparison was cancelled", ["done", "cancelled"]),
    ],
)
def test_whatever_becomes_of_it_the_baseline_stays(
    error: Exception, reason: str, statuses: list[str], model: LoadedModel, asked: Experiment, tmp_path: Path
) -> None:
    class Listener(Silent):
        other = False

        def phase(self, name: str, phase: str) -> None:
            self.other = phase == "running another seed"

        def step(self, name: str, event: object) -> None:
            if self.other and name == "baseline":
                raise error

    report = compare(asked, model, tmp_path, Listener(), noise_floor=False, other_seed=True)
    assert (report.other_seed, report.other_seed_reason) == (None, reason)
    assert [run.status for run in report.runs] == statuses


def test_the_last_seed_has_a_next_one() -> None:
    assert (next_seed(0), next_seed(MAX_SEED)) == (1, 0)
