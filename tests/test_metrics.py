"""Similarity to the baseline: known answers, directions, and what happens when there is no answer."""

from __future__ import annotations

import json
import math
import stat
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from engine import metrics, video
from engine.errors import InvalidInput
from engine.heatmap import HEAT, heatmap
from engine.metrics import KINDS, Metric, own_similarity, similarity


def moving(frames: int = 5, height: int = 128, width: int = 128) -> np.ndarray:
    """A textured picture that drifts: float32 (frames, height, width, 3) in [0.1, 0.9]."""
    rng = np.random.default_rng(7)
    field = gaussian_filter(rng.standard_normal((height, width + 2 * frames, 3)), (2, 2, 0))
    field = 0.1 + 0.8 * (field - field.min()) / (field.max() - field.min())
    return np.stack([field[:, 2 * t : 2 * t + width] for t in range(frames)]).astype(np.float32)


def noisy(frames: np.ndarray, amount: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(frames.shape)
    return np.clip(frames + amount * noise, 0, 1).astype(np.float32)


def mean(metric: Metric) -> float:
    assert metric.mean is not None, metric.reason
    return metric.mean


@pytest.fixture(scope="module")
def base() -> np.ndarray:
    return moving()


@pytest.fixture(scope="module")
def same(base: np.ndarray) -> dict[str, Metric]:
    return similarity(base, base.copy(), fps=8)


@pytest.fixture(scope="module")
def ladder(base: np.ndarray) -> list[dict[str, Metric]]:
    """Similarity at three rising amounts of noise."""
    return [similarity(noisy(base, amount), base, fps=8) for amount in (0.01, 0.03, 0.1)]


def test_every_metric_is_there_in_the_order_of_the_table(same: dict[str, Metric]) -> None:
    assert list(same) == ["psnr", "ssim", "ms_ssim", "vmaf", "xpsnr", "flicker", "lpips"]
    assert list(same) == list(KINDS) == list(metrics.UNITS) == list(metrics.HIGHER_IS_BETTER)


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
    frames = metrics.psnr(off, flat).frames
    assert frames == pytest.approx([40.0, 20.0, -20 * math.log10(0.25)], abs=1e-3)
    gaussian = flat + 0.05 * np.random.default_rng(1).standard_normal(flat.shape).astype(np.float32)
    assert mean(metrics.psnr(gaussian, flat)) == pytest.approx(-20 * math.log10(0.05), abs=0.1)


def test_independent_noise_scores_the_true_7_8_db_and_not_what_wrapped_bytes_give() -> None:
    rng = np.random.default_rng(3)
    one, two = rng.random((2, 2, 64, 64, 3)).astype(np.float32)
    assert mean(metrics.psnr(one, two)) == pytest.approx(10 * math.log10(6), abs=0.1)  # MSE 1/6
    with pytest.raises(InvalidInput, match="divide by 255"):
        similarity((one * 255).astype(np.uint8), (two * 255).astype(np.uint8), fps=8)


def test_ssim_agrees_with_scikit_image(base: np.ndarray) -> None:
    other = noisy(base, 0.05)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = [structural_similarity(a, b, channel_axis=-1, **options) for a, b in zip(other, base, strict=True)]
    assert metrics.ssim(other, base).frames == pytest.approx(expected, abs=1e-4)


def structure_written_anew(a: np.ndarray, b: np.ndarray, scales: int) -> tuple[float, float]:
    """SSIM and MS-SSIM of two frames in float64, by scipy's Gaussian: Wang et al. 2003 and 2004."""

    def window(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, (1.5, 1.5, 0), truncate=3.5)[5:-5, 5:-5]

    a, b, every, ssim = a.astype(float), b.astype(float), 1.0, 0.0
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    for scale, weight in enumerate(weights / weights.sum()):
        mean_a, mean_b = window(a), window(b)
        luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
        variances = window(a * a) + window(b * b) - mean_a**2 - mean_b**2
        contrast = (2 * (window(a * b) - mean_a * mean_b) + 9e-4) / (variances + 9e-4)
        ssim = (luminance * contrast).mean() if scale == 0 else ssim
        factor = contrast if scale < scales - 1 else contrast * luminance
        every = every * np.maximum(factor.mean((0, 1)), 0) ** weight
        height, width = a.shape[0] // 2, a.shape[1] // 2
        a, b = (x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean((1, 3)) for x in (a, b))
    return float(ssim), float(every.mean())


@pytest.mark.parametrize("change", ["noisy", "dark", "flat", "opposite", "shifted"])
@pytest.mark.parametrize(("height", "width", "scales"), [(11, 40, 0), (23, 45, 2), (87, 76, 3), (177, 191, 5)])
def test_both_structural_metrics_are_what_their_formulas_written_anew_give(height, width, scales, change) -> None:
    a = moving(1, height, width)
    b = {"opposite": 1 - a, "shifted": a + np.float32(0.1)}.get(change, noisy(a, 0.05))
    if change == "dark":
        a, b = a / 40, b / 40
    if change == "flat":
        a, b = (np.clip(0.7 + 0.02 * (x - 0.5), 0, 1).astype(np.float32) for x in (a, b))
    ssim, ms_ssim = structure_written_anew(a[0], b[0], max(scales, 1))
    block = similarity(a, b, fps=8)
    assert mean(metrics.ssim(a, b)) == pytest.approx(ssim, abs=1e-5)
    assert mean(block["ssim"]) == pytest.approx(ssim, abs=1e-5)
    if scales:
        assert mean(metrics.ms_ssim(a, b)) == pytest.approx(ms_ssim, abs=2e-5)
        assert mean(block["ms_ssim"]) == pytest.approx(ms_ssim, abs=2e-5)


def test_more_noise_is_worse_in_every_metric(ladder: list[dict[str, Metric]]) -> None:
    for name, kind in KINDS.items():
        if name == "lpips":
            continue
        steps = np.diff([mean(block[name]) for block in ladder])
        assert (steps < 0).all() if kind.higher_is_better else (steps > 0).all(), name


def test_psnr_ssim_and_flicker_do_not_mind_the_order(base: np.ndarray) -> None:
    other = noisy(base, 0.05)
    for compute in (metrics.psnr, metrics.ssim, metrics.ms_ssim, metrics.flicker):
        assert mean(compute(other, base)) == pytest.approx(mean(compute(base, other)), rel=1e-5)


def test_mean_and_minimum_are_those_of_the_frames(ladder: list[dict[str, Metric]]) -> None:
    for metric in ladder[1].values():
        values = [value for value in metric.frames or () if value is not None]
        if values:
            assert metric.mean == pytest.approx(np.mean(values))
            assert metric.min == min(values)


def test_the_worst_frame_is_the_largest_where_lower_is_better() -> None:
    metric = Metric(mean=2.0, min=1.0, frames=(None, 1.0, 3.0))
    assert metrics.worst("flicker", metric) == metrics.worst("lpips", metric) == 3.0
    assert metrics.worst("psnr", metric) == 1.0
    assert metrics.worst("psnr", metrics.missing("no")) is None


def test_one_bad_frame_shows_in_the_minimum(base: np.ndarray) -> None:
    other = base.copy()
    other[2] = noisy(base[2:3], 0.2)[0]
    block = similarity(other, base, fps=8)
    for name in ("psnr", "ssim", "ms_ssim", "vmaf", "xpsnr"):
        frames = block[name].frames
        assert frames is not None
        assert int(np.argmin([value for value in frames if value is not None])) == 2, name


def test_flicker_ignores_shared_motion_and_a_constant_offset(base: np.ndarray) -> None:
    assert mean(metrics.flicker(base - np.float32(0.05), base)) == pytest.approx(0.0, abs=1e-3)


def test_flicker_of_a_blinking_run_is_its_amplitude() -> None:
    still = np.full((4, 16, 16, 3), 0.5, np.float32)
    blink = still + np.float32([0, 10 / 255, 0, 10 / 255]).reshape(4, 1, 1, 1)
    assert metrics.flicker(blink, still).frames == (None, *[pytest.approx(10.0, abs=1e-3)] * 3)


def test_two_frames_have_the_flicker_of_the_second() -> None:
    still = np.full((2, 16, 16, 3), 0.5, np.float32)
    assert metrics.flicker(still + np.float32([0, 0.2]).reshape(2, 1, 1, 1), still).frames == (
        None,
        pytest.approx(51, abs=1e-3),
    )


def test_a_single_frame_has_no_flicker_but_all_else(base: np.ndarray) -> None:
    block = similarity(noisy(base[:1], 0.05), base[:1], fps=8)
    assert block["flicker"].mean is None
    assert "two frames" in str(block["flicker"].reason)
    assert all(len(block[name].frames or ()) == 1 for name in ("psnr", "ssim", "ms_ssim", "vmaf", "xpsnr"))


@pytest.mark.parametrize(
    ("side", "scales"), [(16, 0), (21, 0), (22, 2), (44, 3), (87, 3), (88, 4), (128, 4), (175, 4), (176, 5)]
)
@pytest.mark.parametrize("upright", [False, True])
def test_ms_ssim_uses_the_scales_that_fit_and_says_so(side: int, scales: int, upright: bool) -> None:
    frames = moving(1, side + 4, side) if upright else moving(1, side, side + 4)
    metric = similarity(noisy(frames, 0.02), frames, fps=8)["ms_ssim"]
    if scales == 0:
        assert metric.mean is None
        assert "22x22" in str(metric.reason)
    else:
        assert 0.5 < mean(metric) < 1
        assert metric.reason is None if scales == 5 else f"{scales} of 5 scales" in str(metric.reason)


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
    assert mean(metrics.psnr(grainy, base)) == pytest.approx(mean(metrics.psnr(soft, base)), abs=1e-3)
    assert mean(metrics.psnr(soft, base)) == pytest.approx(32.3, abs=0.05)
    assert mean(metrics.xpsnr(soft, base)) == pytest.approx(29.97, abs=0.05)
    assert mean(metrics.xpsnr(grainy, base)) == pytest.approx(29.61, abs=0.1)


def test_xpsnr_counts_noise_where_the_baseline_is_flat_and_hides_it_where_it_is_busy(base: np.ndarray) -> None:
    half = base.copy()
    half[:, :, 64:] = 0.5
    on_busy, on_flat = half.copy(), half.copy()
    grain = noisy(half, 0.03) - half
    on_busy[:, :, :64] += grain[:, :, :64]
    on_flat[:, :, 64:] += grain[:, :, 64:]
    assert mean(metrics.psnr(on_busy, half)) == pytest.approx(mean(metrics.psnr(on_flat, half)), abs=0.1)
    assert mean(metrics.xpsnr(on_busy, half)) > mean(metrics.xpsnr(on_flat, half)) + 5


def test_xpsnr_counts_luma_four_times_and_chroma_once(base: np.ndarray) -> None:
    log = "n:    1  XPSNR y: 30.0  XPSNR u: 36.0  XPSNR v: 42.0\nn:    2  XPSNR y: inf  XPSNR u: 40.0  XPSNR v: inf\n"
    assert metrics.xpsnr(base[:2], base[:2], log=log).frames == (33.0, 90.0)
    assert "2 values for 3 frames" in _why(metrics.xpsnr, base[:3], base[:3], log=log)


def test_a_value_that_is_not_finite_is_a_reason_and_no_value(base: np.ndarray) -> None:
    log = "n:    1  XPSNR y: nan  XPSNR u: 36.0  XPSNR v: 42.0\n"
    assert _why(metrics.xpsnr, base[:1], base[:1], log=log) == "a frame's value is not a finite number."


def _why(compute: Callable[..., Metric], *args: object, **more: object) -> str:
    with pytest.raises(metrics._NotComputed) as caught:
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
    assert (metrics.vmaf(frames, frames).reason is None) == (height == 540)


@pytest.mark.parametrize(("height", "width"), [(10, 20), (20, 10)])
def test_ssim_needs_a_whole_window_both_ways(height: int, width: int) -> None:
    frames = moving(1, height, width)
    assert f"11x11 pixels, got {width}x{height}" in str(similarity(frames, frames, fps=8)["ssim"].reason)


def test_vmaf_takes_the_run_for_the_distorted_one(base: np.ndarray) -> None:
    """A run that lost detail scores lower than one that has what the baseline lacks."""
    soft = gaussian_filter(base, (0, 1.5, 1.5, 0))
    assert mean(metrics.vmaf(soft, base)) < 70 < mean(metrics.vmaf(base, soft))


def test_lpips_is_missing_with_the_remedy_when_not_installed(base: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    metrics._lpips_network.cache_clear()
    metric = similarity(base[:1], base[:1], fps=8)["lpips"]
    assert metric.mean is None
    assert str(metric.reason).startswith("not installed")


def test_lpips_is_used_when_it_is_there(base: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, object]] = []

    def network(a: object, b: object) -> float:
        """Where in -1..1 the top left pixel's green and blue are."""
        assert a.shape == b.shape == (1, 3, 128, 128)  # type: ignore[attr-defined]
        return float(a[0, 1, 0, 0]) + 10 * float(b[0, 2, 0, 0])  # type: ignore[index]

    def load(**options: object) -> object:
        made.append(options)
        return network

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=load))
    metrics._lpips_network.cache_clear()
    expected = (2 * base[:2, 0, 0, 1] - 1) + 10 * (2 * base[1:3, 0, 0, 2] - 1)
    for _ in range(2):
        assert metrics.lpips(base[:2], base[1:3]).frames == pytest.approx(tuple(expected), abs=1e-5)
    assert made == [{"net": "alex", "verbose": False}]  # once
    metrics._lpips_network.cache_clear()


