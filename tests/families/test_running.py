"""Every family's tiny pipeline, from its real classes, along schedules."""

from __future__ import annotations

import numpy as np
import pytest

from engine.schedule import flat
from engine.staged import run_staged
from tests.families.cases import CASES, SCHEDULES, STEPS, request, untouched

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")  # Mochi asks for it in float32
every_family = pytest.mark.parametrize("name", CASES)


@every_family
def test_flat_is_bit_identical_to_the_untouched_pipeline_call(name):
    case = CASES[name]
    pipe = case.build()
    expected = untouched(case, pipe)
    assert np.isfinite(expected).all()
    assert np.array_equal(run_staged(request(case, pipe, flat(STEPS))).frames, expected)
    assert np.array_equal(untouched(case, pipe), expected)


@every_family
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_schedules_run_and_end_at_full_size(name, schedule):
    case = CASES[name]
    pipe = case.build()
    events = []
    result = run_staged(request(case, pipe, schedule), events.append)
    assert [event.step for event in events] == list(range(1, STEPS + 1))
    assert result.frames.shape[1:] == (case.height, case.width, 3)
    assert np.isfinite(result.frames).all()
