"""Similarity to the baseline: known answers, directions, and frames that cannot be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from engine.errors import InvalidInput
from engine.measuring import similarity as measures
from engine.measuring import video
from engine.measuring.heatmap import heatmap
from engine.measuring.similarity import KINDS, Metric, own_similarity, similarity
from tests.measuring.frames import mean, moving, noisy


@pytest.fixture(scope="module")
def same(base: np.ndarray) -> dict[str, Metric]:
    return similarity(base, base.copy(), fps=8)


@pytest.fixture(scope="module")
def ladder(base: np.ndarray) -> list[dict[str, Metric]]:
    """Similarity at three rising amounts of noise."""
    return [similarity(noisy(base, amount), base, fps=8) for amount in (0.01, 0.03, 0.1)]


def test_every_metric_is_there_in_the_order_of_the_table(same: dict[str, Metric]) -> None:
    assert list(same) == ["psnr", "psnr_pooled", "ssim", "ms_ssim", "vmaf", "xpsnr", "flicker", "lpips"]
    assert list(same) == list(KINDS) == list(measures.UNITS) == list(measures.HIGHER_IS_BETTER)


def test_identical_frames_reach_the_ceiling_of_each_metric(same: dict[str, Metric]) -> None:
    assert same["psnr"].frames == (100.0,) * 5
    assert same["xpsnr"].frames == (100.0,) * 5
    assert same["ssim"].frames == pytest.approx((1.0,) * 5, abs=1e-6)
    assert same["ms_ssim"].frames == pytest.approx((1.0,) * 5, abs=1e-6)
    assert same["flicker"].frames == (None, 0.0, 0.0, 0.0, 0.0)
    assert same["vmaf"].min is not None
    assert same["vmaf"].min > 97
    assert mean(same["vmaf"]) > 99


def test_psnr_of_known_noise_is_what_arithmetic_says() -> None:
    flat = np.full((3, 64, 64, 3), 0.5, np.float32)
    off = flat + np.float32([0.01, 0.1, 0.25]).reshape(3, 1, 1, 1)
    frames = measures.psnr(off, flat).frames
    assert frames == pytest.approx([40.0, 20.0, -20 * math.log10(0.25)], abs=1e-3)
    gaussian = flat + 0.05 * np.random.default_rng(1).standard_normal(flat.shape).astype(np.float32)
    assert mean(measures.psnr(gaussian, flat)) == pytest.approx(-20 * math.log10(0.05), abs=0.1)


def test_psnr_of_all_frames_is_of_their_mean_squared_error() -> None:
    flat = np.full((4, 32, 32, 3), 0.5, np.float32)
    off = flat + np.float32([0.1, 0.0, 0.0, 0.0]).reshape(4, 1, 1, 1)
    assert mean(measures.psnr(off, flat)) == pytest.approx((20 + 3 * 100) / 4, abs=1e-3)
    pooled = measures.psnr_pooled(off, flat)
    assert mean(pooled) == pytest.approx(20 - 10 * math.log10(1 / 4), abs=1e-3)
    assert (pooled.min, pooled.frames, measures.worst("psnr_pooled", pooled)) == (pooled.mean, (), None)
    assert mean(measures.psnr_pooled(flat, flat.copy())) == mean(measures.psnr_pooled(flat + 1e-7, flat)) == 100.0


def test_independent_noise_scores_the_true_7_8_db_and_not_what_wrapped_bytes_give() -> None:
    rng = np.random.default_rng(3)
    one, two = rng.random((2, 2, 64, 64, 3)).astype(np.float32)
    assert mean(measures.psnr(one, two)) == pytest.approx(10 * math.log10(6), abs=0.1)  # MSE 1/6
    with pytest.raises(InvalidInput, match="divide by 255"):
        similarity((one * 255).astype(np.uint8), (two * 255).astype(np.uint8), fps=8)


def test_more_noise_is_worse_in_every_metric(ladder: list[dict[str, Metric]]) -> None:
    for name, kind in KINDS.items():
        if name == "lpips":
            continue
        steps = np.diff([mean(block[name]) for block in ladder])
        assert (steps < 0).all() if kind.higher_is_better else (steps > 0).all(), name


def test_mean_and_minimum_are_those_of_the_frames(ladder: list[dict[str, Metric]]) -> None:
    for metric in ladder[1].values():
        values = [value for value in metric.frames or () if value is not None]
        if values:
            assert metric.mean == pytest.approx(np.mean(values))
            assert metric.min == min(values)


def test_the_worst_frame_is_the_largest_where_lower_is_better() -> None:
    metric = Metric(mean=2.0, min=1.0, frames=(None, 1.0, 3.0))
    assert measures.worst("flicker", metric) == measures.worst("lpips", metric) == 3.0
    assert measures.worst("psnr", metric) == 1.0
    assert measures.worst("psnr", measures.missing("no")) is None


def test_one_bad_frame_shows_in_the_minimum(base: np.ndarray) -> None:
    other = base.copy()
    other[2] = noisy(base[2:3], 0.2)[0]
    block = similarity(other, base, fps=8)
    for name in ("psnr", "ssim", "ms_ssim", "vmaf", "xpsnr"):
        frames = block[name].frames
        assert frames is not None
        assert int(np.argmin([value for value in frames if value is not None])) == 2, name


def test_flicker_ignores_shared_motion_and_a_constant_offset(base: np.ndarray) -> None:
    assert mean(measures.flicker(base - np.float32(0.05), base)) == pytest.approx(0.0, abs=1e-3)


def test_flicker_of_a_blinking_run_is_its_amplitude() -> None:
    still = np.full((4, 16, 16, 3), 0.5, np.float32)
    blink = still + np.float32([0, 10 / 255, 0, 10 / 255]).reshape(4, 1, 1, 1)
    assert measures.flicker(blink, still).frames == (None, *[pytest.approx(10.0, abs=1e-3)] * 3)


def test_a_single_frame_has_no_flicker_but_all_else(base: np.ndarray) -> None:
    block = similarity(noisy(base[:1], 0.05), base[:1], fps=8)
    assert block["flicker"].mean is None
    assert "two frames" in str(block["flicker"].reason)
    assert all(len(block[name].frames or ()) == 1 for name in ("psnr", "ssim", "ms_ssim", "vmaf", "xpsnr"))


def test_frames_too_small_for_a_window_have_a_reason() -> None:
    frames = moving(2, 10, 10)
    block = similarity(noisy(frames, 0.05), frames, fps=8)
    for name in ("ssim", "ms_ssim", "vmaf"):
        assert block[name].mean is None
        assert "10x10" in str(block[name].reason)
    assert block["psnr"].mean is not None


def test_vmaf_of_small_frames_carries_its_caveat(ladder: list[dict[str, Metric]]) -> None:
    assert "1080p" in str(ladder[0]["vmaf"].reason)


def test_odd_sizes_are_measured_whole() -> None:
    frames = moving(2, 65, 77)
    block = similarity(noisy(frames, 0.05), frames, fps=8)
    assert all(block[name].mean is not None for name in ("psnr", "ssim", "ms_ssim", "vmaf", "xpsnr"))


def as_far_as(run: np.ndarray, base: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`other`'s deviation from `base` scaled to the squared error of `run`, unclipped."""
    return base + (other - base) * np.float32(np.linalg.norm(run - base) / np.linalg.norm(other - base))


