"""Intervals of predicted seconds: narrower with more runs, wider where runs differ, and as often right as they say."""

from __future__ import annotations

import math
import random

import pytest

from engine.costs.timings import KEPT, TimingKey, Timings
from engine.costs.uncertainty import half_width

KEY = TimingKey(model="m", frames=5, guided=True, text_tokens=16, device="cpu", dtype="float32", threads=2)


def timings(*values: float) -> Timings:
    return Timings(key=KEY, steps={"16x16": values, "8x8": tuple(v / 3 for v in values)}, runs=len(values))


def test_without_measurements_there_is_none():
    assert half_width(timings(1.0), "none") is None
    assert half_width(Timings(key=KEY), "measured") is None


def test_more_equal_runs_make_it_narrower_and_runs_that_differ_wider():
    one, many = half_width(timings(1.0), "measured"), half_width(timings(*[1.0] * KEPT), "measured")
    differing = half_width(timings(*[0.8, 1.2] * 4), "measured")
    assert many < one < differing
    assert half_width(timings(1.0), "estimated") > 3 * one


@pytest.mark.parametrize("spread", [0.005, 0.02, 0.04])
def test_nine_of_ten_next_runs_lie_inside(spread):
    rng, inside, count = random.Random(3), 0, 500
    for _ in range(count):
        *before, after = (math.exp(rng.gauss(0, spread)) for _ in range(6))
        half = half_width(timings(*before), "measured")
        inside += abs(math.log(after / sorted(before)[2])) <= half
    assert inside / count >= 0.88
