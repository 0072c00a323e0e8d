"""Speed-ups and their intervals: they hold the truth as often as they say, and say nothing of disturbed runs."""

from __future__ import annotations

import math
import random

import pytest

from engine.comparing.speedups import at_pace, pace_here, spread_of, with_speedups
from engine.reports.closeness import Similarity
from engine.reports.run_costs import Latency, Memory, StageEntry
from engine.reports.schema import Run

FULL, HALF = 0.1, 0.04  # seconds of a step


def stage(first: int, last: int, cells: int) -> StageEntry:
    size = {"width": 8 * cells, "height": 8 * cells, "latent_width": cells, "latent_height": cells}
    return StageEntry(first_step=first, last_step=last, rate=1.0, tokens=cells**2, **size)


def a_run(name: str, parts: list[tuple[int, list[float]]], **fields: object) -> Run:
    """A run of stages: latent size and the seconds of each step."""
    stages, first = [], 1
    for cells, seconds in parts:
        stages.append(stage(first, first + len(seconds) - 1, cells))
        first += len(seconds)
    steps = tuple(s for _, seconds in parts for s in seconds)
    extra = fields.pop("latency", {})
    latency = Latency(steps_s=steps, denoise_s=sum(steps), total_s=sum(steps) + 0.5, **extra)
    memory = Memory(kind="rss_above_start", peak_bytes=1)
    missing = Similarity.missing("no frames here")
    return Run(name=name, policy=None, schedule={}, status="done", stages=tuple(stages), latency=latency,
               memory=memory, similarity=missing, **fields)  # fmt: skip


def steps(rng: random.Random, seconds: float, count: int, pace: float, noise: float = 0.02) -> list[float]:
    return [seconds * pace * math.exp(rng.gauss(0, noise)) for _ in range(count)]


def comparison(rng: random.Random, spread: float, noise: float = 0.02) -> tuple[Run, ...]:
    """A baseline of 20 steps that was run twice, and two tracks whose runs each have a pace of their own."""

    def pace() -> float:
        return math.exp(rng.gauss(0, spread))

    twin, own = steps(rng, FULL, 20, pace(), noise), steps(rng, FULL, 20, pace(), noise)
    runs = [a_run("baseline", [(16, own)], latency={"repeat_s": twin})]
    for name in ("a", "b"):
        here = pace()
        runs.append(a_run(name, [(8, steps(rng, HALF, 10, here, noise)), (16, steps(rng, FULL, 10, here, noise))]))
    return with_speedups(runs)


@pytest.mark.parametrize(("spread", "noise"), [(0.0, 0.03), (0.01, 0.02), (0.03, 0.02), (0.1, 0.05)])
def test_nineteen_of_twenty_intervals_hold_the_true_ratio(spread, noise):
    rng, truth, held, count = random.Random(7), 20 * FULL / (10 * HALF + 10 * FULL), 0, 400
    for _ in range(count):
        interval = comparison(rng, spread, noise)[1].speedup.interval
        held += interval.low <= truth <= interval.high
    assert held / count > 0.93


def test_an_interval_lies_around_the_quotient_of_the_seconds_that_are_shown():
    baseline, track, _ = comparison(random.Random(1), 0.01)
    shown = track.speedup
    assert shown.measured == pytest.approx(baseline.latency.denoise_s / track.latency.denoise_s)
    assert shown.whole == pytest.approx(baseline.latency.total_s / track.latency.total_s)
    assert shown.interval.low < shown.measured < shown.interval.high < 1.1 * shown.measured
    assert shown.whole_interval.low < shown.whole < shown.whole_interval.high
    assert (baseline.speedup.measured, baseline.speedup.interval) == (1, None)


def test_a_baseline_run_twice_and_more_tracks_make_intervals_narrower():
    rng = random.Random(3)
    runs = comparison(rng, 0.001)
    alone = with_speedups([a_run("baseline", [(16, steps(rng, FULL, 20, 1.0))]), runs[1]])

    def width(run: Run) -> float:
        return run.speedup.interval.high / run.speedup.interval.low

    assert width(runs[1]) < width(alone[1])


@pytest.mark.parametrize("disturbed", [0, 1])
def test_a_ratio_of_a_disturbed_run_has_no_interval_and_its_steps_say_nothing_of_others(disturbed):
    runs = list(comparison(random.Random(5), 0.01))
    slow = runs[disturbed]
    late = slow.latency.model_copy(update={"steps_s": tuple(9 * s for s in slow.latency.steps_s)})
    runs[disturbed] = slow.model_copy(update={"disturbed": "other programs", "latency": late})
    spread = spread_of(runs)
    runs = with_speedups(runs)
    assert runs[disturbed or 1].speedup.measured
    assert runs[disturbed or 1].speedup.interval is None
    assert spread.pace < 0.05
    assert (runs[2].speedup.interval is None) == (disturbed == 0)


def test_runs_with_a_cache_are_compared_and_their_steps_are_no_measure_of_full_ones():
    runs = list(comparison(random.Random(2), 0.0))
    cached = a_run("c", [(16, [0.01, 0.1] * 10)], cache={"name": "teacache", "threshold": 0.1})
    found = with_speedups([*runs, cached])
    assert spread_of(found).step == pytest.approx(spread_of(runs).step)
    assert found[3].speedup.interval


def test_a_baseline_of_another_day_takes_the_pace_of_the_steps_timed_here():
    then = a_run("baseline", [(16, [0.2] * 20)], reused="computed then")
    track = a_run("a", [(8, [HALF] * 10), (16, [FULL] * 10)], latency={"beside_s": (FULL, FULL, FULL)})
    pace = pace_here(then, [track])
    assert pace == pytest.approx(0.5)
    here, found = with_speedups([at_pace(then, pace), track])
    assert here.latency.denoise_s == pytest.approx(2.0)
    assert here.latency.total_s == pytest.approx((20 * 0.2 + 0.5) / 2)
    assert found.speedup.measured == pytest.approx(2 / 1.4)
    assert found.speedup.interval
    assert at_pace(here, pace_here(here, [track])).latency == here.latency  # a second time changes nothing


def test_runs_beside_a_baseline_that_did_not_finish_have_no_ratio():
    runs = list(comparison(random.Random(2), 0.0))
    lost = runs[0].model_copy(update={"status": "failed", "error": "out of memory"})
    plain = runs[1].model_copy(update={"speedup": runs[1].speedup.model_copy(update={"measured": None})})
    assert with_speedups([lost, plain])[1].speedup.measured is None
