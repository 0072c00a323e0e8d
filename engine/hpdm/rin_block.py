"""The RIN block: read, compute, write ([R], with four layers of compute in [P])."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention of (B, m, d_q) on (B, n, d_kv); the inner width is the smaller of the two. [R]"""

    def __init__(self, query_dim: int, key_dim: int, heads: int) -> None:
        super().__init__()
        self.heads, inner = heads, min(query_dim, key_dim)
        self.query = nn.Linear(query_dim, inner)
        self.key_value = nn.Linear(key_dim, 2 * inner)
        self.out = nn.Linear(inner, query_dim)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        q = rearrange(self.query(x), "b m (heads e) -> b heads m e", heads=self.heads)
        k, v = rearrange(self.key_value(source), "b n (two heads e) -> two b heads n e", two=2, heads=self.heads)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(rearrange(mixed, "b heads m e -> b m (heads e)"))  # (B, m, d_q)


class Mlp(nn.Sequential):
    """LayerNorm, Linear, GELU, Linear, ratio 4. [R]"""

    def __init__(self, dim: int) -> None:
        super().__init__(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))


class Compute(nn.Module):
    """One layer of self-attention among the latents."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm, self.attention, self.mlp = nn.LayerNorm(dim), Attention(dim, dim, heads), Mlp(dim)

    def forward(self, z: Tensor) -> Tensor:
        h = self.norm(z)
        z = z + self.attention(h, h)
        return z + self.mlp(z)


class RinBlock(nn.Module):
    """Latents (B, m, d') read the tokens (B, n, d), compute among themselves, and are written back to the tokens."""

    def __init__(self, dim: int, latent_dim: int, compute: int, heads: int) -> None:
        super().__init__()
        self.read_norm, self.read, self.read_mlp = (
            nn.LayerNorm(latent_dim), Attention(latent_dim, dim, heads), Mlp(latent_dim),
        )  # fmt: skip
        self.compute = nn.ModuleList(Compute(latent_dim, heads) for _ in range(compute))
        self.write_norm, self.write, self.write_mlp = nn.LayerNorm(dim), Attention(dim, latent_dim, heads), Mlp(dim)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        z = z + self.read(self.read_norm(z), x)
        z = z + self.read_mlp(z)
        for layer in self.compute:
            z = layer(z)
        x = x + self.write(self.write_norm(x), z)
        return x + self.write_mlp(x), z
