"""What the latents of a level start from: learned vectors, the last step's latents, noise level, level and labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from engine.hpdm.hpdm_config import HpdmConfig


class Conditioning(nn.Module):
    """Noise level, level and labels as vectors. That each is one latent token is [R] for time and class."""

    def __init__(self, config: HpdmConfig, width: int = 64) -> None:
        super().__init__()
        dim, self.width = config.latent_dim, width
        self.time = nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.level = nn.Embedding(config.levels, dim)
        self.labels = nn.ModuleList(nn.Embedding(len(names) + 1, dim) for names in config.conditions.values())
        if config.embedding_init != 1:  # torch draws them with a deviation of 1
            for table in (self.level, *self.labels):
                nn.init.normal_(table.weight, std=config.embedding_init)

    def forward(self, level: int, phi: Tensor, labels: Tensor) -> Tensor:
        """phi (B,) and labels (B, conditions), 0 for "not said", to (B, 2 + conditions, d')."""
        half = self.width // 2
        rates = torch.exp(torch.linspace(0, math.log(1000.0), half, device=phi.device))
        angles = phi.float()[:, None] * rates  # (B, half)
        time = self.time(torch.cat([angles.sin(), angles.cos()], -1))
        where = self.level.weight[level].expand(len(phi), -1)
        said = [table(labels[:, i]) for i, table in enumerate(self.labels)]
        return torch.stack([time, where, *said], 1)


class LatentStart(nn.Module):
    """Learned latents, one set for every level (each level owns its copy [I]), with latent self-conditioning.

    Z = learned + LayerNorm(previous + Mlp(previous)), the norm's scale and bias zero at first ([R] [S]; HPDM is
    silent).
    """

    def __init__(self, config: HpdmConfig) -> None:
        super().__init__()
        dim = config.latent_dim
        self.learned = nn.Parameter(0.02 * torch.randn(config.latents, dim))
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.norm = nn.LayerNorm(dim)
        nn.init.zeros_(self.norm.weight)
        nn.init.zeros_(self.norm.bias)

    def forward(self, previous: Tensor | None, count: int) -> Tensor:
        """previous (B, m, d'), zero where there is none, to (B, m, d')."""
        start = self.learned.expand(count, -1, -1)
        if previous is None:
            previous = torch.zeros_like(start)
        return start + self.norm(previous + self.mlp(previous))
