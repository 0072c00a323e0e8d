"""Patches to tokens and back: linear, as in RIN [R]; one tokeniser for all levels [I]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.hpdm.hpdm_config import Axes, HpdmConfig


def patchify(x: Tensor, token: Axes) -> Tensor:
    """(B, C, F, H, W) to (B, n, C t h w), tokens in the order frames, rows, columns."""
    t, h, w = token
    x = x.unflatten(4, (-1, w)).unflatten(3, (-1, h)).unflatten(2, (-1, t))  # (B, C, f, t, y, h, x, w)
    return x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)


def unpatchify(tokens: Tensor, grid: Axes, token: Axes) -> Tensor:
    """The inverse of `patchify` for a patch of `grid` tokens."""
    t, h, w = token
    x = tokens.unflatten(2, (-1, t, h, w)).unflatten(1, grid)  # (B, f, y, x, C, t, h, w)
    return x.permute(0, 4, 1, 5, 2, 6, 3, 7).flatten(6).flatten(4, 5).flatten(2, 3)


class Tokenizer(nn.Module):
    """Linear, LayerNorm, learned positions within the patch."""

    def __init__(self, config: HpdmConfig) -> None:
        super().__init__()
        f, h, w = config.token_grid
        t, y, x = config.token
        channels = config.channels * (2 if config.pixels_beside else 1)
        self.token = config.token
        self.linear, self.norm = nn.Linear(channels * t * y * x, config.dim), nn.LayerNorm(config.dim)
        self.positions = nn.Parameter(0.02 * torch.randn(f * h * w, config.dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, H, W) to (B, n, d)."""
        return self.norm(self.linear(patchify(x, self.token))) + self.positions


class Detokenizer(nn.Module):
    """LayerNorm, Linear that starts at zero, pixels."""

    def __init__(self, config: HpdmConfig) -> None:
        super().__init__()
        self.grid, self.token = config.token_grid, config.token
        t, y, x = config.token
        self.norm, self.linear = nn.LayerNorm(config.dim), nn.Linear(config.dim, config.channels * t * y * x)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, n, d) to (B, C, F, H, W)."""
        return unpatchify(self.linear(self.norm(tokens)), self.grid, self.token)
