"""Deep context fusion [P]: before each block, a level's tokens meet the aligned features of all levels below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.hpdm.hpdm_config import Axes, HpdmConfig
from engine.hpdm.nested_patches import box, centres, inside


@dataclass(frozen=True, slots=True)
class Alignment:
    """Weights that trilinearly sample a parent's cells at the child's cell centres, in two factors.

    `time` (B, f', f); `space` (B, h' w', h w). The box is aligned with the axes, so that trilinear sampling
    (`grid_sample` with border padding, align_corners=False) is a product of small matrices, cheap to differentiate.
    """

    time: Tensor
    space: Tensor

    def __call__(self, cells: Tensor) -> Tensor:
        """Cells (B, f h w, d) of the parent at the child's centres, (B, f' h' w', d)."""
        b, _, d = cells.shape
        f, inner = self.time.shape[-1], self.space.shape[-1]
        out = self.space[:, None] @ cells.view(b, f, inner, d)  # (B, f, h' w', d)
        return (self.time @ out.flatten(2)).view(b, -1, d)  # (B, f' h' w', d)


def axis_weights(q: Tensor, cells: int) -> Tensor:
    """Linear interpolation at positions q (B, n') of [0, 1] from the centres of `cells` cells: (B, n', cells)."""
    p = (q * cells - 0.5).clamp(0, cells - 1)
    return (1 - (p[..., None] - torch.arange(cells, dtype=q.dtype)).abs()).clamp(min=0)


def alignment(
    config: HpdmConfig, child: tuple[int, Tensor], parent: tuple[int, Tensor], grid: Axes, like: Tensor
) -> Alignment:
    """How a child samples its parent, both (level, offsets (B, 3)), for patches of `grid` cells; equation 8 [P]."""
    t, y, x = _axes(config, child, parent, grid)
    space = torch.einsum("bij,bkl->bikjl", y, x).flatten(3).flatten(1, 2)  # (B, h' w', h w)
    return Alignment(t.to(like), space.to(like))


def _axes(config: HpdmConfig, child: tuple[int, Tensor], parent: tuple[int, Tensor], grid: Axes) -> list[Tensor]:
    """Weights along frames, rows and columns, (B, n', n) each."""
    extent, corner = inside(config, child, parent)
    return [axis_weights(extent[a] * centres(grid[a]) + corner[:, a, None], grid[a]) for a in range(3)]


def pixels_below(config: HpdmConfig, child: tuple[int, Tensor], offsets: Tensor, pixels: Tensor) -> Tensor:
    """The parent's patch (B, C, f, h, w) at `offsets`, trilinearly at the child's pixels, (B, C, f, h, w)."""
    t, y, x = (w.to(pixels)[:, None] for w in _axes(config, child, (child[0] - 1, offsets), config.patch))
    out = y[:, :, None] @ pixels @ x[:, :, None].mT
    return (t @ out.flatten(3)).view(pixels.shape)


def coordinates(config: HpdmConfig, level: int, offsets: Tensor, like: Tensor) -> Tensor:
    """Absolute centres of a patch's tokens in [-1, 1], (B, n, 3).

    Equation 9 has three channels while a patch has four coordinates; token centres hold both scale and offset [I].
    Raw, since sinusoidal embeddings diverged [P].
    """
    extent, corner = box(config, level, offsets)
    axes = [2 * (extent[a] * centres(n) + corner[:, a, None]) - 1 for a, n in enumerate(config.token_grid)]
    t, y, x = axes  # (B, n) each
    b, f, h, w = len(t), t.shape[1], y.shape[1], x.shape[1]
    full = (b, f, h, w)
    parts = (t[:, :, None, None], y[:, None, :, None], x[:, None, None, :])
    return torch.stack([p.expand(full) for p in parts], -1).flatten(1, 3).to(like)


class DeepContextFusion(nn.Module):
    """Equations 7 and 9 [P]: mean over the levels below, concatenation with own tokens and coordinates, linear.

    The printed a_{l-1} of equation 7 is read as a_k. Weights are a block's own, shared by its levels [I]. The paper is
    silent on how the linear map starts: as torch's ("random"), or, ours, as the identity on a level's own tokens.
    """

    def __init__(self, config: HpdmConfig) -> None:
        super().__init__()
        self.detach, self.raw = config.detach, config.coordinates
        self.linear = nn.Linear(2 * config.dim + (3 if self.raw else 0), config.dim)
        if config.fusion_init == "identity":
            with torch.no_grad():
                self.linear.weight.mul_(0.1)
                self.linear.weight[:, : config.dim] = torch.eye(config.dim)
                self.linear.bias.zero_()

    def forward(self, tokens: Tensor, below: Sequence[Tensor], aligned: Sequence[Alignment], where: Tensor) -> Tensor:
        """tokens (B, n, d), each of `below` (B, n, d), `where` (B, n, 3) to (B, n, d)."""
        sources = [a.detach() for a in below] if self.detach else list(below)
        context = torch.stack([at(a) for at, a in zip(aligned, sources, strict=True)]).mean(0)
        parts = [tokens, context, where] if self.raw else [tokens, context]
        return self.linear(torch.cat(parts, -1))  # (B, n, 2d + 3) -> (B, n, d)
