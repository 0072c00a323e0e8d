"""Every family's tiny pipeline, from its real classes, as it is."""

from __future__ import annotations

import time

import numpy as np
import pytest

from engine.sampling.pipeline_run import run_staged
from engine.schedules.schedule import flat
from tests.families.cases import CASES, STEPS, expected, request

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")  # Mochi asks for it in float32
every_family = pytest.mark.parametrize("name", CASES)


@every_family
def test_flat_is_bit_identical_to_the_untouched_pipeline_call(name):
    case = CASES[name]
    assert np.isfinite(expected(name)).all()
    assert np.array_equal(run_staged(request(case, case.build(), flat(STEPS))).frames, expected(name))


def test_text_that_is_encoded_after_the_latents_is_in_no_step():
    """HunyuanVideo image-to-video prepares its latents first."""
    case = next(case for name, case in CASES.items() if "HunyuanVideoImageToVideo" in type(case.build()).__name__)
    pipe = case.build()
    original = pipe.encode_prompt

    def slow(*args, **kwargs):
        time.sleep(1.0)
        return original(*args, **kwargs)

    pipe.encode_prompt = slow
    result = run_staged(request(case, pipe, flat(STEPS)))
    assert result.text_s > 1.0
    assert max(result.readings.steps_s) < 0.9
