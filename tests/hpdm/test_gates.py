"""The gates' figures: right on videos and models whose noise, bias and error are known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from benchmarks.hpdm_gates import STEP, context_error, gain, gates, ground_noise, table
from engine.hpdm.hpdm_model import Hpdm
from engine.hpdm.nested_patches import pyramid
from engine.hpdm.tile_sampler import Sampling
from tests.hpdm.conftest import CONFIG, OURS

PATCH = (4, 16, 16)
LABELS = torch.tensor([[1, 2], [2, 1]])


def test_noise_between_tiles_of_pixels_and_bias_are_told_apart():
    generator = torch.Generator().manual_seed(0)
    true = torch.tensor([0.2, -0.3, 0.5])
    flat = true.view(3, 1, 1, 1).expand(3, 16, 64, 64)
    assert ground_noise(flat, true, PATCH) == pytest.approx({"tile": 0, "pixel": 0, "bias": 0}, abs=1e-4)
    assert ground_noise(flat + 4 / STEP, true, PATCH) == pytest.approx({"tile": 0, "pixel": 0, "bias": 4}, abs=1e-3)
    tiles = torch.randn(3, 4, 4, 4, generator=generator) * 5 / STEP
    by_tile = tiles.repeat_interleave(4, 1).repeat_interleave(16, 2).repeat_interleave(16, 3)
    found = ground_noise(flat + by_tile, true, PATCH)
    assert found["pixel"] == pytest.approx(0, abs=1e-4)
    assert found["tile"] == pytest.approx(5, rel=0.25)
    found = ground_noise(flat + torch.randn(3, 16, 64, 64, generator=generator) * 3 / STEP, true, PATCH)
    assert found["pixel"] == pytest.approx(3, rel=0.05)
    assert found["tile"] < 0.4


def test_what_lies_in_the_middle_of_the_picture_is_no_ground():
    video = torch.zeros(3, 16, 64, 64)
    video[..., 8:56, :] = 1
    assert ground_noise(video, torch.zeros(3), PATCH)["pixel"] == 0


@pytest.mark.parametrize("level", [1, 2])
def test_a_model_that_knows_nothing_but_the_parent_is_as_good_as_enlarging_it(level):
    """A new model of the residual answers zero: its estimate in nearly pure noise is the enlarged parent."""
    few = 2 * torch.rand(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0)) - 1
    rough = torch.nn.functional.interpolate(few, size=CONFIG.size(2), mode="trilinear")
    config = replace(CONFIG, **{**OURS, "residual_scales": (1.0, 0.3, 0.3)})
    levels = pyramid(rough, config)
    ratio = context_error(Hpdm(config).eval(), LABELS, levels, level)
    assert ratio == pytest.approx(1, abs=0.05)  # the context has noise of its own
    found, trivial = gain(Hpdm(config).eval(), LABELS, Sampling((1, 1, 1), "none"), levels, level)
    assert found == pytest.approx(trivial, abs=1)
    blind = context_error(Hpdm(replace(CONFIG, fusion="none")).eval(), LABELS, levels, level)
    assert blind > 1.1 * ratio


def test_every_gate_of_a_model_is_in_its_table_and_says_whether_it_holds():
    row = {g.figure: 1.0 for g in gates(3)} | {"model": "m", "gain1": 1.9, "jumps": math.inf}
    lines = table([row], 3).splitlines()
    assert len(lines) == 2 + len(gates(3))
    told = {g.name: line for g, line in zip(gates(3), lines[2:], strict=True)}
    assert "1.9 fails" in next(line for name, line in told.items() if "sampled" in name and "1" in name)
    assert "inf fails" in told["frame jumps at tile ends, of those elsewhere"]
    assert "1 holds" in told["seam ratio, of real clips'"]
