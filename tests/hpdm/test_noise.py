"""The noise parametrisation: exact, at unit variance, at every input scale."""

from __future__ import annotations

import math

import pytest
import torch

from engine.hpdm.patch_noise import (
    PHI_RANGE,
    add_noise,
    draw_phi,
    eps_from_x0,
    flow_level,
    net_input,
    schedule,
    target,
    x0_from_v,
)

SCALES = [1.0, 0.5, 0.35, 0.25, 0.125]


@pytest.mark.parametrize("b", SCALES)
@pytest.mark.parametrize("phi", [0.01, 0.02, 0.4, 1.2, 1.56])
def test_x0_and_the_noise_come_back_from_v_at_every_input_scale(b, phi):
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 4, 3, 8, 8, generator=generator, dtype=torch.float64)
    angle = torch.full((4,), phi, dtype=torch.float64)
    z = add_noise(x0, eps, angle, b)
    found = x0_from_v(z, target(x0, eps, angle), angle, b)
    torch.testing.assert_close(found, x0, rtol=0, atol=1e-9)
    torch.testing.assert_close(eps_from_x0(z, found, angle, b), eps, rtol=0, atol=1e-6)


def test_at_input_scale_one_it_is_plain_v_prediction():
    z, v = torch.randn(2, 4, 3, 8, 8, dtype=torch.float64)
    phi = torch.full((4,), 0.7, dtype=torch.float64)
    torch.testing.assert_close(x0_from_v(z, v, phi, 1.0), math.cos(0.7) * z - math.sin(0.7) * v)


@pytest.mark.parametrize("b", SCALES)
def test_the_network_sees_unit_variance_and_is_asked_for_unit_variance(b):
    generator = torch.Generator().manual_seed(1)
    x0, eps = torch.randn(2, 4, 100_000, generator=generator)
    phi = torch.tensor([0.05, 0.5, 1.0, 1.5])
    seen = net_input(add_noise(x0, eps, phi, b), phi, b)
    assert seen.var(1).sub(1).abs().max() < 0.03
    assert target(x0, eps, phi).var(1).sub(1).abs().max() < 0.03


def test_a_smaller_input_scale_lowers_the_signal_to_noise_ratio_by_its_square():
    full, half = (flow_level(0.6, b) for b in (1.0, 0.5))

    def ratio(t):
        return ((1 - t) / t) ** 2

    assert ratio(half) == pytest.approx(ratio(full) / 4)


def test_a_schedule_goes_from_pure_noise_to_clean():
    angles = schedule(8)
    assert len(angles) == 9
    assert angles[0] == pytest.approx(math.pi / 2)
    assert angles[-1] == 0
    assert angles == sorted(angles, reverse=True)


def test_training_angles_fill_their_range():
    phi = draw_phi(20_000, torch.Generator().manual_seed(0))
    low, high = PHI_RANGE
    assert low <= float(phi.min()) < low + 0.01
    assert high - 0.01 < float(phi.max()) <= high
    assert float(phi.mean()) == pytest.approx((low + high) / 2, abs=0.02)
