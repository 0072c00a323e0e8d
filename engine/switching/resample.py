"""Spatial resampling of latents by small separable matrices.

Tensors are (..., h, w), of a float dtype that they keep, on any device; results are in new memory. Sizes are (h, w).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LANCZOS_LOBES = 3


def lanczos(x: Tensor, size: Sequence[int]) -> Tensor:
    """Lanczos-3, widened when shrinking so that it does not alias. (..., h, w) -> (..., *size).

    Values may leave the range of `x` a little; a constant stays itself. Weights are made in float64 and rounded to the
    dtype of `x`. Source: the definition, with half-pixel centres and edges clipped, as Pillow has it.
    """
    rows, columns = (_lanczos_matrix(n, m).to(x.dtype).to(x.device) for n, m in zip(x.shape[-2:], size, strict=True))
    return rows @ x @ columns.T


def nearest(x: Tensor, size: Sequence[int]) -> Tensor:
    """Nearest neighbour, values exactly as they were. (..., h, w) -> (..., *size); source: torch's `interpolate`."""
    rows, columns = (nearest_matrix(n, m, x) for n, m in zip(x.shape[-2:], size, strict=True))
    return rows @ x @ columns.T


def nearest_matrix(n: int, m: int, like: Tensor) -> Tensor:
    """The (m, n) matrix that copies n samples to m: sample i goes wherever `floor(j·n/m) = i`. Zeros and ones.

    It has the dtype and device of `like`.
    """
    source = torch.arange(m) * n // m
    return torch.nn.functional.one_hot(source, n).to(like)


def nearest_counts(small: Sequence[int], large: Sequence[int], like: Tensor) -> Tensor:
    """How many copies the block holds that each pixel of the large grid belongs to. (*large), dtype of `like`."""
    rows, columns = (nearest_matrix(n, m, like) for n, m in zip(small, large, strict=True))
    return (rows @ rows.sum(0))[:, None] * (columns @ columns.sum(0))


def _lanczos_matrix(n: int, m: int) -> Tensor:
    """Rows of normalised Lanczos weights (m, n), half-pixel centres, edges clipped."""
    widen = max(n / m, 1.0)
    centres = (torch.arange(m, dtype=torch.float64)[:, None] + 0.5) * n / m - 0.5
    distance = (torch.arange(n, dtype=torch.float64)[None, :] - centres) / widen
    weights = torch.special.sinc(distance) * torch.special.sinc(distance / LANCZOS_LOBES)
    weights = torch.where(distance.abs() < LANCZOS_LOBES, weights, 0.0)
    return weights / weights.sum(1, keepdim=True)
