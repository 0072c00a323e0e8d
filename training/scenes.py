"""Scenes: emoji in motion over a background, described by a caption. A seed decides everything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.assets import alias
from training.config import COLORS, MOTIONS, TEXTURES, SceneConfig
from training.textures import Background, paint

BOUNCES = 2
GROWTH = 1.6
TURN = math.pi
DRIFT = {"drifting left": (-1, 0), "drifting right": (1, 0), "drifting up": (0, -1), "drifting down": (0, 1)}


@dataclass(frozen=True, slots=True)
class Actor:
    """One emoji. `size` and the centre (x, y) are fractions of the side."""

    name: str
    motion: str
    size: float
    x: float
    y: float
    travel: float

    def pose(self, u: float) -> tuple[float, float, float, float]:
        """(x, y, size, angle) at time u in 0..1."""
        if self.motion in DRIFT:
            dx, dy = DRIFT[self.motion]
            along = (u - 0.5) * self.travel
            return self.x + dx * along, self.y + dy * along, self.size, 0.0
        if self.motion == "bouncing":
            height = self.travel * 0.8
            lift = height * (abs(math.sin(math.pi * BOUNCES * u)) - 0.5)
            return self.x, self.y - lift, self.size, 0.0
        if self.motion in ("growing", "shrinking"):
            power = u - 0.5 if self.motion == "growing" else 0.5 - u
            return self.x, self.y, self.size * GROWTH**power, 0.0
        return self.x, self.y, self.size, TURN * u if self.motion == "turning" else 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What is in the picture; `caption` is one of several ways to say it."""

    actors: tuple[Actor, ...]
    background: Background
    caption: str


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def full_caption(actors: tuple[Actor, ...], background: Background) -> str:
    """The canonical caption: "a frog bouncing over green checks"."""
    who = " and ".join(f"{_article(a.name)} {a.motion}" for a in actors)
    return f"{who} over {background.words}"


def _caption(rng: np.random.Generator, actors: tuple[Actor, ...], background: Background) -> str:
    """A caption: mostly the canonical one, else a shorter name, no background, or no motion."""
    draw = rng.random()
    if draw < 0.6:
        return full_caption(actors, background)
    said = " and ".join(
        f"{_article(alias(a.name) if rng.random() < 0.6 else a.name)}" + ("" if draw > 0.95 else f" {a.motion}")
        for a in actors
    )
    where = ("", " over ", " on ", " in front of ")[int(rng.integers(4))] if draw < 0.9 else ""
    return said + (where + background.words if where else "")


def _actor(rng: np.random.Generator, cfg: SceneConfig, name: str, slot: tuple[float, float, float]) -> Actor:
    """One emoji around a slot (centre x, centre y, scale)."""
    jitter = rng.uniform(-cfg.jitter, cfg.jitter, 2)
    return Actor(
        name=name,
        motion=MOTIONS[int(rng.integers(len(MOTIONS)))],
        size=float(rng.uniform(*cfg.size)) * slot[2],
        x=slot[0] + float(jitter[0]),
        y=slot[1] + float(jitter[1]),
        travel=cfg.travel * slot[2],
    )


def sample_scene(cfg: SceneConfig, names: tuple[str, ...], seed: int) -> Scene:
    """The scene of a seed."""
    rng = np.random.default_rng(seed)
    pair = rng.random() < cfg.two_actors
    chosen = rng.choice(len(names), size=2, replace=False)
    slots = ((0.29, 0.5, 0.62), (0.71, 0.5, 0.62)) if pair else ((0.5, 0.5, 1.0),)
    actors = tuple(_actor(rng, cfg, names[int(i)], slot) for i, slot in zip(chosen, slots, strict=False))
    free = cfg.free_phase
    background = Background(
        texture=TEXTURES[int(rng.integers(len(TEXTURES)))],
        color=list(COLORS)[int(rng.integers(len(COLORS)))],
        period=float(rng.uniform(*cfg.period)),
        angle=float(rng.uniform(-math.pi / 4, math.pi / 4)) if free else 0.0,
        phase=(float(rng.random()), float(rng.random())) if free else (0.0, 0.0),
    )
    return Scene(actors, background, _caption(rng, actors, background))


def _sprites(pictures: np.ndarray, index: range) -> Tensor:
    """(F, S, S, 4) uint8, straight alpha, to (T, 4, S, S) in 0..1, premultiplied, looped."""
    rgba = torch.from_numpy(pictures[np.array(index) % len(pictures)]).permute(0, 3, 1, 2).float() / 255
    return torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], 1)


def _layer(actor: Actor, pictures: np.ndarray, index: range, total: int, side: int) -> Tensor:
    """The actor alone in the frames of `index`, premultiplied, (T, 4, side, side)."""
    rows = []
    for t in index:
        x, y, size, angle = actor.pose(t / max(total - 1, 1))
        cos, sin = math.cos(angle) / size, math.sin(angle) / size
        cx, cy = 2 * x - 1, 2 * y - 1
        rows.append([[cos, sin, -cos * cx - sin * cy], [-sin, cos, sin * cx - cos * cy]])
    grid = F.affine_grid(torch.tensor(rows), [len(rows), 4, side, side], align_corners=False)
    return F.grid_sample(_sprites(pictures, index), grid, mode="bilinear", align_corners=False)


def render(
    scene: Scene, pictures: Mapping[str, np.ndarray], side: int, frames: int, total: int = 0, every: int = 1
) -> Tensor:
    """Frames of a clip of `total` frames (default: all): the first `frames`, or each `every`th of them.

    (3, frames, side, side) in -1..1.
    """
    total = total or frames
    index = range(0, frames, every)
    out = paint(scene.background, side)[None].expand(len(index), -1, -1, -1)
    for actor in scene.actors:
        layer = _layer(actor, pictures[actor.name], index, total, side)
        out = layer[:, :3] + out * (1 - layer[:, 3:])
    return (out.clamp(0, 1) * 2 - 1).transpose(0, 1)


def scale(clip: Tensor, side: int) -> Tensor:
    """A clip (3, T, H, W) or (3, T, h, w) of the same whole scene at another side, antialiased."""
    if clip.shape[-1] == side:
        return clip
    frames = clip.transpose(-4, -3).flatten(0, -4)  # (T, 3, H, W)
    small = F.interpolate(frames, size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return small.clamp(-1, 1).view(*clip.shape[:-4], clip.shape[-3], 3, side, side).transpose(-4, -3)
