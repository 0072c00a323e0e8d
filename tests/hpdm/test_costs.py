"""What a run by levels is predicted to cost, and that the board's table says the same as the engine."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from engine.costs.level_prediction import LevelCosts, level_context
from engine.costs.timings import TimingKey, Timings, hw_text
from engine.experiments.experiment import baseline_of, make_experiment
from engine.experiments.level_tracks import default_level_tracks, offered_choices
from engine.experiments.settings import Settings
from engine.hpdm.level_choice import LevelChoice, checked_levels, level_schedule, level_steps
from engine.models.catalogue import find_model

SPEC = find_model("emoji-hpdm")
OVERLAPS = ("none", "spatial", "full")
CHOICES = [LevelChoice(*one) for one in itertools.product((1, 2, 3), OVERLAPS, ("cpu", "off"), (False, True))]


def timed(guidance: float = 2.0) -> Timings:
    """As if the levels' steps took 0.1, 1 and 10 seconds, and writing the video 0.5."""
    assert SPEC.levels is not None
    key = TimingKey(
        model=SPEC.id, frames=16, guided=guidance > 1, text_tokens=1, device="cpu", dtype="float32", threads=1
    )
    steps = {hw_text(SPEC.levels.size(k)[1:]): (0.1 * 10**k,) for k in range(3)}
    return Timings(key=key, steps=steps, encode={"64x64": (0.5,)}, runs=1)


def table_flops(table: dict[str, Any], choice: LevelChoice, steps: tuple[int, ...]) -> int:
    """FLOPs of a run from the board's table, as ui/timeline/levels.js adds them up."""
    overlap = next(one for one in table["overlaps"] if one["name"] == choice.overlap)
    total = 0
    for k in range(choice.levels or len(steps)):
        passes = 2 * steps[k] - 1 if choice.heun and k == 0 else steps[k]
        total += table["rows"][k] * passes * overlap["tiles"][k] * table["each"][k]["pass_flops"]
        total += steps[k] * overlap["every"][k] if choice.context == "off" else overlap["once"][k]
    return total


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_the_boards_table_adds_up_to_the_engines_flops(guidance: float) -> None:
    costs = LevelCosts(SPEC, None, guidance)
    table = level_context(costs, max_tracks=8)["levels"]
    for choice in CHOICES:
        steps = (5, 3, 2)
        assert table_flops(table, choice, steps) == sum(level.flops for level in costs.work(choice, steps)), choice


def test_a_step_of_the_baseline_takes_what_was_measured() -> None:
    costs = LevelCosts(SPEC, timed(), 2.0)
    schedule = baseline_of(SPEC, 56).schedule
    contexts = [sum(n for n in level.contexts) for level in costs.work(LevelChoice(), level_steps(schedule))]
    told = costs.seconds(schedule)
    assert told.source == "measured"
    assert told.speedup == pytest.approx(1)
    assert told.total_s == pytest.approx((told.denoise_s or 0) + 0.5)
    assert sum(contexts) > 0
    assert 3.2 + 16 + 80 < (told.denoise_s or 0) < 1.2 * (3.2 + 16 + 80)  # steps, and features computed once


def test_a_track_without_overlap_takes_less_and_one_without_a_cache_more() -> None:
    costs, schedule = LevelCosts(SPEC, timed(), 2.0), baseline_of(SPEC, 56).schedule
    base, bare, anew, short = (
        costs.seconds(schedule, choice)
        for choice in (LevelChoice(), LevelChoice(overlap="none"), LevelChoice(context="off"), LevelChoice(levels=2))
    )
    assert (short.total_s or 0) < (bare.total_s or 0) < (base.total_s or 0) < (anew.total_s or 0)
    assert anew.by_flops < 1 < bare.by_flops < short.by_flops


def test_nothing_measured_is_said_and_flops_are_known_all_the_same() -> None:
    told = LevelCosts(SPEC, None, 2.0).seconds(baseline_of(SPEC, 56).schedule, LevelChoice(overlap="none"))
    assert (told.total_s, told.denoise_s, told.speedup, told.source) == (None, None, None, "none")
    assert told.by_flops > 2


def test_a_level_that_was_not_timed_is_estimated_from_its_neighbour() -> None:
    timings = timed()
    timings = timings.model_copy(update={"steps": {"16x16": timings.steps["16x16"]}})
    costs = LevelCosts(SPEC, timings, 2.0)
    assert costs.calibrated == "estimated"
    assert len({costs.flop_seconds[k] for k in range(3)}) == 1


def test_timings_of_other_guidance_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot predict"):
        LevelCosts(SPEC, timed(2.0), 1.0)


def test_a_track_is_named_by_how_it_differs() -> None:
    assert SPEC.levels is not None
    assert [track.name for track in default_level_tracks(SPEC.levels, 56)] == ["No overlap", "Cache off", "2 levels"]
    names = [choice.name(3) for choice, _ in offered_choices(SPEC.levels)]
    assert names == ["All levels", "No overlap", "Full overlap", "2 levels", "Cache off", "Cache on the CPU"]
    assert LevelChoice(1, "none", "off", True).name(3) == "1 level, no overlap, cache off, Heun"


def test_what_is_offered_can_be_run() -> None:
    assert SPEC.levels is not None
    for choice, why in offered_choices(SPEC.levels):
        assert checked_levels(choice, SPEC.levels) == choice
        assert why.endswith(".")


def test_guidance_beyond_what_the_model_takes_is_refused_before_it_runs() -> None:
    with pytest.raises(Exception, match="20"):
        make_experiment(SPEC, [], Settings(prompt="a frog", guidance=21))
    assert (
        level_schedule(SPEC.levels, 56)
        == make_experiment(SPEC, [], Settings(prompt="a frog", steps=56)).baseline.schedule
    )
