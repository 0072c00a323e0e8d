"""Calibration: a few steps at sizes that nobody has timed, heard by cancel, and invisible in every result."""

from __future__ import annotations

import pytest
import torch

from engine.comparing.comparison import compare
from engine.comparing.listeners import Silent
from engine.comparing.probing import LAST, STEPS, probe_rates
from engine.costs.prediction import CostModel
from engine.costs.timings import Timings, timing_key
from engine.errors import Cancelled
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.models.catalogue import find_model
from engine.models.loading import load_model
from engine.schedules.latent_sizes import full_size, latent_size
from engine.switching.policies import policy_named
from tests.tiny import saved_tiny_wan

SPEC = find_model("emoji-wan")
SIZE = (128, 128, 17)
FULL = full_size(SPEC.geometry, *SIZE)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")), device="cpu")


def experiment(model, *schedules):
    tracks = [Track(name, load_preset(name, 4).schedule, policy_named("coherent")) for name in schedules]
    return make_experiment(model.spec, tracks, Settings(prompt="a red apple", steps=4, height=64, width=64, frames=5))


class Learns:
    """Keeps timings as a worker would."""

    def __init__(self, experiment):
        self.timings = Timings(key=timing_key(experiment.spec, experiment.frames, experiment.guidance, None))
        self.probes = []

    def has(self, size):
        return self.timings.has(size)

    def probed(self, probes):
        self.probes.append(probes)
        self.timings = self.timings.with_probes(probes)


class Records(Silent):
    """Keeps what it is told, and may do something at a phase."""

    def __init__(self, at=None, do=None):
        self.heard, self.at, self.do = [], at, do

    def phase(self, name, phase):
        self.heard.append((name, phase))
        if phase == self.at:
            self.do()

    def run_ended(self, run):
        self.heard.append((run.name, run.status))


# --- which sizes -----------------------------------------------------------------------------------------------------


def sizes(*rates):
    return [latent_size(FULL, rate, SPEC.geometry.patch) for rate in rates]


def test_sizes_spread_over_the_rates_are_timed():
    assert probe_rates(SPEC, SIZE, sizes(0.75), lambda size: False) == (0.25, 0.5, 0.75)


def test_what_is_known_is_not_timed_again():
    assert probe_rates(SPEC, SIZE, sizes(0.75), lambda size: size == (8, 8)) == (0.25, 0.75)
    assert probe_rates(SPEC, SIZE, sizes(0.75, 0.5), lambda size: size in {(12, 12), (8, 8)}) == ()


def test_nothing_is_timed_where_only_the_full_size_is_needed():
    assert probe_rates(SPEC, SIZE, sizes(1.0), lambda size: False) == ()


def test_a_model_with_one_size_only_has_nothing_to_time():
    assert probe_rates(SPEC, (16, 16, 17), sizes(0.75), lambda size: False) == ()


# --- in a comparison -------------------------------------------------------------------------------------------------


def test_after_one_comparison_every_rate_of_the_tracks_is_measured(model, tmp_path):
    asked = experiment(model, "0.5@2")
    learner = Learns(asked)
    compare(asked, model, tmp_path / "a", noise_floor=False, learner=learner)
    (probes,) = learner.probes
    assert [probe.size for probe in probes] == [(2, 2), (4, 4), (6, 6), (8, 8)]
    assert [len(probe.seconds) for probe in probes] == [STEPS - 1] * 3 + [LAST - 1]
    assert [probe.first_s is None for probe in probes] == [True, False, False, False]
    assert all(probe.condition_s > 0 for probe in probes)
    costs = CostModel(asked.spec, learner.timings, 64, 64, 5, asked.guidance)
    assert all(row["seconds"] > 0 for row in costs.table())
    compare(asked, model, tmp_path / "b", noise_floor=False, learner=learner)
    assert len(learner.probes) == 1


def test_calibrating_changes_no_result(model, tmp_path):
    asked = experiment(model, "0.5@2", "1/0.75@1/3")
    torch.manual_seed(0)
    plain = compare(asked, model, tmp_path / "plain", noise_floor=False)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    learned = compare(asked, model, tmp_path / "learned", noise_floor=False, learner=Learns(asked))
    assert torch.equal(drawn, torch.rand(1))
    for one, two in zip(plain.runs, learned.runs, strict=True):
        assert (one.similarity, one.sigmas, one.stages) == (two.similarity, two.sigmas, two.stages)
        assert (tmp_path / "plain" / one.video).read_bytes() == (tmp_path / "learned" / two.video).read_bytes()


def test_a_cancel_is_heard_while_calibrating(model, tmp_path):
    def cancel():
        raise Cancelled("cancelled")

    asked = experiment(model, "0.5@2")
    learner, listener = Learns(asked), Records("timing other sizes", cancel)
    report = compare(asked, model, tmp_path, listener, noise_floor=False, learner=learner)
    assert listener.heard.count(("baseline", "timing other sizes")) == 1
    assert [run.status for run in report.runs] == ["done", "cancelled"]
    assert listener.heard[-2:] == [("baseline", "done"), ("0.5@2", "cancelled")]
    assert learner.probes == []


def test_a_calibration_that_fails_harms_no_run(model, tmp_path, caplog):
    def fail():
        raise RuntimeError("no")

    asked = experiment(model, "0.5@2")
    report = compare(
        asked, model, tmp_path, Records("timing other sizes", fail), noise_floor=False, learner=Learns(asked)
    )
    assert [run.status for run in report.runs] == ["done", "done"]
    assert "nothing was calibrated" in caplog.text


def test_without_a_learner_nothing_is_timed(model, tmp_path):
    listener = Records()
    compare(experiment(model, "0.5@2"), model, tmp_path, listener, noise_floor=False)
    assert ("baseline", "timing other sizes") not in listener.heard
