"""How far a predicted time may be off: the spread of what was measured, and of what lies between. No torch here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

from engine.costs.timings import Timings

LEVEL = 0.9
# Relative standard deviations, chosen on the rounds of `python -m benchmarks.prediction` that docs/measurements.md had
# before intervals were made; those that judge them came later.
RUNS = 0.02  # of a whole run's pace on a quiet machine; counts as much as `KNOWN` measured runs more
KNOWN = 2
BETWEEN = {"measured": 0.02, "estimated": 0.2}  # of a step's seconds where its size was not itself measured


def half_width(timings: Timings, source: Literal["measured", "estimated", "none"]) -> float | None:
    """Half of the 90 % interval of a run's seconds, of their logarithm; None where nothing was measured.

    The next run varies as those that were measured did, and their median is known the better the more there were.
    """
    if source == "none" or not timings.steps:
        return None
    from scipy.special import stdtrit  # the page predicts; it need not wait for this at its start

    freedom, spread = _spread_of_runs(list(timings.steps.values()))
    runs = max(len(values) for values in timings.steps.values())
    variance = spread**2 * (1 + math.pi / 2 / runs) + BETWEEN[source] ** 2  # a median is less sure than a mean
    return float(stdtrit(freedom, (1 + LEVEL) / 2)) * math.sqrt(variance)


def _spread_of_runs(by_size: Sequence[Sequence[float]]) -> tuple[int, float]:
    """Degrees of freedom, and the relative standard deviation of a run's steps from one run to another."""
    groups = [[math.log(value) for value in values if value > 0] for values in by_size]
    groups = [group for group in groups if len(group) > 1]
    more = max(
        (len(group) - 1 for group in groups), default=0
    )  # sizes of one run share its pace: they are no more runs
    pooled = statistics.fmean(statistics.variance(group) for group in groups) if groups else 0.0
    return KNOWN + more, math.sqrt((KNOWN * RUNS**2 + more * pooled) / (KNOWN + more))
