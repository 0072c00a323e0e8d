"""What the runs of one experiment share: the encoded text, the device, and how the baseline begins."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.models.diffusers_private import execution_device
from engine.switching.sigma_tables import Table


@dataclass(frozen=True)
class Start:
    """How a run at full resolution begins: its table, the shift that made it, its noise.

    Every track is measured against this run, so its noise levels and its noise are what theirs derive from.
    """

    table: Table
    shift: float | None  # None where the pipeline's own shift is not one number
    noise: Tensor  # (B, C, T, H, W) float32 on the CPU, of unit variance


@dataclass
class RunMemo:
    """Kept by call number for the text, as prompts may be anything; by size, steps and seed for the start."""

    results: list[Any] = field(default_factory=list)
    seconds: float = 0.0
    starts: dict[Hashable, Start] = field(default_factory=dict)
    device: torch.device | None = None

    def device_of(self, pipe: Any) -> torch.device:
        """Where the pipeline computes; looked up once, as that goes through all modules for hooks that offload."""
        if self.device is None:
            self.device = execution_device(pipe)
        return self.device
