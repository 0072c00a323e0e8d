"""Backgrounds: what a scene stands on, drawn from two shades of one named colour."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from training.config import COLORS

SOFT = 0.8  # half width of an edge, pixels


@dataclass(frozen=True, slots=True)
class Background:
    """One background. `period` in pixels, `angle` in radians, `phase` as a share of a period."""

    texture: str
    color: str
    period: float
    angle: float = 0.0
    phase: tuple[float, float] = (0.0, 0.0)

    @property
    def words(self) -> str:
        """How a caption names it: "blue stripes"; a plain one is "a blue background"."""
        if self.texture == "plain":
            return f"a {self.color} background" if self.color != "orange" else "an orange background"
        if self.texture == "gradient":
            return f"a {self.color} gradient" if self.color != "orange" else "an orange gradient"
        return f"{self.color} {self.texture}"


def _step(distance: Tensor) -> Tensor:
    """0 to 1 across an edge; `distance` in pixels."""
    return torch.sigmoid(distance * (2 / SOFT))


def _wave(x: Tensor, period: float, duty: float = 0.5) -> Tensor:
    """Soft square wave of the coordinate x (pixels): 1 over `duty` of each period."""
    saw = torch.remainder(x, period)
    return _step(saw) * _step(duty * period - saw) + _step(saw - period)


def _stars(x: Tensor, y: Tensor, period: float) -> Tensor:
    """Five-pointed stars on a square grid."""
    u, v = torch.remainder(x, period) - period / 2, torch.remainder(y, period) - period / 2
    radius, theta = torch.hypot(u, v), torch.atan2(u, -v)
    sector = torch.remainder(theta + math.pi / 5, 2 * math.pi / 5) - math.pi / 5  # 0 at a tip
    tip, notch = 0.42 * period, 0.19 * period
    ends = (tip, 0.0), (notch * math.cos(math.pi / 5), notch * math.sin(math.pi / 5))
    px, py = radius * sector.abs().cos(), radius * sector.abs().sin()
    dx, dy = ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]
    inside = (dx * (py - ends[0][1]) - dy * (px - ends[0][0])) / math.hypot(dx, dy)
    return _step(inside)


def _bricks(x: Tensor, y: Tensor, period: float) -> Tensor:
    """Running bond: 0 in the mortar, 1 on the brick."""
    row = torch.floor(y / period)
    joint = max(2.0, 0.12 * period)
    across = _wave(x + row * period, 2 * period, 1 - joint / (2 * period))
    return across * _wave(y, period, 1 - joint / period)


def _wood(x: Tensor, y: Tensor, period: float) -> Tensor:
    """Long, slightly bent grain."""
    bent = y + 0.25 * period * torch.sin(x * (2 * math.pi / (6 * period)))
    return 0.5 + 0.35 * torch.sin(bent * (2 * math.pi / period)) + 0.15 * torch.sin(bent * (math.pi / period))


def pattern(background: Background, side: int) -> Tensor:
    """Weight of the lighter shade, (side, side) in 0..1."""
    axis = torch.arange(side, dtype=torch.float32) + 0.5
    y0, x0 = torch.meshgrid(axis, axis, indexing="ij")
    cos, sin, p = math.cos(background.angle), math.sin(background.angle), background.period
    x = x0 * cos + y0 * sin + background.phase[0] * p
    y = y0 * cos - x0 * sin + background.phase[1] * p
    match background.texture:
        case "plain":
            return torch.zeros_like(x)
        case "gradient":
            return (y0 * cos - x0 * sin).div(side).clamp(0, 1)
        case "stripes":
            return _wave(x, p)
        case "checks":
            a, b = _wave(x, 2 * p), _wave(y, 2 * p)
            return a * (1 - b) + b * (1 - a)
        case "bricks":
            return _bricks(x, y, p)
        case "stars":
            return _stars(x, y, 2 * p)
        case "wood":
            return _wood(x, y, p)
    raise ValueError(f"no texture called {background.texture!r}")


def paint(background: Background, side: int) -> Tensor:
    """The background as (3, side, side) in 0..1."""
    color = torch.tensor(COLORS[background.color], dtype=torch.float32) / 255
    dark, light = color * 0.86, color * 0.5 + 0.5
    if background.texture == "plain":
        dark = color
    weight = pattern(background, side)
    return dark[:, None, None] + (light - dark)[:, None, None] * weight
