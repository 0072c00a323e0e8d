"""The squared error of frames, and what it is in decibels."""

from __future__ import annotations

import math

import numpy as np

CEILING_DB = 100.0  # PSNR and XPSNR of identical frames: JSON has no infinity


def squared_errors(run: np.ndarray, base: np.ndarray) -> list[float]:
    """The mean squared error of each frame of two videos (T, H, W, 3) in [0, 1], over pixels and RGB channels."""
    from skimage.metrics import mean_squared_error

    return [float(mean_squared_error(b, a)) for a, b in zip(run, base, strict=True)]


def decibels(error: float) -> float:
    """10 log10(1 / error) at data range 1, at most CEILING_DB."""
    return min(10 * math.log10(1 / error), CEILING_DB) if error else CEILING_DB
