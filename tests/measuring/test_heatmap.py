"""The heat-map: where a run differs from the baseline."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.errors import InvalidInput
from engine.measuring.heatmap import HEAT, heatmap


def test_the_heat_map_is_black_where_equal_and_brightens_with_the_difference(base: np.ndarray) -> None:
    assert heatmap(base, base).max() == 0.0
    steps = np.linspace(0, 0.25, 6, dtype=np.float32)
    run = np.zeros((6, 4, 4, 3), np.float32) + steps.reshape(6, 1, 1, 1)
    shown = heatmap(run, np.zeros_like(run), gain=4)
    assert shown.shape == run.shape
    assert shown.dtype == np.float32
    assert shown.min() >= 0
    assert shown.max() <= 1
    light = shown.mean(axis=(1, 2)) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all()
    assert shown[-1, 0, 0] == pytest.approx(HEAT[-1])


def test_the_heat_map_shows_broken_frames_as_the_brightest(base: np.ndarray) -> None:
    broken = base.copy()
    broken[0, 0, 0] = np.nan
    assert heatmap(broken, base)[0, 0, 0] == pytest.approx(HEAT[-1])


def test_the_heat_map_refuses_other_shapes_and_gains(base: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="128x64"):
        heatmap(base[:, :64], base)
    for gain in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InvalidInput, match="gain"):
            heatmap(base, base, gain)
