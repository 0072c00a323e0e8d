"""Patches to tokens and back: linear, as in RIN [R]; one tokeniser for all levels [I]."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from engine.hpdm.hpdm_config import Axes, HpdmConfig


def patchify(x: Tensor, token: Axes) -> Tensor:
    """(B, C, F, H, W) to (B, n, C t h w), tokens in the order frames, rows, columns."""
    t, h, w = token
    return rearrange(x, "b c (f t) (y h) (x w) -> b (f y x) (c t h w)", t=t, h=h, w=w)


def unpatchify(tokens: Tensor, grid: Axes, token: Axes) -> Tensor:
    """The inverse of `patchify` for a patch of `grid` tokens."""
    (f, y, x), (t, h, w) = grid, token
    return rearrange(tokens, "b (f y x) (c t h w) -> b c (f t) (y h) (x w)", f=f, y=y, x=x, t=t, h=h, w=w)


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