def test_xpsnr_prefers_softness_to_noise_of_the_same_squared_error(base: np.ndarray) -> None:
    """Between two runs of one PSNR: detail lost is hidden by the baseline's own detail, noise added is not."""
    soft = gaussian_filter(base, (0, 1.5, 1.5, 0))
    grainy = as_far_as(soft, base, noisy(base, 0.02))
    assert mean(measures.psnr(grainy, base)) == pytest.approx(mean(measures.psnr(soft, base)), abs=1e-3)
    assert mean(measures.psnr(soft, base)) == pytest.approx(32.3, abs=0.05)
    assert mean(measures.xpsnr(soft, base)) == pytest.approx(29.97, abs=0.05)
    assert mean(measures.xpsnr(grainy, base)) == pytest.approx(29.61, abs=0.1)


def test_xpsnr_counts_noise_where_the_baseline_is_flat_and_hides_it_where_it_is_busy(base: np.ndarray) -> None:
    half = base.copy()
    half[:, :, 64:] = 0.5
    on_busy, on_flat = half.copy(), half.copy()
    grain = noisy(half, 0.03) - half
    on_busy[:, :, :64] += grain[:, :, :64]
    on_flat[:, :, 64:] += grain[:, :, 64:]
    assert mean(measures.psnr(on_busy, half)) == pytest.approx(mean(measures.psnr(on_flat, half)), abs=0.1)
    assert mean(measures.xpsnr(on_busy, half)) > mean(measures.xpsnr(on_flat, half)) + 5


