"""Ideal denoisers whose answers are known exactly, so that sampling can be checked without any weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.switching.noise_field import dct2, idct2

WAN_SPECTRUM = (219.485, 2.4227)  # A, beta of P(w) = A·w^-beta, fitted on Wan 2.1 latents (arXiv 2605.18736)


class GaussianWorld:
    """Latents whose DCT coefficients are independent Gaussians with a power-law spectrum, and their ideal denoiser.

    At a lower resolution the world is the low-pass of the full one, its amplitude scaled so that the mean stays.
    """

    def __init__(self, height: int, width: int, spectrum: tuple[float, float] = WAN_SPECTRUM) -> None:
        self.full, self.spectrum = (height, width), spectrum

    def power(self, height: int, width: int) -> Tensor:
        """Variance of every coefficient at a resolution (height, width); frequency in full-size cycles."""
        a, beta = self.spectrum
        i = torch.arange(height, dtype=torch.float64)[:, None]
        j = torch.arange(width, dtype=torch.float64)[None, :]
        w = torch.sqrt((i * self.full[1] / self.full[0]) ** 2 + j**2).clamp_min(1.0) / 2
        gain = height * width / (self.full[0] * self.full[1])
        return gain * a * w**-beta

    def velocity(self, x: Tensor, t: Tensor, sigma: float | None = None) -> Tensor:
        """E[ε - x0 | x] for x (..., h, w) at level t/1000."""
        sigma = float(t) / 1000 if sigma is None else sigma
        power = self.power(*x.shape[-2:])
        total = (1 - sigma) ** 2 * power + sigma**2
        coefficients = dct2(x.double()) * (sigma - (1 - sigma) * power) / total
        return idct2(coefficients).to(x.dtype)


class Target:
    """A denoiser that knows the one picture there is: x0 is a smooth pattern, drawn at any resolution."""

    def __init__(self, channels: int, frames: int) -> None:
        self.channels, self.frames = channels, frames

    def x0(self, height: int, width: int) -> Tensor:
        """(C, T, h, w) in [-1, 1]; bilinear in space, so that half-pixel-centred resizing keeps its interior."""
        rows = (torch.arange(height) + 0.5) / height
        columns = (torch.arange(width) + 0.5) / width
        plane = rows[:, None] - columns[None, :]
        phase = torch.arange(self.channels)[:, None, None, None] + torch.arange(self.frames)[None, :, None, None]
        return torch.cos(phase.float()) * plane

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        return (x - self.x0(*x.shape[-2:])) / max(float(t) / 1000, 1e-3)


def correlation(a: Tensor, b: Tensor) -> float:
    a, b = a.double().flatten(), b.double().flatten()
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / math.sqrt(float(a @ a) * float(b @ b)))


def randn(*shape: int, seed: int = 0) -> Tensor:
    """White noise in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
