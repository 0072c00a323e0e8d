"""Frames to compare."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from engine.measuring.similarity import Metric


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
