"""Tiles: where the patches of a level lie when it is sampled, and the patches that each sees below. No torch."""

from __future__ import annotations

from itertools import product
from typing import Literal, get_args

from engine.errors import InvalidInput
from engine.hpdm.hpdm_config import Axes, HpdmConfig

Overlap = Literal["none", "spatial", "full"]
OVERLAPS: dict[str, tuple[bool, bool, bool]] = {
    "none": (False, False, False),
    "spatial": (False, True, True),
    "full": (True, True, True),
}
"""Axes (frames, height, width) along which neighbours overlap by half; the paper's metrics use `spatial`. [P]"""
assert set(OVERLAPS) == set(get_args(Overlap))


def axes_of(overlap: str | tuple[bool, bool, bool]) -> tuple[bool, bool, bool]:
    """The overlapped axes of a name in OVERLAPS, or of themselves."""
    if isinstance(overlap, tuple):
        return overlap
    if overlap not in OVERLAPS:
        raise InvalidInput("overlap", f"overlap is {overlap[:40]!r}; it must be none, spatial or full.")
    return OVERLAPS[overlap]


def tile_grid(config: HpdmConfig, level: int, overlap: str | tuple[bool, bool, bool]) -> list[Axes]:
    """Offsets of a level's tiles in pixels: 2^l an axis side by side, 2 * 2^l - 1 at 50 % overlap [P]."""
    axes = []
    for whole, p, half in zip(config.size(level), config.patch, axes_of(overlap), strict=True):
        stride = max(p // 2, 1) if half else p
        axes.append(range(0, whole - p + 1, stride))
    return [(t, y, x) for t, y, x in product(*axes)]


def centred_parent(config: HpdmConfig, child: Axes, level: int) -> Axes:
    """The parent patch at `level` with the child patch in its middle, as far as the border lets it. [I]"""
    size = config.size(level)
    out = []
    for o, p, g, whole in zip(child, config.patch, config.grow, size, strict=True):
        out.append(min(max((o - (g - 1) * p // 2) // g, 0), whole - p))
    return out[0], out[1], out[2]


def parents_of(config: HpdmConfig, child: Axes, level: int) -> list[Axes]:
    """Offsets of the chain of centred parents of a patch of `level`, for levels 0 .. level - 1."""
    out: list[Axes] = []
    for below in range(level - 1, -1, -1):
        child = centred_parent(config, child, below)
        out.append(child)
    return out[::-1]
