"""A cheap look at x0: a linear map from latent channels to RGB, fitted once per autoencoder; else one small frame.

The map's R² on pictures kept apart says what it is worth. Under `GOOD` its errors are more than half as large as the
contrast of the pictures themselves, and one frame is decoded at a small size in its place: slower, but true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from engine.models.latent_space import LatentSpace
from engine.schedules.latent_sizes import Geometry

IMAGES = 24
BATCH = 1  # pictures encoded at a time: their memory stays that of a small one, and one autoencoder takes no more
SIDE = 16  # cells of a fitted picture
GOOD = 0.75  # R²: 1 - 0.5², errors of half the contrast
SMALL_SIDE = 192  # pixels of a decoded frame, at most about


class LatentPreview(Protocol):
    """`r2` is the linear map's, at most 1: the share of colour variance that it explains."""

    @property
    def r2(self) -> float: ...

    def __call__(self, x0: Tensor) -> np.ndarray:
        """Clean latents (C, T, h, w), normalised as the model sees them, any device -> uint8 (T or 1, h, w, 3)."""


@dataclass(frozen=True)
class LinearPreview:
    """Weights (C + 1, 3): one pixel a latent cell, all frames."""

    weights: Tensor
    r2: float

    def __call__(self, x0: Tensor) -> np.ndarray:
        cells = rearrange(x0.float().cpu(), "c t h w -> t h w c")
        return _bytes(cells @ self.weights[:-1] + self.weights[-1])  # (T, h, w, 3)


@dataclass(frozen=True)
class FramePreview:
    """The middle frame, decoded at a size of at most `cells` on its longer side, in multiples of `patch`."""

    space: LatentSpace
    cells: int
    patch: int
    r2: float

    def __call__(self, x0: Tensor) -> np.ndarray:
        frame = x0[None, :, x0.shape[1] // 2].float().cpu()  # (1, C, h, w)
        scale = min(1.0, self.cells / max(frame.shape[-2:]))
        size = [max(1, int(side * scale) // self.patch) * self.patch for side in frame.shape[-2:]]
        small = F.interpolate(frame, size=size, mode="area")
        return _bytes(rearrange(self.space.decode(small).nan_to_num(), "n c h w -> n h w c"))


class Glance:
    """A step's preview on demand, as long as the callback that got it runs: a kept event keeps no latents."""

    def __init__(self, preview: Callable[[], LatentPreview] | None, x0: Callable[[], Tensor]) -> None:
        """`x0` gives clean latents (C, T, h, w)."""
        self._preview = preview
        self._x0: Callable[[], Tensor] | None = x0

    def __call__(self) -> np.ndarray:
        if self._preview is None or self._x0 is None:
            raise LookupError("a preview can be asked for only while its step is reported, in a run that has one")
        return self._preview()(self._x0())

    def expire(self) -> None:
        self._x0 = None


def preview_of(vae: Any, geometry: Geometry, device: torch.device | None = None, linear: bool = False) -> LatentPreview:
    """The linear map where it is good or `linear` is asked for, else decoding of one small frame.

    Where whole networks take turns on the card, decoding would send the denoiser away in the middle of its loop, and
    the next step would pay for its return: there a rough map is better than a true picture.
    """
    fitted = fit_preview(vae, geometry.stride[1], device=device)
    if linear or fitted.r2 >= GOOD:
        return fitted
    side = max(geometry.patch[1], SMALL_SIDE // geometry.stride[1])
    return FramePreview(LatentSpace(vae, device), side, geometry.patch[1], fitted.r2)


def fit_preview(vae: Any, stride: int, side: int = SIDE, device: torch.device | None = None) -> LinearPreview:
    """Fit on smooth synthetic stills: their normalised latents against the mean colour of each latent cell."""
    generator, space = torch.Generator().manual_seed(0), LatentSpace(vae, device)
    coarse = torch.rand((IMAGES, 3, 5, 5), generator=generator) * 2 - 1
    images = F.interpolate(coarse, size=(side * stride, side * stride), mode="bicubic").clamp(-1, 1)
    cells = rearrange(torch.cat([space.encode(batch) for batch in images.split(BATCH)]), "n c h w -> n h w c")
    colours = rearrange(F.adaptive_avg_pool2d(images, (side, side)), "n rgb h w -> n h w rgb")
    cells = torch.cat([cells, torch.ones_like(cells[..., :1])], dim=-1)
    half = IMAGES // 2
    rows, wanted = (rearrange(x[:half], "n h w c -> (n h w) c") for x in (cells, colours))
    weights = torch.linalg.lstsq(rows, wanted).solution
    unseen = colours[half:]
    r2 = 1 - float(((cells[half:] @ weights - unseen) ** 2).sum() / ((unseen - unseen.mean()) ** 2).sum())
    return LinearPreview(weights, r2)


def _bytes(rgb: Tensor) -> np.ndarray:
    return (rgb.clamp(-1, 1) * 127.5 + 127.5).round().byte().numpy()
