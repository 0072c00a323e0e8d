"""Videos as they are measured: float32 (T, H, W, 3) in [0, 1], checked once."""

from __future__ import annotations

import numpy as np

from engine.errors import InvalidInput


def as_frames(field: str, frames: np.ndarray) -> np.ndarray:
    """The frames as float32, clipped of rounding only. Raises InvalidInput for what are no frames."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InvalidInput(field, f"{field} must have the shape (T, H, W, 3), got {frames.shape}.")
    if not np.issubdtype(frames.dtype, np.floating):
        raise InvalidInput(field, f"{field} must be floats from 0 to 1, got {frames.dtype}: divide by 255.")
    if frames.dtype == np.float32 and frames.min() >= 0.0 and frames.max() <= 1.0:  # NaN fails both
        return frames
    finite = frames[np.isfinite(frames)]
    if finite.size and (finite.min() < -1e-3 or finite.max() > 1 + 1e-3):
        raise InvalidInput(field, f"{field} must lie in 0..1, got {finite.min():.3g} to {finite.max():.3g}.")
    return np.where(np.isfinite(frames), np.clip(frames, 0.0, 1.0), np.nan).astype(np.float32)


def told_size(frames: np.ndarray) -> str:
    """Width x height, for people."""
    return f"{frames.shape[2]}x{frames.shape[1]}"


def told_difference(run: np.ndarray, base: np.ndarray) -> str:
    """How the sizes of two videos differ, for people."""
    sizes = [f"{len(frames)} frames of {told_size(frames)}" for frames in (run, base)]
    return f"the run has {sizes[0]}, the baseline {sizes[1]}"
