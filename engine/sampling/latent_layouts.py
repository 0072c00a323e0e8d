"""How each family lays its latents out in memory, and the one form that policies work on: (B, C, T, h, w).

`grid` reads what a pipeline prepares or a scheduler steps; `ungrid` writes a grid back into what the pipeline prepared
at that size, and leaves what lies beside it (a held first frame, condition channels) as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.schedules.latent_sizes import LatentSize


@dataclass(frozen=True)
class Layout:
    """One way to lay latents out. `read(x, size)` gives (B, C, T, h, w); `write(grid)` is its inverse."""

    read: Callable[[Tensor, LatentSize], Tensor]
    write: Callable[[Tensor], Tensor]
    channels_last: bool = False  # a pipeline may keep condition channels behind the latents' own


@dataclass(frozen=True)
class Adapter:
    """A family's layout for one run: `channels` of its latents, and whether steps may leave the first frame out."""

    layout: Layout
    channels: int
    holds_first: bool = False

    def grid(self, x: Tensor, size: LatentSize) -> Tensor:
        """Latents as a pipeline prepares or a scheduler steps them -> (B, C, T, h, w) or, without the first, T-1.

        Where the first frame is a condition's, steps are given the others, and may be given them unpacked.
        """
        if self._given_unpacked(x, size):
            grid = x
        else:
            grid = self.layout.read(x[..., : self.channels] if self.layout.channels_last else x, size)
        return grid[:, :, 1:] if self.holds_first and grid.shape[2] == size.frames else grid

    def ungrid(self, grid: Tensor, prepared: Tensor, size: LatentSize) -> Tensor:
        """(B, C, T, h, w) -> the prepared latents' shape and dtype, in the place of what they held."""
        return self._written(grid, prepared, size)

    def _written(self, grid: Tensor, prepared: Tensor, size: LatentSize) -> Tensor:
        if self.holds_first:
            first = self.layout.read(prepared, size)[:, : self.channels, :1]  # (B, C, 1, h, w)
            grid = torch.cat([first, grid.to(first)], dim=2)
        written = self.layout.write(grid).to(prepared)
        if self.layout.channels_last and prepared.shape[-1] > self.channels:
            written = torch.cat([written, prepared[..., self.channels :]], dim=-1)
        return written

    def ungrid_step(self, grid: Tensor, stepped: Tensor, size: LatentSize) -> Tensor:
        """What `grid` reads, (B, C, T, h, w), in the shape and dtype of `stepped`, which a scheduler is given."""
        if self._given_unpacked(stepped, size):
            first = stepped[:, :, : stepped.shape[2] - grid.shape[2]]  # (B, C, 0 or 1, h, w)
            return torch.cat([first, grid.to(stepped)], dim=2)
        if self.holds_first and self.layout.read(stepped, size).shape[2] == grid.shape[2]:
            return self.layout.write(grid).to(stepped)
        return self._written(grid, stepped, size)

    def _given_unpacked(self, x: Tensor, size: LatentSize) -> bool:
        return self.holds_first and x.ndim == 5 and x.shape[1] == self.channels and x.shape[-2:] == size.hw


def _unpack(x: Tensor, size: LatentSize) -> Tensor:
    """FLUX's 2x2 blocks: (B, h/2·w/2, 4C) -> (B, C, 1, h, w)."""
    batch, _, cells = x.shape
    blocks = x.view(batch, size.height // 2, size.width // 2, cells // 4, 2, 2)
    return blocks.permute(0, 3, 1, 4, 2, 5).reshape(batch, cells // 4, 1, size.height, size.width)


def _pack(grid: Tensor) -> Tensor:
    """(B, C, 1, h, w) -> (B, h/2·w/2, 4C)."""
    batch, channels, _, height, width = grid.shape
    blocks = grid.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return blocks.reshape(batch, height // 2 * (width // 2), channels * 4)


def _from_tokens(x: Tensor, size: LatentSize) -> Tensor:
    """(B, T·h·w, C) -> (B, C, T, h, w)."""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], size.frames, *size.hw)


def _to_tokens(grid: Tensor) -> Tensor:
    """(B, C, T, h, w) -> (B, T·h·w, C)."""
    return grid.flatten(2).transpose(1, 2)


LAYOUTS = {
    "video": Layout(lambda x, size: x, lambda grid: grid),
    "frames_first": Layout(lambda x, size: x.transpose(1, 2), lambda grid: grid.transpose(1, 2)),  # (B, T, C, h, w)
    "channels_last": Layout(
        lambda x, size: x.permute(0, 4, 1, 2, 3), lambda grid: grid.permute(0, 2, 3, 4, 1), channels_last=True
    ),  # (B, T, h, w, C)
    "image": Layout(lambda x, size: x.unsqueeze(2), lambda grid: grid.squeeze(2)),  # (B, C, h, w)
    "packed": Layout(_unpack, _pack),
    "tokens": Layout(_from_tokens, _to_tokens),
}  # by name: one for each of `engine.models.families.Layout`
