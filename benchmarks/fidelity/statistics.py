"""Means with intervals, paired comparisons, and the correction for asking many questions. The unit is a prompt.

Several seeds of one prompt are averaged first: they are not independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

LEVEL = 0.95
ALPHA = 0.05
Values = Mapping[str, float]  # by prompt


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % confidence interval by Student's t; one value alone has no interval."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """The mean of paired differences, its interval, and Wilcoxon's signed-rank p; `adjusted` is p after Holm."""

    difference: Interval
    p: float
    adjusted: float | None = None

    @property
    def decided(self) -> int:
        """1 or -1 where the difference is told from none, by its sign; else 0."""
        p = self.p if self.adjusted is None else self.adjusted
        return int(math.copysign(1, self.difference.mean)) if p < ALPHA and self.difference.mean else 0


def interval(values: Sequence[float]) -> Interval | None:
    """Mean and interval; None of nothing."""
    n = len(values)
    if n == 0:
        return None
    mean = float(np.mean(values))
    error = float(stats.sem(values)) if n > 1 else 0.0
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error if n > 1 else math.nan
    return Interval(mean, mean - half, mean + half, n)


def compare(a: Values, b: Values) -> Comparison | None:
    """`a` minus `b` over the prompts that both have; None where there are fewer than two."""
    shared = sorted(a.keys() & b.keys())
    differences = [a[key] - b[key] for key in shared]
    found = interval(differences)
    if found is None or found.n < 2:
        return None
    moved = [d for d in differences if d]
    p = float(stats.wilcoxon(moved).pvalue) if moved else 1.0
    return Comparison(found, p)


def holm(comparisons: Mapping[str, Comparison | None]) -> dict[str, Comparison]:
    """The comparisons that could be made, with p adjusted by Holm's step-down rule over all of them."""
    made = {key: one for key, one in comparisons.items() if one is not None}
    adjusted, least = dict(made), 0.0
    for rank, (key, one) in enumerate(sorted(made.items(), key=lambda item: item[1].p)):
        least = max(least, min(1.0, one.p * (len(made) - rank)))
        adjusted[key] = replace(one, adjusted=least)
    return adjusted


def mean_of(many: Sequence[Values]) -> dict[str, float]:
    """The mean of several figures by prompt, of prompts that all of them have."""
    shared = set.intersection(*(set(one) for one in many)) if many else set()
    return {key: float(np.mean([one[key] for one in many])) for key in shared}
