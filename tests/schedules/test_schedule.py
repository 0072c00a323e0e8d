"""Every value that a schedule refuses, and what it makes of those it takes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidInput
from engine.schedules.latent_sizes import Geometry, checked_size, full_size, latent_size, stage_sizes
from engine.schedules.schedule import flat, parse_schedule

WAN = Geometry(stride=(4, 8, 8), patch=(1, 2, 2), channels=16)


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (0, "0"),
        (0.0, "0.0"),
        (-0.5, "-0.5"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        ("0.5", "0.5"),
        (None, "null"),
        ([0.5], "list"),
        ({}, "dict"),
    ],
)
def test_rate_out_of_range_is_refused_naming_field_value_and_range(rate, shown):
    with pytest.raises(InvalidInput) as refused:
        parse_schedule(50, [1.0, rate], [10, 20])
    assert refused.value.field == "resolution_rate[1]"
    for part in ("resolution_rate[1]", shown, "above 0 and at most 1"):
        assert part in str(refused.value)


def test_rate_above_one_names_the_nearest_legal_value():
    with pytest.raises(InvalidInput, match=r"nearest legal value is 1\.0"):
        parse_schedule(50, [1.01], [10])


@pytest.mark.parametrize("steps", [0, -1, 1001, 10**9, True, 2.0, "50", None, math.nan, [50]])
def test_infer_steps_out_of_range_is_refused(steps):
    with pytest.raises(InvalidInput, match=r"infer_steps is .*1\.\.1000") as refused:
        parse_schedule(steps)
    assert refused.value.field == "infer_steps"


@pytest.mark.parametrize("step", [0, -3, 50, 51, 10**12, True, 10.0, "10", None, math.inf])
def test_switch_step_out_of_range_is_refused_with_the_legal_range(step):
    with pytest.raises(InvalidInput, match=r"changing_resolution_steps\[0\] is .*1\.\.49"):
        parse_schedule(50, [0.5], [step])


def test_switch_at_infer_steps_is_refused_although_lightx2v_computes_it_and_then_crashes():
    with pytest.raises(InvalidInput, match="the nearest is 49"):
        parse_schedule(50, [0.5], [50])


def test_one_step_with_a_switch_is_refused_although_lightx2v_returns_a_small_video():
    with pytest.raises(InvalidInput, match="use at least 2 steps"):
        parse_schedule(1, [0.5], [0])


@pytest.mark.parametrize(("steps", "word"), [([10, 10], "repeats"), ([20, 10], "comes before")])
def test_unsorted_or_duplicate_switches_are_refused(steps, word):
    with pytest.raises(InvalidInput, match=word):
        parse_schedule(50, [1.0, 0.5], steps)


@pytest.mark.parametrize(("rates", "steps"), [([0.5], []), ([], [10]), ([0.5, 0.75], [10])])
def test_lists_of_different_length_are_refused(rates, steps):
    with pytest.raises(InvalidInput, match=f"has {len(rates)} entries and changing_resolution_steps has {len(steps)}"):
        parse_schedule(50, rates, steps)


@pytest.mark.parametrize("value", ["0.5", 0.5, {"0": 1}, None, b"ab"])
def test_a_rate_list_that_is_no_list_is_refused(value):
    with pytest.raises(InvalidInput, match="must be a list"):
        parse_schedule(50, value, [10])


def test_a_hundred_thousand_stages_are_refused():
    with pytest.raises(InvalidInput, match="at most 31"):
        parse_schedule(1000, [0.5] * 100_000, list(range(1, 100_001)))


def test_stages_cover_every_step_once_and_end_at_full_resolution():
    stages = parse_schedule(50, [1.0, 0.75], [10, 35]).stages
    assert [(s.rate, s.first, s.last) for s in stages] == [(1.0, 1, 10), (0.75, 11, 35), (1.0, 36, 50)]
    assert stages[1].window == slice(10, 35)


@pytest.mark.parametrize(
    ("rates", "steps", "kind"),
    [
        ([], [], "flat"),
        ([1.0], [10], "flat"),
        ([0.75], [25], "two-stage"),
        ([0.5, 0.5], [5, 10], "two-stage"),
        ([1.0, 0.75], [10, 35], "U-shaped"),
        ([0.5, 0.75], [10, 20], "multi-stage"),
        ([0.75, 0.5], [10, 20], "multi-stage"),
        ([1.0, 0.5, 0.75], [5, 10, 20], "multi-stage"),
    ],
)
def test_schedule_classifies_itself(rates, steps, kind):
    assert parse_schedule(50, rates, steps).kind == kind


def test_schedule_scales_to_another_step_count():
    assert parse_schedule(50, [1.0, 0.75], [10, 35]).with_steps(30).switch_steps == (6, 21)


def test_schedule_that_does_not_fit_into_few_steps_says_how_many_it_needs():
    schedule = parse_schedule(50, [1.0, 0.75], [1, 2])
    with pytest.raises(InvalidInput, match="use at least 50 steps"):
        schedule.with_steps(4)
    assert schedule.with_steps(50) is schedule


@given(
    st.integers(2, 1000).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(st.integers(1, n - 1), unique=True, max_size=8).map(sorted),
            st.lists(st.floats(0.01, 1.0), min_size=8, max_size=8),
        )
    )
)
def test_any_legal_schedule_partitions_its_steps(parts):
    steps, switches, rates = parts
    schedule = parse_schedule(steps, rates[: len(switches)], switches)
    assert [step for stage in schedule.stages for step in range(stage.first, stage.last + 1)] == list(
        range(1, steps + 1)
    )
    assert schedule.rate_at(steps) == 1.0
    assert all(stage.steps >= 1 for stage in schedule.stages)


def test_latent_sizes_round_as_lightx2v_rounds_and_keep_the_true_ratio():
    size = latent_size(full_size(WAN, 480, 832, 81), 0.75, WAN.patch)
    assert (size.frames, size.height, size.width, size.tokens) == (21, 44, 78, 18018)
    assert size.ratio_h == 44 / 60
    assert size.ratio == pytest.approx(math.sqrt(44 * 78 / (60 * 104)))


@pytest.mark.parametrize("rate", [0.001, 0.03, 1e-300])
def test_a_rate_below_one_patch_is_refused_with_the_smallest_legal_one(rate):
    full = full_size(WAN, 480, 832, 81)
    with pytest.raises(InvalidInput, match=r"smallest legal rate here is 0\.034"):
        stage_sizes(parse_schedule(50, [rate], [10]), full, WAN.patch)
    assert latent_size(full, 0.034, WAN.patch).height == 2


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        ((480, 830, 81), "width is 830; it must be a multiple of 16, the nearest is 832"),
        ((0, 832, 81), "height is 0"),
        ((480, 99999, 81), "width is 99999"),
        ((480, 832, 80), r"frames is 80; it must be 4k \+ 1, the nearest is 81"),
        ((480, 832, True), "frames is True"),
        ((480.0, 832, 81), "height is 480.0"),
    ],
)
def test_pixel_sizes_that_the_model_cannot_cut_are_refused(size, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        checked_size(WAN, *size)


def test_flat_has_one_stage():
    assert [stage.rate for stage in flat(7).stages] == [1.0]
