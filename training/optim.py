"""Muon for every weight with two or more axes, convolutions included: few steps is what we have.

Source: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024); the scale that makes
its rate comparable to AdamW's is from arXiv 2502.16982.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(g: Tensor, steps: int = 5) -> Tensor:
    """About U V^T of the singular value decomposition of g (..., m, n), by Newton-Schulz in bf16."""
    a, b, c = COEFFICIENTS
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(g.dtype)


class Muon(Optimizer):
    """Momentum, orthogonalised; updates have the size that AdamW's have (0.2 a weight)."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every weight that has a gradient; those of one shape together."""
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault((p.shape[0], p[0].numel()), []).append(p)
            for (rows, columns), same in shapes.items():
                self._together(group, same, max(rows, columns) ** 0.5)

    def _together(self, group: dict[str, float], same: list[nn.Parameter], size: float) -> None:
        """Update weights of one shape, as one batch of matrices."""
        steps = []
        for p in same:
            grad: Any = p.grad
            momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
            momentum.lerp_(grad, 1 - group["momentum"])
            steps.append(torch.lerp(grad, momentum, group["momentum"]).reshape(p.shape[0], -1))
        for p, update in zip(same, orthogonal(torch.stack(steps)), strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.add_(update.view(p.shape), alpha=-0.2 * group["lr"] * size)


def split(module: nn.Module, lr: float, muon: float, edges: tuple[str, ...] = ()) -> list[Optimizer]:
    """Muon at `muon * lr` on inner weights, AdamW at `lr` on the rest and on names that contain an edge.

    Weights that need no gradient are left out.
    """
    inner: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in ((name, p) for name, p in module.named_parameters() if p.requires_grad):
        body = p.ndim >= 2 and min(p.shape[0], p[0].numel()) > 1 and not any(e in name for e in edges)
        (inner if body and muon else rest).append(p)
    adamw = torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.99), weight_decay=0.0)
    return [adamw, Muon(inner, lr=lr * muon)] if inner else [adamw]
