"""Predictions: the formula against the count, rates that can run, seconds from what was measured."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.costs.flops_count import forward_flops, schedule_cost
from engine.costs.flops_formula import wan_flops
from engine.costs.isotonic_curve import Curve
from engine.costs.prediction import CostModel, context, runnable_rates
from engine.costs.timings import KEPT, Timings, timing_key, workload_of
from engine.models.catalogue import catalogue, find_model
from engine.reports.closeness import Similarity
from engine.reports.run_costs import Latency, Memory, StageEntry
from engine.reports.schema import Run
from engine.schedules.latent_sizes import full_size, latent_size
from engine.schedules.schedule import flat, parse_schedule

SPEC = find_model("emoji-wan")
WAN = find_model("wan2.1-1.3b")
FULL = full_size(SPEC.geometry, 128, 128, 17)
TWO = parse_schedule(30, [0.5], [10])


def empty(spec=SPEC, frames=17):
    return Timings(key=timing_key(spec, frames, 3.0, None))


def costs(timings=None, height=128, width=128):
    return CostModel(SPEC, timings, height, width, 17, 3.0)


def run_of(schedule, seconds, *, first=0.0, memory=(), conditions=None):
    """A finished run whose steps take `seconds[rate]` each and whose stages' first steps take `first` more.

    Before its steps a stage takes `conditions[rate]`.
    """
    stages, steps = [], []
    for stage in schedule.stages:
        size = latent_size(FULL, stage.rate, (1, 2, 2))
        stages.append(
            StageEntry(
                first_step=stage.first, last_step=stage.last, rate=stage.rate, width=size.width * 8,
                height=size.height * 8, latent_width=size.width, latent_height=size.height, tokens=size.tokens,
            )
        )  # fmt: skip
        steps += [seconds[stage.rate] + (first if k == 0 else 0.0) for k in range(stage.steps)]
    latency = Latency(
        total_s=sum(steps) + 0.6, text_s=0.1, denoise_s=sum(steps), decode_s=0.3, encode_s=0.2, steps_s=tuple(steps),
        conditions_s=tuple(conditions[stage.rate] for stage in schedule.stages) if conditions else (),
    )  # fmt: skip
    return Run(
        name="r", policy=None, schedule={}, status="done", stages=tuple(stages), latency=latency,
        memory=Memory(kind="rss_above_start", peak_bytes=5000, steps_bytes=memory),
        similarity=Similarity.missing("a test"),
    )  # fmt: skip


# --- FLOPs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["emoji-wan", "wan2.1-1.3b", "wan2.1-14b", "wan2.2-ti2v-5b"])
@pytest.mark.parametrize("rate", [1.0, 0.75, 0.5, 0.3])
def test_the_formula_equals_the_count_on_meta_tensors(model, rate):
    spec = catalogue()[model]
    own = spec.defaults
    size = latent_size(full_size(spec.geometry, own.height, own.width, own.frames), rate, spec.geometry.patch)
    for text in (own.max_sequence_length, 7):
        assert wan_flops(spec.transformer, size, text) == forward_flops(spec.transformer, size, text)


def test_the_formula_equals_the_count_of_other_shapes(shared_tiny):
    config = {key: value for key, value in shared_tiny.transformer.config.items() if not key.startswith("_")}
    size = full_size(SPEC.geometry, 64, 96, 5)
    assert wan_flops(config, size, 16) == forward_flops(config, size, 16)


# --- rates -----------------------------------------------------------------------------------------------------------


def test_rates_of_the_shipped_model():
    assert runnable_rates(SPEC, 128, 128) == (0.15, 0.25, 0.4, 0.5, 0.65, 0.75, 0.9, 1.0)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_rates_give_every_size_once_and_end_at_one(rows, columns):
    full = full_size(SPEC.geometry, 16 * rows, 16 * columns, 17)
    rates = runnable_rates(SPEC, 16 * rows, 16 * columns)
    sizes = [latent_size(full, rate, (1, 2, 2)).hw for rate in rates]
    assert list(rates) == sorted(rates)
    assert rates[-1] == 1.0
    exact = {(2 * (rows * k // 3989), 2 * (columns * k // 3989)) for k in range(1, 3990)}  # at rates k / 3989
    dense = {size for size in exact if min(size) > 0}
    assert len(set(sizes)) == len(sizes)
    assert dense <= set(sizes)


@pytest.mark.parametrize("rate", [0.5, 0.75, 0.25])
def test_round_rates_are_preferred(rate):
    assert rate in runnable_rates(WAN, 480, 832)


# --- the curve -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.dictionaries(st.floats(1, 1e6), st.floats(0, 1e3), min_size=1, max_size=6), st.floats(1, 2e6))
def test_a_curve_never_falls_and_is_never_negative(points, x):
    curve = Curve.through(points)
    assert curve.at(x) >= 0
    assert curve.at(x * 1.5) >= curve.at(x) * (1 - 1e-9) - 1e-9


def test_a_curve_meets_points_that_rise_and_pools_those_that_fall():
    assert [Curve.through({1: 1.0, 2: 3.0, 4: 4.0}).at(x) for x in (1, 1.5, 2, 4)] == [1, 2, 3, 4]
    assert [Curve.through({1: 2.0, 2: 1.0}).at(x) for x in (1, 2)] == [1.5, 1.5]


def test_outside_of_its_points_a_curve_is_affine_unless_that_means_less_than_nothing():
    assert Curve.through({2: 3.0, 3: 4.0}).at(1) == 2  # 1 + x
    assert Curve.through({2: 1.0, 3: 3.0}).at(1) == 0.5  # 2x - 3 would be negative
    assert Curve.through({2: 1.0, 3: 3.0}).at(6) == 6


# --- seconds ---------------------------------------------------------------------------------------------------------


def test_with_nothing_measured_only_flops_are_told():
    found = costs().seconds(TWO)
    assert (found.total_s, found.denoise_s, found.speedup, found.source) == (None, None, None, "none")
    cost = schedule_cost(SPEC, TWO, height=128, width=128, frames=17, guidance=3.0)
    assert found.by_flops == pytest.approx(cost.speedup)
    assert costs().table()[-1]["flops"] == cost.stages[-1].flops_per_step


def test_a_track_of_its_own_steps_is_held_against_the_baseline_of_the_comparison():
    model = costs(empty().with_run(run_of(flat(30), {1.0: 0.1})))
    found = model.seconds(flat(15), baseline_steps=30)
    assert (found.denoise_s, found.speedup, found.by_flops) == pytest.approx((1.5, 2.0, 2.0))
    assert model.seconds(flat(15)).speedup == pytest.approx(1)
    cost = schedule_cost(SPEC, flat(60), height=128, width=128, frames=17, guidance=3.0, baseline_steps=30)
    assert cost.speedup == pytest.approx(0.5)


def test_with_the_baseline_alone_seconds_go_with_flops():
    model = costs(empty().with_run(run_of(flat(30), {1.0: 0.1})))
    assert model.seconds(flat(30)).total_s == pytest.approx(3.6)
    assert model.seconds(flat(30)).source == "measured"
    found = model.seconds(TWO)
    assert found.source == "estimated"
    assert found.denoise_s == pytest.approx(3.0 / found.by_flops)


def test_measured_sizes_give_measured_seconds():
    timings = empty().with_run(run_of(flat(30), {1.0: 0.1})).with_probe((8, 8), [0.04, 0.04, 0.04], 0.05)
    found = costs(timings).seconds(TWO)
    assert found.denoise_s == pytest.approx(10 * 0.04 + 20 * 0.1 + 0.01)
    assert found.total_s == pytest.approx(found.denoise_s + 0.6)
    assert found.speedup == pytest.approx(3.0 / found.denoise_s)
    assert found.source == "measured"
    between = costs(timings).seconds(parse_schedule(30, [0.75], [15]))
    assert between.source == "measured"
    assert 0.04 < between.denoise_s / 15 - 0.1 < 0.1
    assert costs(timings).seconds(parse_schedule(30, [0.25], [15])).source == "estimated"


def test_a_run_of_the_schedule_itself_predicts_itself():
    timings = empty().with_run(run_of(TWO, {0.5: 0.04, 1.0: 0.1}, first=0.02))
    found = costs(timings).seconds(TWO)
    assert found.denoise_s == pytest.approx(10 * 0.04 + 20 * 0.1 + 0.04)
    assert found.peak_bytes == 5000


def test_every_stage_of_a_schedule_pays_for_the_conditions_at_its_size():
    timings = empty().with_run(run_of(TWO, {0.5: 0.04, 1.0: 0.1}, conditions={0.5: 0.5, 1.0: 2.0}))
    plain = empty().with_run(run_of(TWO, {0.5: 0.04, 1.0: 0.1}))
    u = parse_schedule(30, [1.0, 0.5], [5, 20])
    for schedule, before in ((flat(30), 2.0), (TWO, 2.5), (u, 4.5)):
        told, without = costs(timings).seconds(schedule), costs(plain).seconds(schedule)
        assert told.total_s == pytest.approx(without.total_s + before)
        assert (told.denoise_s, told.speedup) == (without.denoise_s, without.speedup)
    rows = {row["rate"]: row["condition_s"] for row in costs(timings).table()}
    assert (rows[0.5], rows[1.0]) == (0.5, 2.0)
    assert rows[0.75] == pytest.approx(0.5 * 144 / 64) or rows[0.75] == pytest.approx(2.0 * 144 / 256)  # by area
    assert {row["condition_s"] for row in costs(plain).table()} == {0.0}


def test_a_probe_says_what_comes_before_the_steps_of_its_size():
    timings = empty().with_probe((8, 8), [0.04, 0.04], 0.05, 0.7)
    assert timings.condition_seconds((8, 8)) == 0.7
    assert timings.step_seconds() == {(8, 8): pytest.approx(0.04)}


def test_one_bad_run_among_three_moves_nothing():
    timings = empty()
    for step in (0.1, 0.9, 0.1):
        timings = timings.with_run(run_of(flat(30), {1.0: step}))
    assert costs(timings).seconds(flat(30)).denoise_s == pytest.approx(3.0)


def test_a_hiccup_inside_a_probe_is_left_out():
    timings = empty().with_probe((16, 16), [0.1, 0.1, 0.19])
    assert timings.step_seconds() == {(16, 16): pytest.approx(0.1)}


def test_what_interrupts_a_run_now_and_then_is_expected_of_all_sizes():
    run = run_of(flat(31), {1.0: 0.1})
    steps = list(run.latency.steps_s)
    steps[5] = steps[25] = 0.25
    interrupted = run.model_copy(update={"latency": run.latency.model_copy(update={"steps_s": tuple(steps)})})
    timings = empty().with_run(interrupted).with_probe((8, 8), [0.04, 0.04, 0.04])
    assert costs(timings).seconds(flat(31)).denoise_s == pytest.approx(sum(steps) + 0.01, rel=1e-3)
    assert timings.step_seconds()[8, 8] == pytest.approx(0.04 * 1.1)


def test_only_recent_values_are_kept():
    timings = empty()
    for k in range(3 * KEPT):
        timings = timings.with_run(run_of(flat(30), {1.0: 1.0 + k}))
    assert len(timings.steps["16x16"]) == KEPT
    assert timings.runs == 3 * KEPT
    assert costs(timings).seconds(flat(30)).denoise_s > 30 * (2 * KEPT)


def test_runs_that_are_not_done_teach_nothing():
    failed = run_of(flat(30), {1.0: 0.1}).model_copy(update={"status": "cancelled", "error": "x"})
    assert empty().with_run(failed) == empty()


def test_memory_of_a_small_stage_after_a_large_one_is_not_its_own():
    u = parse_schedule(6, [0.5, 1.0, 0.5], [1, 3, 5])
    timings = empty().with_run(run_of(u, {0.5: 0.04, 1.0: 0.1}, memory=(10, 90, 90, 88, 88, 95)))
    assert timings.step_memory() == {(8, 8): 10, (16, 16): 92.5}
    assert [row["memory_bytes"] is not None for row in costs(timings).table()][:4] == [False, False, False, True]


def test_timings_survive_json():
    timings = empty().with_run(run_of(TWO, {0.5: 0.04, 1.0: 0.1})).with_probe((4, 4), [0.02, 0.02], 0.03)
    assert Timings.model_validate_json(timings.model_dump_json()) == timings


def test_timings_of_another_workload_are_not_used():
    with pytest.raises(ValueError, match="cannot predict"):
        CostModel(SPEC, empty(), 128, 128, 17, 1.0)
    assert empty().key.workload == workload_of(SPEC, 17, 3.0) != workload_of(SPEC, 17, 1.0)


def test_with_a_control_video_and_without_are_two_workloads():
    spec = find_model("wan2.1-vace-1.3b")
    plain, followed = (Timings(key=timing_key(spec, 81, 5.0, None, roles)) for roles in ((), ("video",)))
    assert followed.key.workload == f"{plain.key.workload}, with video"
    assert followed.key.text.startswith(f"{plain.key.workload}, with video on ")
    assert CostModel(spec, followed, 480, 832, 81, 5.0, conditions=("video",)).timings is followed
    for timings, roles in ((plain, ("video",)), (followed, ())):
        with pytest.raises(ValueError, match="cannot predict"):
            CostModel(spec, timings, 480, 832, 81, 5.0, conditions=roles)
    assert "conditions" not in json.loads(Timings(key=plain.key).model_dump_json(exclude_defaults=True))["key"]


def test_another_size_is_estimated_from_this_one():
    timings = empty().with_run(run_of(flat(30), {1.0: 0.1})).with_probe((8, 8), [0.04, 0.04])
    larger = costs(timings, 256, 256)
    assert larger.calibrated == "estimated"
    assert larger.fixed_s == pytest.approx(0.1 + 4 * 0.5)
    assert larger.seconds(flat(30)).denoise_s > costs(timings).seconds(flat(30)).denoise_s
    assert costs(timings).calibrated == "measured"


# --- the board's context ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timings", [None, empty().with_run(run_of(flat(30), {1.0: 0.1}))])
def test_the_context_is_what_the_board_is_promised(timings):
    found = context(costs(timings), shift=3.0, max_tracks=8)
    json.dumps(found, allow_nan=False)
    assert set(found) == {
        "model", "max_tracks", "native", "height", "width", "frames", "shift", "policies", "rates", "fixed_s",
        "switch_s", "peak_bytes", "calibrated", "calibration_note", "bands", "cache", "caches",
    }  # fmt: skip
    row = found["rates"][3]
    assert (row["rate"], row["latent"], row["pixels"], row["ratio"], row["tokens"]) == (0.5, [8, 8], [64, 64], 0.5, 80)
    assert (row["seconds"] is None) == (timings is None)
    assert found["calibrated"] == ("none" if timings is None else "estimated")
    assert math.isclose(found["rates"][-1]["rate"], 1.0)