def test_an_lpips_that_cannot_load_its_weights_is_missing(base: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise EOFError("truncated")

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=fail))
    metrics._lpips_network.cache_clear()
    assert "truncated" in str(similarity(base[:1], base[:1], fps=8)["lpips"].reason)


@pytest.mark.parametrize(
    "script",
    [
        'echo "No such filter: libvmaf" >&2; exit 8',
        "kill -11 $$",
        "exit 0",
        'for a; do :; done; echo "n: 1 XPSNR y: 30 XPSNR u: 30 XPSNR v: 30" | tee vmaf > xpsnr',
        "echo '{\"frames\": [{}]}' | tee vmaf > xpsnr",
    ],
)
def test_a_broken_ffmpeg_takes_only_its_own_metrics(
    base: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    block = similarity(base[:2], base[:2], fps=8)
    assert block["vmaf"].mean is None
    assert block["vmaf"].reason
    assert block["xpsnr"].mean is None
    assert "ffmpeg" in str(block["xpsnr"].reason)
    assert block["psnr"].mean == 100.0


def test_an_ffmpeg_without_vmaf_still_gives_xpsnr(
    base: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(f'#!/bin/sh\ncase "$*" in *libvmaf*) exit 8;; esac\nexec {video.ffmpeg()} "$@"')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    whole = similarity(base[:3] * 0.9, base[:3], fps=8)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    block = similarity(base[:3] * 0.9, base[:3], fps=8)
    assert block["vmaf"].mean is None
    assert "code 8" in str(block["vmaf"].reason)
    assert block["xpsnr"] == whole["xpsnr"]


def test_what_was_computed_while_the_video_was_written_is_what_is_computed_now(base: np.ndarray) -> None:
    other = noisy(base, 0.03)
    own = own_similarity(other, base, fps=8)
    assert set(own) < set(KINDS)
    assert similarity(other, base, 8, own) == similarity(other, base, 8)
    taken = own | {"psnr": metrics.missing("taken over")}
    assert similarity(other, base, 8, taken)["psnr"].reason == "taken over"


def test_what_cannot_be_compared_is_the_same_reason_both_times(base: np.ndarray) -> None:
    own = own_similarity(base[:2], base, fps=8)
    assert own == similarity(base[:2], base, 8, own)
    assert "the baseline" in str(own["ssim"].reason)


def test_measured_together_vmaf_and_xpsnr_are_what_they_are_alone(base: np.ndarray) -> None:
    noise = np.random.default_rng(4).standard_normal(base.shape, dtype=np.float32)
    run = np.clip(base + 0.05 * noise, 0.0, 1.0)
    block = similarity(run, base, fps=8)
    assert block["vmaf"] == metrics.vmaf(run, base, 8)
    assert block["xpsnr"] == metrics.xpsnr(run, base, 8)


def test_vmaf_and_xpsnr_come_from_one_pass_of_ffmpeg(base: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, start = [], video._started
    monkeypatch.setattr(video, "_started", lambda command, folder: begun.append(command) or start(command, folder))
    assert similarity(noisy(base[:2], 0.05), base[:2], fps=8)["vmaf"].mean is not None
    assert len(begun) == 1


def test_a_missing_ffmpeg_is_named_with_the_remedy(
    base: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    block = similarity(base[:2], base[:2], fps=8)
    for name in ("vmaf", "xpsnr"):
        assert block[name].mean is None
        assert "pip install imageio-ffmpeg" in str(block[name].reason)


def test_an_ffmpeg_that_hangs_is_ended(base: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexec sleep 60")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    monkeypatch.setattr(video, "TIMEOUT_S", 0.2)
    assert "was ended" in str(similarity(base[:2], base[:2], fps=8)["vmaf"].reason)


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


def test_a_metric_and_its_kind_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Metric(mean=1.0, min=1.0, frames=(1.0,)).mean = 2.0  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        KINDS["psnr"].label = "other"  # type: ignore[misc]


def test_a_metric_is_plain_json(ladder: list[dict[str, Metric]]) -> None:
    for metric in ladder[0].values():
        text = metric.model_dump_json()
        assert set(json.loads(text)) == {"mean", "min", "frames", "reason"}
        assert Metric.model_validate_json(text) == metric


def test_the_heat_map_is_black_where_equal_and_brightens_with_the_difference(base: np.ndarray) -> None:
    assert heatmap(base, base).max() == 0.0
    steps = np.linspace(0, 0.25, 6, dtype=np.float32)
    run = np.zeros((6, 4, 4, 3), np.float32) + steps.reshape(6, 1, 1, 1)
    shown = heatmap(run, np.zeros_like(run), gain=4)
    assert shown.shape == run.shape
    assert shown.dtype == np.float32
    assert shown.min() >= 0
    assert shown.max() <= 1
    light = shown.mean(axis=(1, 2)) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all()
    assert shown[-1, 0, 0] == pytest.approx(HEAT[-1])


def test_the_heat_map_shows_broken_frames_as_the_brightest(base: np.ndarray) -> None:
    broken = base.copy()
    broken[0, 0, 0] = np.nan
    assert heatmap(broken, base)[0, 0, 0] == pytest.approx(HEAT[-1])


def test_the_heat_map_refuses_other_shapes_and_gains(base: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="128x64"):
        heatmap(base[:, :64], base)
    for gain in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InvalidInput, match="gain"):
            heatmap(base, base, gain)


@pytest.mark.parametrize(("amount", "value"), [(0.02, 0.992852), (0.1, 0.879221), (0.3, 0.563027)])
def test_ms_ssim_agrees_with_the_reference_package(amount: float, value: float) -> None:
    """The values are those of pytorch-msssim 1.0.0 in double precision on these frames."""
    frames = moving(1, 192, 176)
    assert mean(metrics.ms_ssim(noisy(frames, amount), frames)) == pytest.approx(value, abs=1e-4)
