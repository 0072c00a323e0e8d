"""The pyramid: every level's whole video, and nested patches of it at integer coordinates."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.hpdm.hpdm_config import Axes, HpdmConfig


def pyramid(video: Tensor, config: HpdmConfig) -> list[Tensor]:
    """Level videos, coarsest first, by mean pooling of `video` (B, C, F, H, W), which is the finest level's. [I]

    The paper resamples patches trilinearly at the lower levels and takes integer coordinates at the last one only,
    because anything else blurs; on a mean-pooled pyramid every level can have integer coordinates.
    """
    out = [video]
    for _ in range(config.levels - 1):
        out.append(F.avg_pool3d(out[-1], config.grow))  # (B, C, F/g, H/g, W/g)
    return out[::-1]


def draw_offsets(config: HpdmConfig, count: int, rng: np.random.Generator) -> list[Tensor]:
    """Integer offsets (count, 3) of nested patches, one a level, in pixels of that level. Bottom-up [I].

    The finest offset is uniform; each parent is uniform among those that contain its child. The paper draws top-down,
    which hardly ever reaches the borders that tiled inference has to fill.
    """
    top = config.levels - 1
    room = np.array(config.size(top)) - np.array(config.patch)
    offset = rng.integers(0, room + 1, size=(count, 3))
    out = [offset]
    for level in range(top - 1, -1, -1):
        low, high = parent_range(config, offset, level)
        offset = rng.integers(low, high + 1)
        out.append(offset)
    return [torch.from_numpy(o) for o in out[::-1]]


def parent_range(config: HpdmConfig, child: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest offset (count, 3) at `level` of a patch that contains the patch `child` of the level above."""
    patch, grow = np.array(config.patch), np.array(config.grow)
    room = np.array(config.size(level)) - patch
    low = np.maximum(0, -(-(child + patch) // grow) - patch)
    high = np.minimum(child // grow, room)
    return low, high


def crop(video: Tensor, offsets: Tensor, patch: Axes) -> Tensor:
    """Patches (B, C, f, h, w) of `video` (B, C, F, H, W) at integer offsets (B, 3)."""
    f, h, w = patch
    rows = [clip[:, t : t + f, y : y + h, x : x + w] for clip, (t, y, x) in zip(video, offsets.tolist(), strict=True)]
    return torch.stack(rows)


def box(config: HpdmConfig, level: int, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Extent s (3,) and corner d (B, 3) of patches in the video's own [0, 1] frame; offsets (B, 3) in pixels."""
    size = torch.tensor(config.size(level), dtype=torch.float64)
    return torch.tensor(config.patch, dtype=torch.float64) / size, offsets.to("cpu", torch.float64) / size


def inside(config: HpdmConfig, child: tuple[int, Tensor], parent: tuple[int, Tensor]) -> tuple[Tensor, Tensor]:
    """Equation 8 [P]: the child's box in the parent's [0, 1] frame, extent (3,) and corner (B, 3).

    Child and parent are (level, offsets (B, 3)).
    """
    (s_l, d_l), (s_k, d_k) = box(config, *child), box(config, *parent)
    return s_l / s_k, (d_l - d_k) / s_k


def centres(count: int) -> Tensor:
    """Centres of `count` equal cells of [0, 1]."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count
