"""SSIM and MS-SSIM of a frame in one pass: every moment is filtered once a scale, and serves both.

Wang et al. 2004 and 2003, with the Gaussian window 11x11 of sigma 1.5, k1 0.01, k2 0.03 at data range 1, a channel at a
time, over the pixels whose window lies inside the frame. scikit-image filters channel by channel and does not give the
two factors apart, which MS-SSIM needs; tests hold the results equal to its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WINDOW = 11  # side of the window, in pixels
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2


def ssim_of(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of two float frames (H, W, 3) in [0, 1], -1 to 1; sides from 11 pixels."""
    luminance, contrast = _factors(_wide(a), _wide(b))
    return float((luminance * contrast).mean())


def both_of(a: np.ndarray, b: np.ndarray, weights: Sequence[float]) -> tuple[float, float]:
    """SSIM, and MS-SSIM over as many scales as there are weights, finest first; each half the one before."""
    a, b, product, ssim = _wide(a), _wide(b), np.ones(3), 0.0
    for scale, weight in enumerate(weights):
        if scale:
            a, b = _halved(a), _halved(b)
        luminance, contrast = _factors(a, b)
        if scale == 0:
            ssim = float((luminance * contrast).mean())
        if scale == len(weights) - 1:
            contrast = contrast * luminance
        product *= np.maximum(contrast.mean(axis=(0, 1)), 0.0) ** weight
    return ssim, float(product.mean())


def _factors(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance, and contrast times structure, at every pixel and channel that the window reaches. (h, w, 3) each."""
    mean_a, mean_b = _filtered(a), _filtered(b)
    squares, product = mean_a**2 + mean_b**2, mean_a * mean_b
    spread = _filtered(a * a + b * b) - squares  # both variances, summed
    shared = _filtered(a * b) - product
    return (2 * product + C1) / (squares + C1), (2 * shared + C2) / (spread + C2)


def _filtered(x: np.ndarray) -> np.ndarray:
    """The window's mean where it lies inside the frame. (H, W, 3) -> (H - 10, W - 10, 3)."""
    from scipy.ndimage import correlate1d

    edge = WINDOW // 2
    offsets = np.arange(-edge, edge + 1)
    window = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    window /= window.sum()
    rows = correlate1d(x, window, axis=0)[edge:-edge]
    return correlate1d(rows, window, axis=1)[:, edge:-edge]


def _halved(frame: np.ndarray) -> np.ndarray:
    """Half the height and width by 2x2 means; an odd last row or column is left out."""
    height, width = frame.shape[0] // 2, frame.shape[1] // 2
    return frame[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).mean(axis=(1, 3))


def _wide(frame: np.ndarray) -> np.ndarray:
    return frame.astype(np.float64)
