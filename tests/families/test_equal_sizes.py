"""A split at equal size changes nothing: each stage starts from what the run at full size has, conditions included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from diffusers.schedulers import scheduling_euler_ancestral_discrete as ancestral

from engine.sampling.pipeline_run import run_staged
from engine.schedules.schedule import flat, parse_schedule
from engine.switching.policies import Policy
from tests.families.cases import CASES, STEPS, U, expected, request
from tests.families.test_schedulers import piped

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")  # Mochi asks for it in float32
SPLIT = parse_schedule(STEPS, [1.0], [4])
# What a solver is known to change: a history begins anew at a switch, and an Euler step is taken in other units.
CLOSE_DB = {
    "UniPCMultistepScheduler": 40,
    "DPMSolverMultistepScheduler": 60,
    "CogVideoXDDIMScheduler": 120,
    "EulerDiscreteScheduler": 120,
    "CogVideoXDPMScheduler": 12,  # adds noise of its own in every step but the last one before a switch
}


@pytest.fixture(autouse=True)
def split(monkeypatch):
    """Stages of one size are handed over, though a run would take them as one."""
    monkeypatch.setattr(Policy, "merges", False)


@pytest.mark.parametrize("name", CASES)
def test_a_split_at_equal_size_gives_the_frames_of_the_run_at_full_size(name):
    pipe = CASES[name].build()
    solver = type(pipe.scheduler).__name__
    frames = run_staged(request(CASES[name], pipe, SPLIT, "coherent")).frames
    if solver == "FlowMatchEulerDiscreteScheduler":
        assert np.array_equal(frames, expected(name))
    else:
        error = float(np.mean((frames - expected(name)) ** 2))
        assert error < 10 ** (-CLOSE_DB[solver] / 10), f"{-10 * math.log10(error):.1f} dB"


@pytest.fixture
def drawn(monkeypatch):
    """The noise that a scheduler adds, step by step."""
    found, draw = [], ancestral.randn_tensor

    def watched(*args, **kwargs):
        found.append(draw(*args, **kwargs))
        return found[-1]

    monkeypatch.setattr(ancestral, "randn_tensor", watched)
    return found


def test_no_step_draws_the_noise_of_another_one(drawn):
    """A generator that began anew in a stage would repeat the noise of the first."""
    run_staged(request(CASES["sd"], piped("sd", "EulerAncestralDiscreteScheduler", {}), U))
    assert len(drawn) == STEPS
    assert len({tuple(noise.flatten()[:8].tolist()) for noise in drawn}) == STEPS


def test_a_split_at_equal_size_draws_the_noise_of_the_run_at_full_size(drawn):
    pipe = piped("sd", "EulerAncestralDiscreteScheduler", {})
    run_staged(request(CASES["sd"], pipe, flat(STEPS)))
    whole = drawn[:]
    drawn.clear()
    run_staged(request(CASES["sd"], pipe, SPLIT, "coherent"))
    assert all((a == b).all() for a, b in zip(whole, drawn, strict=True))
