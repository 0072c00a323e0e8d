"""Every policy's switch and the anchor written out anew in float64 numpy and scipy, to hold ours against.

From the formulas of docs/theory.md and of the sources that it names, not from our code; arrays are (..., h, w).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn, idctn


def dct(x: np.ndarray) -> np.ndarray:
    return dctn(x, axes=(-2, -1), norm="ortho")


def idct(x: np.ndarray) -> np.ndarray:
    return idctn(x, axes=(-2, -1), norm="ortho")


def band_limited(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The cosines that fit into the new size, each at the height that it had."""
    h, w = min(x.shape[-2], size[0]), min(x.shape[-1], size[1])
    spectrum = np.zeros((*x.shape[:-2], *size))
    spectrum[..., :h, :w] = dct(x)[..., :h, :w]
    return idct(spectrum) * math.sqrt(math.prod(size) / math.prod(x.shape[-2:]))


def linear(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Between the two nearest samples of each axis, pixels counted by their centres, ends held."""
    for axis, m in zip((-2, -1), size, strict=True):
        n = x.shape[axis]
        at = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
        below = np.minimum(at.astype(int), n - 2)
        far = np.expand_dims(at - below, tuple(range(1, -axis)))
        x = (1 - far) * np.take(x, below, axis) + far * np.take(x, below + 1, axis)
    return x


def lanczos(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """sinc(d)·sinc(d/3) within three samples, of the coarser of both grids, normalised."""
    for axis, m in zip((-2, -1), size, strict=True):
        n = x.shape[axis]
        coarser = max(n / m, 1)
        weights = np.zeros((m, n))
        for j in range(m):
            for i in range(n):
                d = ((i + 0.5) - (j + 0.5) * n / m) / coarser
                weights[j, i] = np.sinc(d) * np.sinc(d / 3) if abs(d) < 3 else 0
            weights[j] /= weights[j].sum()
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ weights.T, -1, axis)
    return x


def copies(small: int, large: int) -> np.ndarray:
    """For every sample of the large grid, the sample of the small one that it is a copy of."""
    return np.array([j * small // large for j in range(large)])


@dataclass(frozen=True)
class Given:
    """One switch: states, tables, the step (0-based) after which it is made, and every noise that it may use."""

    x: np.ndarray
    velocity: np.ndarray
    stepped: np.ndarray
    step: int
    old: tuple[float, ...]
    new: tuple[float, ...]
    size: tuple[int, int]
    field: np.ndarray  # at full size
    fresh: np.ndarray  # at the size to be
    known: np.ndarray  # at the size to be

    @property
    def shrinks(self) -> bool:
        return math.prod(self.size) < math.prod(self.x.shape[-2:])


def _with_field(low: np.ndarray, given: Given) -> np.ndarray:
    """`low`'s coefficients where it has any, the field's where it has none."""
    spectrum = dct(given.field)[..., : given.size[0], : given.size[1]].copy()
    h, w = min(low.shape[-2], given.size[0]), min(low.shape[-1], given.size[1])
    spectrum[..., :h, :w] = dct(low)[..., :h, :w]
    return idct(spectrum)


def _estimates(given: Given) -> tuple[np.ndarray, np.ndarray]:
    """The clean picture and the noise that x is made of, at its own level."""
    sigma = given.old[given.step]
    return given.x - sigma * given.velocity, given.x + (1 - sigma) * given.velocity


def lightx2v(given: Given) -> np.ndarray:
    sigma = given.old[given.step]
    return (1 - sigma) * linear(_estimates(given)[0], given.size) + sigma * given.fresh


def jenga(given: Given) -> np.ndarray:
    misread, told = given.new[given.step], given.new[given.step + 1]
    return (1 - told) * linear(given.x - misread * given.velocity, given.size) + told * given.fresh


def bottleneck(given: Given) -> np.ndarray:
    told = given.new[given.step + 1]
    return (1 - told) * lanczos(_estimates(given)[0], given.size) + told * given.fresh


def coherent(given: Given) -> np.ndarray:
    told = given.new[given.step + 1]
    x0, eps = _estimates(given)
    if x0.shape[-2:] != given.size:
        x0, eps = (band_limited if given.shrinks else linear)(x0, given.size), _with_field(eps, given)
    return (1 - told) * x0 + told * eps


def spectral(given: Given) -> np.ndarray:
    level = given.old[given.step + 1]
    q = math.sqrt(math.prod(given.size) / math.prod(given.x.shape[-2:]))
    return _with_field(given.stepped / level, given) * level * q / (1 - level + q * level)


def anchored(given: Given) -> np.ndarray:
    level, told = given.old[given.step + 1], given.new[given.step + 1]
    eps = (given.stepped - (1 - level) * _estimates(given)[0]) / level
    return (1 - told) * given.known + told * _with_field(eps, given)


def pyramid(given: Given) -> np.ndarray:
    small = given.stepped.shape[-2:]
    if given.shrinks or small == given.size:
        return coherent(given)
    level, told = given.old[given.step + 1], given.new[given.step + 1]
    shrunk = (1 - told) / (1 - level)  # the picture is to end at (1 - told)
    rows, columns = (copies(n, m) for n, m in zip(small, given.size, strict=True))
    made = np.empty((*given.x.shape[:-2], *given.size))
    for i in range(small[0]):
        for j in range(small[1]):
            block = (..., *np.ix_(rows == i, columns == j))
            noise = given.fresh[block]
            count = noise.shape[-2] * noise.shape[-1]
            common = noise.mean((-2, -1), keepdims=True)
            # a copied sample's noise is in the mean of its block `count` times over
            lack = math.sqrt(max(told**2 - count * (shrunk * level) ** 2, 0.0))
            made[block] = shrunk * given.stepped[..., i, j][..., None, None] + told * (noise - common) + lack * common
    return made


SWITCHES = {
    "anchored": anchored,
    "coherent": coherent,
    "spectral": spectral,
    "lightx2v": lightx2v,
    "jenga": jenga,
    "bottleneck": bottleneck,
    "pyramid": pyramid,
}


class Anchored:
    """What `engine.switching.anchor` says of itself, a channel at a time. Estimates are (B, C, T, h, w)."""

    def __init__(self, field: np.ndarray) -> None:
        self.field = dct(field)
        self.full = field.shape[-2:]
        self.picture = np.zeros(field.shape)  # by frequency, as high as at full size
        self.course: list[tuple[float, np.ndarray]] = []  # of the stage
        self.foreseen: np.ndarray | None = None
        self.came_from = self.full
        self.fading: tuple[np.ndarray, float] | None = None

    def expect(self, size: tuple[int, int], level: float) -> np.ndarray:
        latest = self.course[-1][1]
        h, w = latest.shape[-2:]
        self.picture[..., :h, :w] = dct(latest) * math.sqrt(math.prod(self.full) / (h * w))
        known = idct(self.picture[..., : size[0], : size[1]]) * math.sqrt(math.prod(size) / math.prod(self.full))
        if size != (h, w):
            self.foreseen = known + band_limited(self._ahead(level), size)
            self.came_from, self.fading, self.course = (h, w), None, []
        return known

    def _ahead(self, level: float) -> np.ndarray:
        """How much the stage's next estimate would differ from its latest."""
        ahead = np.zeros_like(self.course[-1][1])
        if len(self.course) >= 3:
            levels, (a, b, c) = zip(*self.course[-3:], strict=True)
            for channel in np.ndindex(ahead.shape[:2]):
                first = (b[channel] - a[channel]) / (levels[1] - levels[0])
                second = (c[channel] - b[channel]) / (levels[2] - levels[1])
                regression = (first * second).sum() / (first * first).sum() if first.any() else 0.0
                ahead[channel] = np.clip(regression, -1, 1) * second * (level - levels[2])
        return ahead

    def corrected(self, x: np.ndarray, x0: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        if self.foreseen is not None:
            h, w = self.came_from
            if h * w < math.prod(x.shape[-2:]):
                made = (1 - level) * dct(x0) + level * self.field[..., : x.shape[-2], : x.shape[-1]]
                made[..., :h, :w] = dct(x + (1 - level) * (x0 - self.foreseen))[..., :h, :w]
                x = idct(made)
            else:
                self.fading = self.foreseen - x0, level
            self.foreseen = None
        if self.fading is not None:
            x0 = x0 + self.fading[0] * (level / self.fading[1]) ** 6
        self.course.append((level, x0))
        return x, x0