def test_vmaf_takes_the_run_for_the_distorted_one(base: np.ndarray) -> None:
    """A run that lost detail scores lower than one that has what the baseline lacks."""
    soft = gaussian_filter(base, (0, 1.5, 1.5, 0))
    assert mean(measures.vmaf(soft, base)) < 70 < mean(measures.vmaf(base, soft))


def test_what_was_computed_while_the_video_was_written_is_what_is_computed_now(base: np.ndarray) -> None:
    other = noisy(base, 0.03)
    own = own_similarity(other, base, fps=8)
    assert set(own) < set(KINDS)
    assert similarity(other, base, 8, own) == similarity(other, base, 8)
    taken = own | {"psnr": measures.missing("taken over")}
    assert similarity(other, base, 8, taken)["psnr"].reason == "taken over"


def test_what_cannot_be_compared_is_the_same_reason_both_times(base: np.ndarray) -> None:
    own = own_similarity(base[:2], base, fps=8)
    assert own == similarity(base[:2], base, 8, own)
    assert "the baseline" in str(own["ssim"].reason)


def test_measured_together_vmaf_and_xpsnr_are_what_they_are_alone(base: np.ndarray) -> None:
    noise = np.random.default_rng(4).standard_normal(base.shape, dtype=np.float32)
    run = np.clip(base + 0.05 * noise, 0.0, 1.0)
    block = similarity(run, base, fps=8)
    assert block["vmaf"] == measures.vmaf(run, base, 8)
    assert block["xpsnr"] == measures.xpsnr(run, base, 8)


def test_vmaf_and_xpsnr_come_from_one_pass_of_ffmpeg(base: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, start = [], video._started
    monkeypatch.setattr(video, "_started", lambda command, folder: begun.append(command) or start(command, folder))
    assert similarity(noisy(base[:2], 0.05), base[:2], fps=8)["vmaf"].mean is not None
    assert len(begun) == 1


def test_shapes_that_differ_are_missing_with_both_sizes(base: np.ndarray) -> None:
    block = similarity(base[:, :64], base, fps=8)
    assert all(metric.mean is None for metric in block.values())
    assert "5 frames of 128x64" in str(block["psnr"].reason)
    assert "5 frames of 128x128" in str(block["psnr"].reason)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_frame_that_is_not_finite_is_named(base: np.ndarray, value: float) -> None:
    broken = base.copy()
    broken[3, 5, 5, 1] = value
    block = similarity(broken, base, fps=8)
    assert all(metric.mean is None for metric in block.values())
    assert block["psnr"].reason == "frame 4 of the run is not finite."
    assert "of the baseline" in str(similarity(base, broken, fps=8)["ssim"].reason)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 8, 8), np.float32),
        np.zeros((2, 8, 8, 1), np.float32),
        np.zeros((0, 8, 8, 3), np.float32),
        np.zeros((2, 8, 8, 3), np.int64),
        np.full((2, 8, 8, 3), 2.0, np.float32),
        np.full((2, 8, 8, 3), -1.0, np.float32),
    ],
)
def test_arrays_that_are_no_frames_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(InvalidInput):
        similarity(frames, frames, fps=8)


def test_rounding_just_outside_the_range_is_forgiven() -> None:
    frames = np.full((1, 32, 32, 3), 1.0 + 1e-4, np.float32)
    assert similarity(frames, np.ones_like(frames), fps=8)["psnr"].mean == 100.0


