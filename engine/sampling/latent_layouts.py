"""How each family lays its latents out in memory, and the one form that policies work on: (B, C, T, h, w).

`grid` reads what a pipeline prepares or a scheduler steps; `ungrid` writes a grid back into what the pipeline prepared
at that size, and leaves what lies beside it (a held first frame, condition channels) as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from engine.schedules.latent_sizes import LatentSize


@dataclass(frozen=True)
class Layout:
    """One way to lay latents out. `read(x, size)` gives (B, C, T, h, w); `write(grid)` is its inverse.

    Numbers only move: dtype and device are kept, and both may give a view. Raises RuntimeError for another shape.
    """

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

        May be a view. Where the first frame is a condition's, schedulers step the others, and maybe unpacked.
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


def _read_packed(x: Tensor, size: LatentSize) -> Tensor:
    """FLUX's 2x2 blocks."""
    return rearrange(x, "b (h w) (c p q) -> b c 1 (h p) (w q)", h=size.height // 2, w=size.width // 2, p=2, q=2)


def _write_packed(grid: Tensor) -> Tensor:
    return rearrange(grid, "b c 1 (h p) (w q) -> b (h w) (c p q)", p=2, q=2)


def _read_tokens(x: Tensor, size: LatentSize) -> Tensor:
    return rearrange(x, "b (t h w) c -> b c t h w", t=size.frames, h=size.height, w=size.width)


LAYOUTS = {
    "video": Layout(lambda x, size: x, lambda grid: grid),
    "frames_first": Layout(
        lambda x, size: rearrange(x, "b t c h w -> b c t h w"), lambda grid: rearrange(grid, "b c t h w -> b t c h w")
    ),
    "channels_last": Layout(
        lambda x, size: rearrange(x, "b t h w c -> b c t h w"),
        lambda grid: rearrange(grid, "b c t h w -> b t h w c"),
        channels_last=True,
    ),
    "image": Layout(
        lambda x, size: rearrange(x, "b c h w -> b c 1 h w"), lambda grid: rearrange(grid, "b c 1 h w -> b c h w")
    ),
    "packed": Layout(_read_packed, _write_packed),
    "tokens": Layout(_read_tokens, lambda grid: rearrange(grid, "b c t h w -> b (t h w) c")),
}  # by name: one for each of `engine.models.families.LayoutName`
