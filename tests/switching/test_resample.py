"""Resampling of latents, held against other implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from engine.switching.resample import lanczos, nearest
from tests.oracles import randn

RESAMPLED = [(10, 14), (40, 56), (13, 21), (27, 31), (20, 28), (31, 9), (1, 1)]


@pytest.mark.parametrize("size", RESAMPLED)
def test_lanczos_is_pillows(size):
    x = randn(20, 28).float()
    expected = Image.fromarray(x.numpy()).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    assert np.allclose(lanczos(x, size), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", RESAMPLED)
def test_nearest_is_torchs(size):
    x = randn(2, 3, 20, 28)
    assert torch.equal(nearest(x, size), torch.nn.functional.interpolate(x, size=size, mode="nearest"))
