"""The transform, and the noise that stays the same noise at every size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from engine.switching.handover import noise_for
from engine.switching.noise_field import NoiseField, NoiseSource, dct2, idct2, resize_dct
from engine.switching.policies import POLICIES, policy_named
from tests.oracles import randn

SHAPE = (4, 1, 60, 104)
OURS = ("anchored", "coherent", "spectral", "pyramid")  # policies that start from the baseline's own noise


@pytest.mark.parametrize("size", [(44, 78), (1, 2), (7, 5)])
def test_dct_is_scipys(size):
    x = randn(3, *size)
    assert np.allclose(dct2(x), dctn(x.numpy(), axes=(-2, -1), norm="ortho"), rtol=0, atol=1e-12)


def test_dct_is_orthonormal():
    x = randn(3, 44, 78)
    assert torch.allclose(idct2(dct2(x)), x, atol=1e-12)
    assert torch.allclose((dct2(x) ** 2).sum(), (x**2).sum())


@pytest.mark.parametrize("size", [(44, 78), (30, 52), (54, 94), (12, 20), (2, 2)])
def test_cropped_noise_is_white_with_unit_variance_at_any_ratio(size):
    noise = NoiseField(randn(4000, 60, 104)).crop(size)
    _h, _w = size
    assert noise.shape[-2:] == size
    assert float(noise.var()) == pytest.approx(1.0, abs=0.02)
    assert abs(float((noise[..., 1:, :] * noise[..., :-1, :]).mean())) < 0.02
    assert abs(float((noise[..., 1:] * noise[..., :-1]).mean())) < 0.02
    per_pixel = noise.var(0)
    assert float(per_pixel.std()) < 3 * math.sqrt(2 / 4000)  # every pixel alike, corners too


def test_crop_at_full_size_is_the_field_itself_to_the_bit():
    field = NoiseField(randn(2, 60, 104).float())
    assert field.crop((60, 104)) is field.eps


def test_extend_puts_back_exactly_what_crop_left_out():
    field = NoiseField(randn(2, 60, 104))
    assert torch.allclose(field.extend(field.crop((44, 78)), (60, 104)), field.eps, atol=1e-12)


def test_field_is_the_baseline_noise_of_the_seed():
    field = NoiseSource(torch.Generator().manual_seed(5), (1, *SHAPE), field_first=True).field
    assert torch.equal(field.eps[0], torch.randn(SHAPE, generator=torch.Generator().manual_seed(5)))


def test_a_field_that_is_given_takes_the_first_draws_place():
    given = randn(1, *SHAPE)
    source = NoiseSource(torch.Generator().manual_seed(5), (1, *SHAPE), field_first=True, field=given)
    generator = torch.Generator().manual_seed(5)
    torch.randn(1, *SHAPE, generator=generator)
    assert torch.equal(source.field.eps, given.float())
    assert torch.equal(source.start((60, 104)), given.float())
    assert torch.equal(source.fresh((30, 52)), torch.randn(1, 4, 1, 30, 52, generator=generator))
    assert source.size == (60, 104)


def test_a_field_that_is_given_to_a_run_of_fresh_noise_is_left_alone():
    source = NoiseSource(torch.Generator().manual_seed(5), (1, *SHAPE), field_first=False, field=randn(1, *SHAPE))
    drawn = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(5))
    assert torch.equal(source.start((60, 104)), drawn)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_run_starts_in_its_own_number_type_and_transforms_in_a_wide_one(dtype):
    source = NoiseSource(torch.Generator().manual_seed(5), (1, *SHAPE), field_first=True, dtype=dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert source.start((30, 52)).dtype == source.fresh((30, 52)).dtype == dtype
    assert source.field.coefficients.dtype == resize_dct(source.field.eps, (70, 120)).dtype == wide


def test_the_fields_spectrum_is_computed_once():
    field = NoiseField(randn(1, 8, 8))
    assert field.coefficients is field.coefficients


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_starts_from_the_baselines_noise_or_from_a_draw_of_its_own(policy):
    noise = noise_for(policy_named(policy), 5, (1, *SHAPE), "cpu")
    baseline = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(5))
    anew = torch.randn(1, 4, 1, 30, 52, generator=torch.Generator().manual_seed(5))
    first = NoiseField(baseline).crop((30, 52)) if policy in OURS else anew
    assert torch.equal(noise.start((30, 52)), first)


def test_stage_noises_are_drawn_in_stage_order_without_a_field():
    source = NoiseSource(torch.Generator().manual_seed(5), (1, *SHAPE), field_first=False)
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(source.start((44, 78))[0], torch.randn(4, 1, 44, 78, generator=generator))
    assert torch.equal(source.fresh((60, 104))[0], torch.randn(SHAPE, generator=generator))
    with pytest.raises(LookupError):
        _ = source.field


@pytest.mark.parametrize("size", [(44, 78), (120, 200), (60, 104)])
def test_band_limited_resize_keeps_the_mean(size):
    assert torch.allclose(resize_dct(torch.full((1, 60, 104), 0.7), size), torch.tensor(0.7), atol=1e-5)
