"""What a run knows of the picture at full size, kept through its low stages, and what is made of it at a switch.

A prediction says two things at once: what the picture is, and what it looks like at the resolution of the stage.
A low stage should change the first and leave the second alone. So the clean estimates of a run are laid on one canvas
of DCT coefficients, each stage over its own low band; and three things follow, none of which costs a call of the model:

- *Growing*, the switch finds the new band where a larger stage has left it, instead of nothing.
- *The first prediction after growing* says what the estimates before it should have been. A state is what they sum up
  to, `x = (1-σ)·x0 + σ·ε`, so it is made again, at the same level, with the new x0 in their place; in the new band ε is
  known exactly, as it is the seed's own noise. Then the step is taken as usual.
- *The first prediction after shrinking* differs from the larger stage's next one by what the resolution does. That
  difference is taken off the predictions, by less the further the level has fallen.

What a stage would have predicted next follows its last slope, in the level, as far as that slope followed the one
before: on early steps guided estimates swing to and fro, and a straight line through two of them would lead far away.
With a stage of one size only, nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from engine.switching.noise_field import NoiseField, Size, dct2, graft, idct2, resize_dct

FADE = 6  # power of the level that a difference of resolutions fades with (benchmarks/anchor_trials.py)


@dataclass(frozen=True)
class _Switched:
    """Kept from a switch to the first prediction after it: the x0 that it should have, and the size before."""

    foreseen: Tensor  # (B, C, T, h, w)
    before: Size


class Anchor:
    """The canvas of one run. Estimates are (B, C, T, h, w) float32 on one device; levels are a rectified flow's sigma.

    Estimates are kept as they come until the next switch: write into none of them afterwards.
    """

    def __init__(self, field: Callable[[], NoiseField], full: Size) -> None:
        self._field, self._full = field, full
        self._canvas: Tensor | None = None  # (B, C, T, H, W) coefficients, scaled as at full size
        self._seen: list[tuple[float, Tensor]] = []  # the stage's last three estimates, with their levels
        self._switched: _Switched | None = None
        self._difference: tuple[Tensor, float] | None = None  # and the level at which it was seen

    def expect(self, size: Size, level: float) -> Tensor:
        """The clean estimate (B, C, T, *size) as far as it is known, for a switch to that size.

        `level` is the one at which the stage before would have predicted next. New memory, float32.
        """
        latest = self._seen[-1][1]
        before = _size(latest)
        self._canvas = self._laid(latest)
        known = idct2(self._canvas[..., : size[0], : size[1]]) * self._scale(size)
        if size != before:
            change = resize_dct(self._next(level) - latest, size)
            self._switched, self._difference = _Switched(known + change, before), None
            self._seen = []
        return known

    def corrected(self, x: Tensor, x0: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """State and estimate that a step should be taken with, given the model's; (B, C, T, h, w) float32 all.

        Where nothing is to be corrected they are the very tensors that came.
        """
        switched, self._switched = self._switched, None
        if switched is not None and _cells(switched.before) < _cells(_size(x)):
            x = self._remade(x, x0, switched, sigma)
        elif switched is not None:
            self._difference = switched.foreseen - x0, sigma
        if self._difference is not None:
            difference, seen = self._difference
            x0 = x0 + (sigma / seen) ** FADE * difference
        self._seen = [*self._seen[-2:], (sigma, x0)]
        return x, x0

    def _next(self, level: float) -> Tensor:
        """The estimate that the stage would have come to at `level`; the latest, of fewer than three.

        The next slope is taken for the last one times the regression of the last one on the one before, by channel and
        within -1..1: 1 where they rise steadily, -1 where they swing.
        """
        if len(self._seen) < 3:
            return self._seen[-1][1]
        (first, a), (second, b), (last, latest) = self._seen
        before, slope = (b - a) / (second - first), (latest - b) / (last - second)
        cells = (-3, -2, -1)
        share = (slope * before).sum(cells, keepdim=True) / before.pow(2).sum(cells, keepdim=True).clamp_min(1e-12)
        return latest + (level - last) * share.clamp(-1, 1) * slope  # share: (B, C, 1, 1, 1)

    def _remade(self, x: Tensor, x0: Tensor, switched: _Switched, sigma: float) -> Tensor:
        """The state with `x0` where it was foreseen, and the seed's own noise in the band that came new."""
        h, w = switched.before
        size = _size(x)
        noise = self._field().coefficients[..., : size[0], : size[1]]
        whole = (1 - sigma) * dct2(x0) + sigma * noise
        return idct2(graft(dct2(x + (1 - sigma) * (x0 - switched.foreseen))[..., :h, :w], whole))

    def _laid(self, latest: Tensor) -> Tensor:
        """The canvas with an estimate on it."""
        coefficients = dct2(latest) / self._scale(_size(latest))
        if self._canvas is None:
            self._canvas = coefficients.new_zeros((*latest.shape[:-2], *self._full))
        return graft(coefficients, self._canvas)

    def _scale(self, size: Size) -> float:
        """Coefficients of a smaller picture of the same mean, over those of the full one."""
        return (_cells(size) / _cells(self._full)) ** 0.5


def _size(x: Tensor) -> Size:
    return x.shape[-2], x.shape[-1]


def _cells(size: Size) -> int:
    return size[0] * size[1]
