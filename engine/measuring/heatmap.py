"""Heat-maps: where a run differs from the baseline, in colours from black to pale yellow."""

from __future__ import annotations

import math

import numpy as np

from engine.errors import InvalidInput
from engine.measuring.frames import as_frames, told_difference


def heatmap(frames: np.ndarray, baseline: np.ndarray, gain: float = 4.0) -> np.ndarray:
    """Where the run differs from the baseline: float32 (T, H, W, 3) in [0, 1], black where they are equal.

    Legend: colour = root mean square of the RGB difference times `gain`, clipped at 1: black 0, violet
    0.25, red 0.5, orange 0.75, pale yellow 1. With gain 4 pale yellow is a difference of 64 of 255 or
    more. Raises InvalidInput where the shapes differ.
    """
    run, base = as_frames("frames", frames), as_frames("baseline", baseline)
    if run.shape != base.shape:
        raise InvalidInput("frames", f"{told_difference(run, base)}.")
    if not 0 < gain < math.inf:
        raise InvalidInput("gain", f"gain must be above 0, got {gain}.")
    red, green, blue = (np.square(run[..., n] - base[..., n]) for n in range(3))  # a mean over three is slow
    level = np.clip(np.nan_to_num(np.sqrt((red + green + blue) / 3) * gain, nan=1.0), 0.0, 1.0)
    return HEAT.take(np.rint(level * (len(HEAT) - 1)).astype(np.uint8), axis=0)


def _heat_colours() -> np.ndarray:
    """256 RGB colours (256, 3) from black over violet, red and orange to pale yellow, ever lighter."""
    anchors = np.array([[0, 0, 0], [72, 16, 110], [186, 54, 85], [249, 142, 9], [252, 255, 164]]) / 255.0
    at = np.linspace(0.0, 1.0, len(anchors))
    columns = [np.interp(np.linspace(0.0, 1.0, 256), at, anchors[:, channel]) for channel in range(3)]
    return np.stack(columns, axis=-1).astype(np.float32)


HEAT = _heat_colours()
