"""A rising curve through a few noisy points: how cost grows with work."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """Piecewise linear and nowhere falling; outside of its points affine with an intercept of 0 or more."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]

    @classmethod
    def through(cls, points: Mapping[float, float]) -> Curve:
        """The curve through points (x above 0, y 0 or more); neighbours that fall are pooled to their mean."""
        xs = sorted(points)
        pools: list[tuple[float, int]] = []  # mean and number of points: pool adjacent violators
        for x in xs:
            pools.append((points[x], 1))
            while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
                (high, m), (low, n) = pools[-2:]
                pools[-2:] = [((high * m + low * n) / (m + n), m + n)]
        return cls(tuple(xs), tuple(mean for mean, count in pools for _ in range(count)))

    def at(self, x: float) -> float:
        """The value at x; there must be a point at least."""
        if len(self.xs) == 1:
            return self.ys[0] * x / self.xs[0]
        k = min(max(bisect_left(self.xs, x), 1), len(self.xs) - 1)  # the two points around x, or the nearest two
        (x0, x1), (y0, y1) = self.xs[k - 1 : k + 1], self.ys[k - 1 : k + 1]
        slope = (y1 - y0) / (x1 - x0)
        if y0 - slope * x0 < 0 and not self.spans(x):  # a line below zero at no work: go through the origin instead
            end = 0 if x < self.xs[0] else -1
            return self.ys[end] * x / self.xs[end]
        return y0 + slope * (x - x0)

    def spans(self, x: float) -> bool:
        """Whether x lies between the outermost points."""
        return bool(self.xs) and self.xs[0] <= x <= self.xs[-1]
