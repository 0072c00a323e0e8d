"""How many times faster than the baseline runs are, with an interval: what one timing of each can say.

A run's seconds are one draw: another try takes a little more or less, for its steps vary, and so does the pace of a
whole run. Both are estimated from steps of full size, which the baseline has, its second run, most tracks in their last
stage, and the steps that are timed beside tracks where the baseline is one of another day. The pace of whole runs is
known from a few runs only; what quiet machines showed (`SPREAD`) counts as much as `KNOWN` runs more.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scipy import stats

from engine.reports.run_costs import Interval, Speedup
from engine.reports.schema import Run

LEVEL = 0.95
SPREAD = 0.01  # of the pace of whole runs on quiet machines, as a share; see docs/measurements.md
KNOWN = 2


@dataclass(frozen=True)
class Spread:
    """Relative standard deviations: of a run's pace, of one step; and how well the first is known."""

    pace: float
    step: float
    freedom: float

    def half_width(self, baseline: tuple[int, int], run: tuple[int, int]) -> float:
        """Half of the interval of a ratio's logarithm; of each side how many runs, and how many steps in all."""
        variance = sum(self.pace**2 / runs + self.step**2 / steps for runs, steps in (baseline, run))
        return float(stats.t.ppf((1 + LEVEL) / 2, self.freedom)) * math.sqrt(variance)


def with_speedups(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs of a report, the baseline first, with the ratio of their seconds to its own and its interval.

    A ratio has no interval where one of its sides was disturbed.
    """
    if not runs or runs[0].status != "done" or not runs[0].latency.denoise_s:
        return tuple(runs)
    baseline, spread = runs[0], spread_of(runs)
    return tuple(run.model_copy(update={"speedup": _speedup(run, baseline, runs, spread)}) for run in runs)


def _speedup(run: Run, baseline: Run, runs: Sequence[Run], spread: Spread) -> Speedup:
    mine, base = run.latency, baseline.latency
    if not mine.denoise_s or not base.denoise_s:
        return run.speedup
    measured = base.denoise_s / mine.denoise_s
    alike = (base.condition_s is None) == (mine.condition_s is None)  # else one side's total lacks a phase
    whole = base.total_s / mine.total_s if base.total_s and mine.total_s and alike else None
    found = run.speedup.model_copy(
        update={"measured": measured, "whole": whole, "interval": None, "whole_interval": None}
    )
    if run is baseline or run.disturbed or baseline.disturbed:
        return found
    beside = [len(other.latency.beside_s) for other in runs if other.latency.beside_s]
    # A baseline of another day is known by the steps timed here: as many short runs as there are.
    known = (len(beside), sum(beside)) if base.pace and beside else (1, len(base.steps_s))
    half = spread.half_width(known, (1, len(mine.steps_s)))
    intervals = {"interval": _around(measured, half), "whole_interval": whole and _around(whole, half)}
    return found.model_copy(update=intervals)


def _around(ratio: float, half: float) -> Interval:
    return Interval(low=ratio * math.exp(-half), high=ratio * math.exp(half))


def spread_of(runs: Sequence[Run]) -> Spread:
    """How runs of a report vary, from what they have in common with the baseline: steps at its full size."""
    groups = [group for group in full_size_steps(runs) if len(group) > 1]
    means = [math.log(statistics.fmean(group)) for group in groups]
    freedom = sum(len(group) - 1 for group in groups)
    step = math.sqrt(
        sum(sum((s / statistics.fmean(group) - 1) ** 2 for s in group) for group in groups) / freedom
        if freedom
        else 0.0
    )
    pace = 0.0
    if len(means) > 1:  # what is left of the means' variance when that of their steps is taken off
        own = step**2 * statistics.fmean(1 / len(group) for group in groups)
        pace = max(0.0, statistics.variance(means) - own)
    more = max(0, len(means) - 1)
    return Spread(math.sqrt((KNOWN * SPREAD**2 + more * pace) / (KNOWN + more)), step, KNOWN + more)


def full_size_steps(runs: Sequence[Run]) -> Iterator[tuple[float, ...]]:
    """Seconds of undisturbed steps of the baseline's kind, run by run; without the first after a start or a switch."""
    baseline = runs[0]
    for run in runs:
        if run.status != "done" or run.disturbed:
            continue
        if not run.reused and run.stages and run.cache is None and run.levels == baseline.levels:
            last = run.stages[-1]
            yield run.latency.steps_s[last.first_step : last.last_step]
        yield run.latency.repeat_s[1:]
        yield run.latency.beside_s


def at_pace(run: Run, pace: float) -> Run:
    """A baseline of another day as it is here: its seconds of then times `pace`, what steps take here of then.

    One that has a pace already is first brought back.
    """
    latency = run.latency
    factor = pace / (latency.pace or 1.0)
    parts = {
        name: value * factor
        for name in ("total_s", "text_s", "condition_s", "load_s", "denoise_s", "decode_s", "encode_s")
        if (value := getattr(latency, name)) is not None
    }
    lists = {name: tuple(s * factor for s in getattr(latency, name)) for name in ("steps_s", "conditions_s")}
    return run.model_copy(update={"latency": latency.model_copy(update={**parts, **lists, "pace": pace})})


def pace_here(baseline: Run, runs: Sequence[Run]) -> float | None:
    """What full-size steps take here of what they took when a reused baseline was run; None where none were timed."""
    beside = [seconds for run in runs if not run.disturbed for seconds in run.latency.beside_s]
    then = [seconds / (baseline.latency.pace or 1.0) for seconds in baseline.latency.steps_s[1:]]
    return statistics.fmean(beside) / statistics.fmean(then) if beside and then else None
