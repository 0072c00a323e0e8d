"""Bands: settling steps of trajectories that are known, and the baseline's in a report."""

from __future__ import annotations

import pytest
import torch

from engine.comparing.comparison import compare
from engine.comparing.settling import EDGES, THRESHOLD, BandWatch, settled
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.models.loading import load_model
from engine.reports.report_file import load
from engine.switching.noise_field import idct2
from engine.switching.policies import policy_named
from tests.tiny import saved_tiny_wan

SIDE, STEPS = 16, 12
# First and last index of each band at 16 cells: a latent of 4, 8, 12, 16 cells has the coefficients below its size.
BANDS = ((0, 4), (4, 8), (8, 12), (12, 16))


def trajectory(steps_by_band, *, frames=5, height=SIDE, width=SIDE):
    """Guesses whose band k holds rubbish before step `steps_by_band[k]` and its final content from it on."""
    draw = torch.Generator().manual_seed(0)
    final, rubbish = (torch.randn(1, 4, frames, height, width, generator=draw) for _ in range(2))
    radius = torch.maximum(torch.arange(height)[:, None] / height, torch.arange(width)[None] / width)
    for step in range(1, STEPS + 1):
        mixed = final.clone()
        for k, settles in enumerate(steps_by_band):
            inside = (radius >= EDGES[k]) & (radius < EDGES[k + 1])
            if step < settles:
                mixed[..., inside] = rubbish[..., inside]
        yield idct2(mixed)


def watched(guesses):
    """Guesses seen as a sampler shows them: x and velocity at some noise level, from which x0 comes back."""
    watch, draw = BandWatch(), torch.Generator().manual_seed(1)
    for step, x0 in enumerate(guesses):
        sigma, noise = 1 - step / STEPS, torch.randn(x0.shape, generator=draw)
        watch.see((1 - sigma) * x0 + sigma * noise, noise - x0, sigma)
    return watch.bands()


@pytest.mark.parametrize("known", [(2, 5, 8, 11), (1, 1, 1, 1), (11, 8, 5, 2), (12, 3, 12, 3)])
def test_bands_settle_at_the_steps_they_were_made_to(known):
    found = watched(trajectory(known))
    assert found.settled == known
    assert [len(error) for error in found.error] == [STEPS] * 4
    for error, step in zip(found.error, known, strict=True):
        assert all(value > 1 for value in error[: step - 1])
        assert all(value < 1e-6 for value in error[step - 1 :])


def test_bands_of_an_oblong_latent_are_shares_of_each_side():
    assert watched(trajectory((3, 6, 9, 12), height=8, width=24)).settled == (3, 6, 9, 12)


@pytest.mark.parametrize("frames", [1, 2, 3, 21])
def test_any_number_of_frames_will_do(frames):
    assert watched(trajectory((2, 4, 6, 8), frames=frames)).settled == (2, 4, 6, 8)


def test_a_band_that_leaves_again_has_not_settled():
    assert settled((0.5, 0.01, 0.01, 0.06, 0.01)) == 5
    assert settled((THRESHOLD, 0.0)) == 1


def test_a_latent_too_small_for_a_band_has_it_settled_at_once():
    found = watched(trajectory((1, 1, 5, 1), height=2, width=2))  # coefficients at 0 and at half of Nyquist only
    assert found.settled == (1, 1, 5, 1)


def test_nothing_seen_gives_nothing():
    assert BandWatch().bands() is None


def test_what_is_not_finite_gives_nothing():
    watch = BandWatch()
    watch.see(torch.full((1, 4, 1, 8, 8), torch.inf), torch.zeros(1, 4, 1, 8, 8), 0.5)
    assert watch.bands() is None


def test_guesses_wait_in_the_hosts_memory_and_are_compared_where_they_came_from(monkeypatch):
    """On the device they would be in the baseline's peaks, through decoding too, and in no other run's."""
    copies = []
    monkeypatch.setattr("engine.comparing.settling.host_copy", lambda x: copies.append(x.clone()) or copies[-1])
    watch = BandWatch()
    for guess in trajectory((1, 1, 1, 1)):
        watch.see(guess, torch.zeros_like(guess), 1.0)
    assert len(watch._guesses) == len(copies) == STEPS
    assert all(kept is copy for kept, copy in zip(watch._guesses, copies, strict=True))
    waited = []
    monkeypatch.setattr("engine.comparing.settling.wait_for", waited.append)
    assert watch.bands() is not None
    assert waited == [torch.device("cpu")]


def test_the_guesses_are_let_go():
    watch = BandWatch()
    for guess in trajectory((1, 1, 1, 1)):
        watch.see(guess, torch.zeros_like(guess), 1.0)
    assert watch.bands() is not None
    assert watch.bands() is None


def test_a_report_has_the_bands_of_its_baseline_and_of_no_other_run(tmp_path):
    model = load_model(str(saved_tiny_wan(tmp_path / "tiny")), device="cpu")
    track = Track("a", load_preset("0.5@2", 4).schedule, policy_named("coherent"))
    asked = make_experiment(model.spec, [track], Settings(prompt="a red apple", steps=4, height=64, width=64, frames=5))
    compare(asked, model, tmp_path / "out", noise_floor=False)
    baseline, run = load(tmp_path / "out" / "report.json").runs
    assert run.bands is None
    assert baseline.bands.edges == EDGES
    assert [len(error) for error in baseline.bands.error] == [4] * 4
    assert all(error[-1] == 0 for error in baseline.bands.error)
    assert any(error[0] > 0 for error in baseline.bands.error)
    assert "Detail left to settle" in (tmp_path / "out" / "index.html").read_text("utf-8")