def test_the_arrays_given_are_not_changed(base: np.ndarray) -> None:
    run, before = noisy(base, 0.05), base.copy()
    run_before = run.copy()
    similarity(run, base, fps=8)
    heatmap(run, base)
    assert np.array_equal(base, before)
    assert np.array_equal(run, run_before)


@pytest.mark.parametrize(
    "fields",
    [
        {"mean": None, "min": None, "frames": None, "reason": None},
        {"mean": None, "min": None, "frames": None, "reason": ""},
        {"mean": 1.0, "min": None, "frames": (1.0,), "reason": "x"},
        {"mean": 1.0, "min": 1.0, "frames": None, "reason": "x"},
        {"mean": 1.0, "min": None, "frames": None, "reason": "x"},
        {"mean": None, "min": 1.0, "frames": (1.0,), "reason": "x"},
        {"mean": None, "min": None, "frames": (1.0,), "reason": "x"},
        {"mean": None, "min": 1.0, "frames": None, "reason": "x"},
        {"mean": 1.0, "min": 1.0, "frames": (1.0,), "reason": None, "median": 1.0},
        {"mean": math.inf, "min": 1.0, "frames": (1.0,), "reason": None},
        {"mean": 1.0, "min": 1.0, "frames": (math.nan,), "reason": None},
    ],
)
def test_a_metric_without_value_or_reason_cannot_be_made(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Metric.model_validate(fields)


def test_a_metric_is_plain_json(ladder: list[dict[str, Metric]]) -> None:
    for metric in ladder[0].values():
        text = metric.model_dump_json()
        assert set(json.loads(text)) == {"mean", "min", "frames", "reason"}
        assert Metric.model_validate_json(text) == metric


def test_two_frames_have_the_flicker_of_the_second() -> None:
    still = np.full((2, 16, 16, 3), 0.5, np.float32)
    assert measures.flicker(still + np.float32([0, 0.2]).reshape(2, 1, 1, 1), still).frames == (
        None,
        pytest.approx(51, abs=1e-3),
    )


def test_xpsnr_counts_luma_four_times_and_chroma_once(base: np.ndarray) -> None:
    log = "n:    1  XPSNR y: 30.0  XPSNR u: 36.0  XPSNR v: 42.0\nn:    2  XPSNR y: inf  XPSNR u: 40.0  XPSNR v: inf\n"
    assert measures.xpsnr(base[:2], base[:2], log=log).frames == (33.0, 90.0)
    assert "2 values for 3 frames" in _why(measures.xpsnr, base[:3], base[:3], log=log)


def test_a_value_that_is_not_finite_is_a_reason_and_no_value(base: np.ndarray) -> None:
    log = "n:    1  XPSNR y: nan  XPSNR u: 36.0  XPSNR v: 42.0\n"
    assert _why(measures.xpsnr, base[:1], base[:1], log=log) == "a frame's value is not a finite number."


def _why(compute: Callable[..., Metric], *args: object, **more: object) -> str:
    with pytest.raises(measures._NotComputed) as caught:
        compute(*args, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("height", "width", "there"), [(32, 40, True), (40, 32, True), (31, 40, False), (40, 31, False)]
)
def test_vmaf_is_computed_from_32_pixels_a_side(height: int, width: int, there: bool) -> None:
    frames = moving(1, height, width)
    block = similarity(noisy(frames, 0.05), frames, fps=8)
    assert (block["vmaf"].mean is not None) == there
    assert there or f"at least 32x32 pixels, got {width}x{height}" in str(block["vmaf"].reason)
    assert block["xpsnr"].mean is not None


@pytest.mark.parametrize("height", [539, 540])
def test_vmaf_needs_no_caveat_from_half_the_height_that_it_was_trained_on(height: int) -> None:
    frames = moving(1, height, 32)
    assert (measures.vmaf(frames, frames).reason is None) == (height == 540)


def test_a_metric_and_its_kind_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Metric(mean=1.0, min=1.0, frames=(1.0,)).mean = 2.0  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        KINDS["psnr"].label = "other"  # type: ignore[misc]
