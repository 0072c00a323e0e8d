"""SSIM and MS-SSIM, held against scikit-image, pytorch-msssim's sizes and their formulas written anew."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from engine.measuring import similarity as measures
from engine.measuring.similarity import similarity
from tests.measuring.frames import mean, moving, noisy


def test_ssim_agrees_with_scikit_image(base: np.ndarray) -> None:
    other = noisy(base, 0.05)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = [structural_similarity(a, b, channel_axis=-1, **options) for a, b in zip(other, base, strict=True)]
    assert measures.ssim(other, base).frames == pytest.approx(expected, abs=1e-4)


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
    assert mean(measures.ssim(a, b)) == pytest.approx(ssim, abs=1e-5)
    assert mean(block["ssim"]) == pytest.approx(ssim, abs=1e-5)
    if scales:
        assert mean(measures.ms_ssim(a, b)) == pytest.approx(ms_ssim, abs=2e-5)
        assert mean(block["ms_ssim"]) == pytest.approx(ms_ssim, abs=2e-5)


def test_psnr_ssim_and_flicker_do_not_mind_the_order(base: np.ndarray) -> None:
    other = noisy(base, 0.05)
    for compute in (measures.psnr, measures.ssim, measures.ms_ssim, measures.flicker):
        assert mean(compute(other, base)) == pytest.approx(mean(compute(base, other)), rel=1e-5)


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


@pytest.mark.parametrize(("height", "width"), [(10, 20), (20, 10)])
def test_ssim_needs_a_whole_window_both_ways(height: int, width: int) -> None:
    frames = moving(1, height, width)
    assert f"11x11 pixels, got {width}x{height}" in str(similarity(frames, frames, fps=8)["ssim"].reason)


@pytest.mark.parametrize(("amount", "value"), [(0.02, 0.992852), (0.1, 0.879221), (0.3, 0.563027)])
def test_ms_ssim_agrees_with_the_reference_package(amount: float, value: float) -> None:
    """The values are those of pytorch-msssim 1.0.0 in double precision on these frames."""
    frames = moving(1, 192, 176)
    assert mean(measures.ms_ssim(noisy(frames, amount), frames)) == pytest.approx(value, abs=1e-4)
