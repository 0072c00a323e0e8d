"""Twins of full-size states, and the loss that draws the two answers together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from engine.switching.noise_field import dct2, resize_dct
from tests.oracles import GaussianWorld
from training.consistency import disagreement, lower_size, twin


def randn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def state(sigma: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    x0, noise = randn(2, 3, 1, 16, 16, seed=1), randn(2, 3, 1, 16, 16, seed=2)
    return x0, noise, (1 - sigma) * x0 + sigma * noise, torch.full((2, 1, 1, 1, 1), sigma)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("size", [(8, 8), (12, 12)])
def test_a_twin_is_the_smaller_picture_with_the_same_noise_at_its_own_level(size, sigma):
    x0, noise, x, level = state(sigma)
    small, lower = twin(x, level, size)
    crop = dct2(noise)[..., : size[0], : size[1]]
    low = float(lower.flatten()[0])
    expected = (1 - low) * dct2(resize_dct(x0, size)) + low * crop
    assert torch.allclose(dct2(small), expected, atol=1e-5)
    rate = size[0] / 16
    assert low == pytest.approx(rate * sigma / (1 - sigma + rate * sigma))


class World(nn.Module):
    """An ideal denoiser, the same at every size; at lower ones its answers are off by `fault`."""

    def __init__(self, fault: float) -> None:
        super().__init__()
        self.fault = nn.Parameter(torch.tensor(fault))
        self.world = GaussianWorld(16, 16)

    def forward(self, x: torch.Tensor, t: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        answer = torch.stack([self.world.velocity(one, time) for one, time in zip(x, t, strict=True)])
        return answer + (self.fault if x.shape[-1] < 16 else 0)


@pytest.mark.parametrize("fault", [0.0, 0.3])
def test_disagreement_is_the_squared_fault_of_the_lower_resolution(fault):
    _, _, x, level = state(0.6)
    network, ids = World(fault), torch.zeros(2, 4, dtype=torch.long)
    full = network(x, 1000 * level.flatten(), ids)
    loss = disagreement(network, x, full.detach(), level, ids, (8, 8))
    assert float(loss.detach()) == pytest.approx(fault**2, abs=1e-6)
    loss.backward()
    assert float(network.fault.grad) == pytest.approx(2 * fault, abs=1e-4)


def test_lower_sizes_are_drawn_by_weight_and_even():
    rng = np.random.default_rng(0)
    drawn = [lower_size(((0.5, 1.0), (0.625, 1.0), (0.9, 0.0)), (16, 16), rng) for _ in range(200)]
    assert set(drawn) == {(8, 8), (10, 10)}
    assert lower_size((), (16, 16), rng) is None
