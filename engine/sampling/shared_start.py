"""What the runs of one experiment share: the encoded text, the device, and how the baseline begins."""

from __future__ import annotations

import operator
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
    """Kept by call number for the text, as prompts may be anything; by size, steps and seed for the start.

    `seconds` are of encoding text and pictures, `pictures` what an image encoder answered, with what it was given.
    """

    results: list[Any] = field(default_factory=list)
    pictures: list[tuple[Any, Any, Any]] = field(default_factory=list)
    seconds: float = 0.0
    starts: dict[Hashable, Start] = field(default_factory=dict)
    device: torch.device | None = None

    def device_of(self, pipe: Any) -> torch.device:
        """Where the pipeline computes; looked up once, as that goes through all modules for hooks that offload."""
        if self.device is None:
            self.device = execution_device(pipe)
        return self.device

    def seen(self, image: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What was kept for these very pictures, one or a list; None where nothing was."""
        for known, others, result in self.pictures:
            if _same_objects(known, image) and others == (args, kwargs):
                return result
        return None

    def keep_seen(self, image: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """The result, kept where all that it depends on beside the pictures can be told apart."""
        if all(isinstance(one, torch.device | torch.dtype | int | str | None) for one in (*args, *kwargs.values())):
            self.pictures.append((image, (args, kwargs), result))
        return result


def _same_objects(one: Any, other: Any) -> bool:
    """Whether pictures, or lists of them, are the very same; a copy at another size is another."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(operator.is_, one, other))
    return one is other
