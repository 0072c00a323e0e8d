"""SSIM and MS-SSIM of a frame in one pass: every moment is filtered once a scale, and serves both.

Wang et al. 2004 and 2003, with the Gaussian window 11x11 of sigma 1.5, k1 0.01, k2 0.03 at data range 1, a channel at a
time, over the pixels whose window lies inside the frame. scikit-image filters channel by channel and does not give the
two factors apart, which MS-SSIM needs; tests hold the results equal to its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

WINDOW = 11  # side of the window, in pixels
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2
EDGES, BLOCK = WINDOW - 1, 32  # of 16 to 118 the fastest beside other work


def ssim_of(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of two float frames (H, W, 3) in [0, 1], -1 to 1; sides from 11 pixels."""
    luminance, contrast = _factors(_planes(a), _planes(b))
    return float((luminance * contrast).mean(dtype=np.float64))


def both_of(a: np.ndarray, b: np.ndarray, weights: Sequence[float]) -> tuple[float, float]:
    """SSIM, and MS-SSIM over as many scales as there are weights, finest first; each half the one before."""
    a, b, product, ssim = _planes(a), _planes(b), np.ones(3), 0.0
    for scale, weight in enumerate(weights):
        if scale:
            a, b = _halved(a), _halved(b)
        luminance, contrast = _factors(a, b)
        if scale == 0:
            ssim = float((luminance * contrast).mean(dtype=np.float64))
        if scale == len(weights) - 1:
            contrast = contrast * luminance
        product *= np.maximum(contrast.mean(axis=(1, 2), dtype=np.float64), 0.0) ** weight
    return ssim, float(product.mean())


def _factors(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance, and contrast times structure, at every channel and pixel that the window reaches. (3, h, w) each."""
    mean_a, mean_b = _filtered(a), _filtered(b)
    squares, product = mean_a**2 + mean_b**2, mean_a * mean_b
    spread = _filtered(a * a + b * b) - squares  # both variances, summed
    shared = _filtered(a * b) - product
    return (2 * product + C1) / (squares + C1), (2 * shared + C2) / (spread + C2)


def _filtered(x: np.ndarray) -> np.ndarray:
    """The window's mean where it lies inside the frame. (3, H, W) -> (3, H - 10, W - 10).

    A block of outputs at a time is a small matrix product: the same number of operations a pixel at any size.
    """
    rows = [_WINDOWS[:n, : n - EDGES].T @ x[:, at : at + n, :] for at, n in _blocks(x.shape[1])]
    x = np.concatenate(rows, axis=1)  # (3, H - 10, W)
    columns = [x[:, :, at : at + n] @ _WINDOWS[:n, : n - EDGES] for at, n in _blocks(x.shape[2])]
    return np.concatenate(columns, axis=2)


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    """Where each block of inputs begins, and how long it is."""
    for at in range(0, length - EDGES, BLOCK):
        yield at, min(BLOCK, length - EDGES - at) + EDGES


def _windows() -> np.ndarray:
    """Columns of the window, each shifted by one. (BLOCK + 10, BLOCK) float32."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    window = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    result = np.zeros((BLOCK + EDGES, BLOCK), dtype=np.float32)
    for column in range(BLOCK):
        result[column : column + WINDOW, column] = window / window.sum()
    return result


_WINDOWS = _windows()


def _halved(frame: np.ndarray) -> np.ndarray:
    """Half the height and width by 2x2 means; an odd last row or column is left out. (3, H, W) -> (3, H/2, W/2)."""
    height, width = frame.shape[1] // 2 * 2, frame.shape[2] // 2 * 2
    x = frame[:, :height, :width]
    return (x[:, ::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, ::2] + x[:, 1::2, 1::2]) / 4


def _planes(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (3, H, W), float32."""
    return np.ascontiguousarray(frame.transpose(2, 0, 1), dtype=np.float32)
