"""Noise that stays the same noise at every resolution: one full-size field a seed, cropped in the DCT domain.

The orthonormal DCT-II keeps white noise white, so the low block of a field's coefficients is, transformed back, white
noise of unit variance at any size, coherent with the field; the block around it is what a later, larger stage still
lacks. Tensors are `(..., h, w)`; the transform acts on the last two axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

Size = tuple[int, int]


def dct2(x: Tensor) -> Tensor:
    """Orthonormal DCT-II over the last two axes. (..., h, w) -> (..., h, w), float32 or, of float64, float64.

    On the device of `x`, always in new memory; coefficient [0, 0] is the mean times sqrt(h·w).
    """
    x = _wide(x)
    rows, columns = (_basis(n, x.dtype, x.device) for n in x.shape[-2:])
    return rows @ x @ columns.T


def idct2(coefficients: Tensor) -> Tensor:
    """The inverse of `dct2` (its transpose); shapes, dtype and device likewise."""
    coefficients = _wide(coefficients)
    rows, columns = (_basis(n, coefficients.dtype, coefficients.device) for n in coefficients.shape[-2:])
    return rows.T @ coefficients @ columns


def graft(low: Tensor, onto: Tensor) -> Tensor:
    """Coefficients of `onto` with their low block replaced by those of `low`; a larger `low` is cropped.

    `low` (..., h, w), `onto` (..., H, W) -> (..., H, W), a copy of the dtype and device of `onto`.
    """
    h, w = (min(a, b) for a, b in zip(low.shape[-2:], onto.shape[-2:], strict=True))
    result = onto.clone()
    result[..., :h, :w] = low[..., :h, :w]
    return result


def resize_dct(x: Tensor, size: Size) -> Tensor:
    """Band-limited resize: crop or zero-pad the coefficients, keeping the mean. (..., h, w) -> (..., *size).

    Float32 or, of float64, float64, on the device of `x`, in new memory.
    """
    gain = math.sqrt(size[0] * size[1] / (x.shape[-2] * x.shape[-1]))
    blank = x.new_zeros((*x.shape[:-2], *size), dtype=_wide(x).dtype)
    return gain * idct2(graft(dct2(x), blank))


@dataclass(frozen=True)
class NoiseField:
    """One seed's noise at full resolution, `eps` (..., H, W) of unit variance: the baseline's own start noise."""

    eps: Tensor

    @cached_property
    def coefficients(self) -> Tensor:
        """(..., H, W) of the DCT, independent and of unit variance; computed once and shared: write into none."""
        return dct2(self.eps)

    def crop(self, size: Size) -> Tensor:
        """The field at a lower resolution: white, unit variance, coherent with it. (..., *size).

        At full size it is `eps` itself, to the bit; below it is new memory. `size` is at most the field's.
        """
        if size == tuple(self.eps.shape[-2:]):
            return self.eps
        return idct2(self.coefficients[..., : size[0], : size[1]])

    def extend(self, eps: Tensor, size: Size) -> Tensor:
        """`eps` (..., h, w) brought to `size`, (..., *size): its own low band, the field's coefficients above it."""
        return idct2(graft(dct2(eps), self.coefficients[..., : size[0], : size[1]]))


class NoiseSource:
    """All noise of one run, drawn from one generator in a fixed order.

    With `field_first` the first draw is the full-size field (the same numbers as the baseline's start noise) and fresh
    noise follows it; without, stages draw their own sizes in order, as LightX2V's `prepare_latents` does.
    """

    def __init__(
        self,
        generator: torch.Generator,
        shape: Sequence[int],
        *,
        field_first: bool,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        field: Tensor | None = None,
    ) -> None:
        """`shape` is the full latent's (..., H, W); numbers of `dtype` are drawn on the generator's device, then moved.

        `field` is taken in the first draw's place: pipelines draw in number types and orders of their own.
        """
        self._generator, self._shape, self._dtype, self._device = generator, tuple(shape), dtype, device
        self._field = NoiseField(self._draw((self._shape[-2], self._shape[-1]))) if field_first else None
        if field_first and field is not None:
            self._field = NoiseField(field.to(dtype=dtype, device=device))

    @property
    def size(self) -> Size:
        """(H, W) of the full latents."""
        return self._shape[-2], self._shape[-1]

    @property
    def field(self) -> NoiseField:
        """The common field. Raises LookupError where every stage draws noise of its own (`field_first` False)."""
        if self._field is None:
            raise LookupError("this policy draws every stage's noise anew; it has no common field")
        return self._field

    def start(self, size: Size) -> Tensor:
        """The first stage's latents (..., *size): the field's crop, at full size the field itself; or a first draw."""
        return self._field.crop(size).to(self._dtype) if self._field else self._draw(size)

    def fresh(self, size: Size) -> Tensor:
        """White noise that nothing else has used (..., *size); each call draws on, so the order of calls matters."""
        return self._draw(size)

    def _draw(self, size: Size) -> Tensor:
        shape = (*self._shape[:-2], *size)
        return torch.randn(shape, generator=self._generator, dtype=self._dtype, device=self._generator.device).to(
            self._device
        )


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


@lru_cache(maxsize=32)
def _basis(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The orthonormal DCT-II matrix (n, n): row k is the k-th cosine."""
    k = torch.arange(n, dtype=torch.float64)[:, None]
    i = torch.arange(n, dtype=torch.float64)[None, :]
    basis = torch.cos(math.pi * (i + 0.5) * k / n) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis.to(dtype).to(device)  # in this order, as not every device has float64
