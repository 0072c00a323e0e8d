"""Noise, resizing and every policy's switch, held against independent writings of their formulas."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn

from engine.switching.handover import noise_for
from engine.switching.noise_field import NoiseField, NoiseSource, dct2, resize_dct
from engine.switching.policies import POLICIES, policy_named
from engine.switching.resample import lanczos, nearest
from engine.switching.sigma_tables import wan_table
from engine.switching.switches import SWITCHES, Switch
from tests.switching import switch_formulas

SHAPE = (4, 1, 60, 104)
FIELD_FIRST = ("anchored", "coherent", "spectral", "pyramid")  # start from the baseline's own noise
RESAMPLED = [(10, 14), (40, 56), (13, 21), (27, 31), (20, 28), (31, 9), (1, 1)]
OLD_TABLE, NEW_TABLE = (0.93, 0.85, 0.71, 0.4, 0.0), (0.96, 0.9, 0.78, 0.5, 0.0)
RESIZES = {
    "up": ((10, 14), (20, 28)),
    "up by no whole number": ((9, 16), (20, 28)),
    "down": ((20, 28), (10, 14)),
    "down by no whole number": ((20, 28), (13, 21)),
    "equal": ((20, 28), (20, 28)),
    "down to a flat one": ((20, 28), (10, 26)),
    "turned": ((28, 20), (20, 28)),
    "turned, growing": ((20, 9), (12, 28)),
    "turned, shrinking": ((28, 9), (12, 20)),
}
# Copies make blocks only where no side shrinks while the other grows.
BLOCKS = [resize for resize in RESIZES if "turned" not in resize]


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [(44, 78), (1, 2), (7, 5)])
def test_dct_is_scipys(size):
    x = randn(3, *size)
    assert np.allclose(dct2(x), dctn(x.numpy(), axes=(-2, -1), norm="ortho"), rtol=0, atol=1e-12)


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
    first = NoiseField(baseline).crop((30, 52)) if policy in FIELD_FIRST else anew
    assert torch.equal(noise.start((30, 52)), first)


@pytest.mark.parametrize("size", RESAMPLED)
def test_lanczos_is_pillows(size):
    x = randn(20, 28).float()
    expected = Image.fromarray(x.numpy()).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    assert np.allclose(lanczos(x, size), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", RESAMPLED)
def test_nearest_is_torchs(size):
    x = randn(2, 3, 20, 28)
    assert torch.equal(nearest(x, size), torch.nn.functional.interpolate(x, size=size, mode="nearest"))


@pytest.mark.parametrize(
    ("policy", "resize"),
    [(policy, resize) for policy in SWITCHES for resize in (BLOCKS if policy == "pyramid" else RESIZES)],
)
@pytest.mark.parametrize("step", [0, 2])
def test_a_switch_is_what_its_formula_written_anew_gives(policy, resize, step):
    before, size = RESIZES[resize]
    x, velocity, stepped = (randn(2, 3, 2, *before, seed=seed) for seed in (1, 2, 3))
    field, fresh, known = randn(2, 3, 2, 20, 28, seed=4), *(randn(2, 3, 2, *size, seed=seed) for seed in (5, 6))
    new = OLD_TABLE if resize == "equal" else NEW_TABLE
    switch = Switch(
        x, velocity, stepped, step, OLD_TABLE, new, size, lambda: NoiseField(field), lambda: fresh, lambda: known
    )
    numbers = (tensor.numpy() for tensor in (x, velocity, stepped))
    noises = (tensor.numpy() for tensor in (field, fresh, known))
    given = switch_formulas.Given(*numbers, step, OLD_TABLE, new, size, *noises)
    assert np.allclose(SWITCHES[policy](switch), switch_formulas.SWITCHES[policy](given), rtol=0, atol=1e-12)


@pytest.mark.parametrize("policy", ["coherent", "pyramid"])
def test_between_equal_sizes_a_switch_is_eulers_step_to_the_bit_and_asks_for_no_noise(policy):
    x, velocity = randn(1, 2, 3, 20, 28).float(), randn(1, 2, 3, 20, 28, seed=1).float()

    def unasked():
        raise AssertionError("nothing is invented between equal sizes")

    switch = Switch(x, velocity, x, 1, OLD_TABLE, NEW_TABLE, (20, 28), unasked, unasked, unasked)
    assert torch.equal(SWITCHES[policy](switch), x + (NEW_TABLE[2] - OLD_TABLE[1]) * velocity)


def test_what_the_stages_of_a_run_share_cannot_be_changed():
    x = randn(1, 1, 1, 2, 2)
    field, table = NoiseField(x), wan_table(4, 3.0)
    switch = Switch(x, x, x, 0, OLD_TABLE, NEW_TABLE, (2, 2), lambda: field, lambda: x, lambda: x)
    for shared, name in ((switch, "step"), (field, "eps"), (table, "sigmas"), (policy_named("spectral"), "name")):
        with pytest.raises(FrozenInstanceError):
            setattr(shared, name, None)
