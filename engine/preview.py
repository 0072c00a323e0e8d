"""A cheap look at x0: a linear map from latent channels to RGB, fitted once per VAE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

IMAGES = 24


@dataclass(frozen=True)
class LatentPreview:
    """Weights (C + 1, 3) and the share of colour variance they explain on images kept apart (R², at most 1)."""

    weights: Tensor
    r2: float

    def __call__(self, x0: Tensor) -> np.ndarray:
        """Clean latents (C, T, h, w), normalised as the transformer sees them -> uint8 (T, h, w, 3)."""
        cells = x0.float().cpu().permute(1, 2, 3, 0)  # (T, h, w, C)
        rgb = cells @ self.weights[:-1] + self.weights[-1]  # (T, h, w, 3)
        return (rgb.clamp(-1, 1) * 127.5 + 127.5).round().byte().numpy()


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


@torch.no_grad()
def fit_preview(vae: Any, stride: int, side: int = 16) -> LatentPreview:
    """Fit on smooth synthetic stills: their normalised latents against the mean colour of each latent cell."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((IMAGES, 3, 5, 5), generator=generator) * 2 - 1
    images = F.interpolate(coarse, size=(side * stride, side * stride), mode="bicubic").clamp(-1, 1)
    parameter = next(vae.parameters())
    latents = vae.encode(images[:, :, None].to(parameter)).latent_dist.mode()[:, :, 0].float().cpu()  # (N, C, h, w)
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1)
    cells = ((latents - mean) / std).permute(0, 2, 3, 1)  # (N, h, w, C)
    colours = F.adaptive_avg_pool2d(images, cells.shape[1:3]).permute(0, 2, 3, 1)  # (N, h, w, 3)
    cells = torch.cat([cells, torch.ones_like(cells[..., :1])], dim=-1)
    half = IMAGES // 2
    weights = torch.linalg.lstsq(cells[:half].flatten(0, 2), colours[:half].flatten(0, 2)).solution
    unseen = colours[half:]
    r2 = 1 - float(((cells[half:] @ weights - unseen) ** 2).sum() / ((unseen - unseen.mean()) ** 2).sum())
    return LatentPreview(weights, r2)
