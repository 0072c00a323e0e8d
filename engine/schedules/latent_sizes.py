"""Latent sizes: the one place where a rate becomes a grid that a model can run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from engine.checked import checked_integer
from engine.errors import InvalidInput
from engine.schedules.schedule import ResolutionSchedule

MAX_SIDE = 4096
MAX_FRAMES = 1000


@dataclass(frozen=True)
class Geometry:
    """How a model cuts a video: VAE strides (time, height, width), patch (time, height, width), latent channels.

    `reach`: how many positions the model's tables hold along time, height and width, in the denoiser's own patches
    of `position` latent cells; None where they have no end.
    """

    stride: tuple[int, int, int]
    patch: tuple[int, int, int]
    channels: int
    reach: tuple[int, int, int] | None = field(default=None, compare=False)
    position: tuple[int, int, int] = field(default=(1, 1, 1), compare=False)

    @property
    def multiple(self) -> tuple[int, int]:
        """What pixel height and width must be multiples of."""
        return self.stride[1] * self.patch[1], self.stride[2] * self.patch[2]


@dataclass(frozen=True)
class LatentSize:
    """One stage's latent grid `(frames, height, width)` and its true ratios to the full grid after rounding."""

    frames: int
    height: int
    width: int
    ratio_h: float
    ratio_w: float
    tokens: int

    @property
    def hw(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def ratio(self) -> float:
        """The true linear rate, `sqrt(h·w / (H·W))`: what sigma formulas use in place of the nominal rate."""
        return math.sqrt(self.ratio_h * self.ratio_w)


def checked_size(geometry: Geometry, height: object, width: object, frames: object) -> tuple[int, int, int]:
    """Pixel height, width and frame count from outside: positive, bounded, and what the model can cut evenly."""
    sides = []
    for name, value, multiple in (
        ("height", height, geometry.multiple[0]),
        ("width", width, geometry.multiple[1]),
    ):
        side = checked_integer(name, value, multiple, MAX_SIDE, repr)
        if side % multiple:
            nearest = max(multiple, round(side / multiple) * multiple)
            raise InvalidInput(
                name, f"{name} is {side}; it must be a multiple of {multiple}, the nearest is {nearest}."
            )
        sides.append(side)
    count, stride = checked_integer("frames", frames, 1, MAX_FRAMES, repr), geometry.stride[0]
    if (count - 1) % stride:
        nearest = round((count - 1) / stride) * stride + 1
        raise InvalidInput("frames", f"frames is {count}; it must be {stride}k + 1, the nearest is {nearest}.")
    _check_reach(geometry, (count, sides[0], sides[1]))
    return sides[0], sides[1], count


def _check_reach(geometry: Geometry, size: tuple[int, int, int]) -> None:
    """Refuse frames, height or width for which the model has no positions: it would fail at its first step."""
    if geometry.reach is None:
        return
    for axis, name in enumerate(("frames", "height", "width")):
        stride, cells, most = geometry.stride[axis], geometry.position[axis], geometry.reach[axis]
        latent = (size[0] - 1) // stride + 1 if axis == 0 else size[axis] // stride
        if latent // cells > most:
            last = (most * cells - 1) * stride + 1 if axis == 0 else most * cells * stride
            raise InvalidInput(name, f"{name} is {size[axis]}; this model has positions for at most {last}.")


def full_size(geometry: Geometry, height: int, width: int, frames: int) -> LatentSize:
    """The latent grid of the full resolution; sizes as `checked_size` returns them."""
    stride = geometry.stride
    grid = ((frames - 1) // stride[0] + 1, height // stride[1], width // stride[2])
    return LatentSize(*grid, 1.0, 1.0, _tokens(geometry.patch, *grid))


def latent_size(full: LatentSize, rate: float, patch: tuple[int, int, int], field: str = "rate") -> LatentSize:
    """The grid of a stage: `int(n·rate)` floored to the patch on each spatial axis, as LightX2V rounds (its patch: 2).

    Raises InvalidInput, with the smallest legal rate, where less than one patch would be left.
    """
    height = int(full.height * rate) // patch[1] * patch[1]
    width = int(full.width * rate) // patch[2] * patch[2]
    if height < patch[1] or width < patch[2]:
        smallest = math.ceil(1000 * max(patch[1] / full.height, patch[2] / full.width)) / 1000
        raise InvalidInput(
            field,
            f"{field} {rate:g} would make the {full.height}x{full.width} latent {height}x{width}, less than one "
            f"{patch[1]}x{patch[2]} patch; the smallest legal rate here is {smallest:g}.",
        )
    ratios = height / full.height, width / full.width
    return LatentSize(full.frames, height, width, *ratios, _tokens(patch, full.frames, height, width))


def stage_sizes(schedule: ResolutionSchedule, full: LatentSize, patch: tuple[int, int, int]) -> tuple[LatentSize, ...]:
    """The grid of every stage of a schedule, in order."""
    return tuple(latent_size(full, stage.rate, patch, f"resolution_rate[{stage.index}]") for stage in schedule.stages)


def merged(
    schedule: ResolutionSchedule, sizes: Sequence[LatentSize]
) -> tuple[ResolutionSchedule, tuple[LatentSize, ...]]:
    """The schedule with neighbouring stages of one size as one, under the first one's rate, and its sizes.

    Rounding may bring two rates to one size; between them there is nothing to switch. The very schedule where no
    neighbours are alike.
    """
    parts = zip(schedule.stages, sizes, strict=True)
    groups = [list(group) for _, group in groupby(parts, key=lambda part: part[1].hw)]
    if len(groups) == len(sizes):
        return schedule, tuple(sizes)
    rates = tuple(group[0][0].rate for group in groups[:-1])
    ends = tuple(group[-1][0].last for group in groups[:-1])
    return ResolutionSchedule(schedule.infer_steps, rates, ends), tuple(group[-1][1] for group in groups)


def _tokens(patch: tuple[int, int, int], frames: int, height: int, width: int) -> int:
    return -(-frames // patch[0]) * (height // patch[1]) * (width // patch[2])
