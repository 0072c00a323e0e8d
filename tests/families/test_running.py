"""Every family's tiny pipeline, from its real classes, as it is."""

from __future__ import annotations

import numpy as np
import pytest

from engine.schedule import flat
from engine.staged import run_staged
from tests.families.cases import CASES, STEPS, expected, request

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")  # Mochi asks for it in float32
every_family = pytest.mark.parametrize("name", CASES)


@every_family
def test_flat_is_bit_identical_to_the_untouched_pipeline_call(name):
    case = CASES[name]
    assert np.isfinite(expected(name)).all()
    assert np.array_equal(run_staged(request(case, case.build(), flat(STEPS))).frames, expected(name))
