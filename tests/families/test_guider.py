"""A pipeline with a guider: the run's guidance is set there, and the guider comes back."""

from __future__ import annotations

import numpy as np
import pytest
from diffusers import ClassifierFreeGuidance

from engine.errors import Cancelled
from engine.sampling.pipeline_run import run_staged
from engine.schedules.schedule import flat
from tests.families.cases import CASES, STEPS, U, call_of, expected, request, untouched

CASE = CASES["hunyuan-1.5"]


def asked(pipe, guidance, schedule=None):
    call = call_of(CASE, pipe) | {"guidance_scale": guidance}
    return request(CASE, pipe, schedule or flat(STEPS), call=call)


def test_a_run_has_the_guidance_that_it_is_asked_for():
    pipe, other = CASE.build(), CASE.build()
    other.guider = ClassifierFreeGuidance(guidance_scale=8.0)
    found = run_staged(asked(pipe, 8.0)).frames
    assert np.array_equal(found, untouched(CASE, other))
    assert not np.array_equal(found, expected(CASE.name))


@pytest.mark.parametrize("schedule", [flat(STEPS), U], ids=["flat", "U"])
def test_the_guider_is_put_back(schedule):
    pipe = CASE.build()
    guider, scale = pipe.guider, pipe.guider.guidance_scale
    first = run_staged(asked(pipe, 8.0, schedule)).frames
    assert pipe.guider is guider
    assert guider.guidance_scale == scale
    assert np.array_equal(untouched(CASE, pipe), expected(CASE.name))
    assert not np.array_equal(run_staged(asked(pipe, 2.0, schedule)).frames, first)


def test_the_guider_is_put_back_after_a_cancel():
    pipe = CASE.build()
    guider = pipe.guider

    def cancel(event):
        assert pipe.guider is not guider
        assert pipe.guider.guidance_scale == 8.0
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        run_staged(asked(pipe, 8.0), cancel)
    assert pipe.guider is guider


@pytest.mark.parametrize("guidance", [0.0, 1.0, 1.5])
def test_a_step_has_as_many_passes_as_the_prediction_counts(guidance):
    pipe, calls = CASE.build(), []
    pipe.transformer.register_forward_pre_hook(lambda *_: calls.append(1))
    ask = asked(pipe, guidance, flat(2))
    run_staged(ask)
    assert len(calls) == 2 * ask.family.passes(guidance)
