"""What the pyramid view shows, as frozen data: the levels of every run that has some, where tiles lie and seams show.

`Pyramid.to_json()` is the widget's value, as docs/architecture.md gives it. Offsets count from 0, levels from 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from engine.reports.level_videos import LevelVideo
from engine.reports.run_display import colour_of
from engine.reports.schema import Report, Run

MAX_PLACES = 1024  # tiles drawn on one picture; the paper's finest level has 225
MAX_PIECES = 8192  # pieces of seam lines drawn on one picture; the paper's finest level has 480
UNSAID = "The report does not say where the tiles of this level lie."
IRREGULAR = "The tiles of this level are no regular grid."
ONE_TILE = "A level of one tile has no seams."
UNMEASURED = "The report was written before seams were measured line by line."
NO_FIGURE = "The ratio is not known: there are no lines, or nothing changes elsewhere in the picture."

Offsets = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Below:
    """The patch of a level below that a tile sees, axis by axis: one offset for each offset of the tiles' own grid."""

    level: int
    times: Offsets
    rows: Offsets
    columns: Offsets


@dataclass(frozen=True, slots=True)
class Grid:
    """The tiles of a level: first frames, tops and lefts, ascending; every combination is a tile of size `patch`."""

    patch: tuple[int, int, int]
    times: Offsets
    rows: Offsets
    columns: Offsets
    below: tuple[Below, ...] = ()


@dataclass(frozen=True, slots=True)
class Strips:
    """Jumps across lines over those just beside, as the report's `Seams` has them; their mean and the largest."""

    spacing: tuple[int, int]
    vertical: tuple[tuple[float, ...], ...]
    horizontal: tuple[tuple[float, ...], ...]
    mean: float
    most: float


@dataclass(frozen=True, slots=True)
class Level:
    """One finished level. What is None has its reason beside it."""

    level: int
    video: str
    width: int
    height: int
    frames: int
    steps: int
    seconds: float
    tiles: int
    grid: Grid | None
    grid_reason: str | None
    seam: float | None
    seam_reason: str | None
    strips: Strips | None
    strips_reason: str | None


@dataclass(frozen=True, slots=True)
class PyramidRun:
    """One run with its levels, coarsest first. `overlap` is none, spatial or full, where the report says it."""

    number: int
    name: str
    colour: int
    overlap: str | None
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Pyramid:
    """All runs of a report that have levels. `frames` at `fps`: the finest level's; `lost` says which have none."""

    key: str
    fps: float
    frames: int
    width: int
    height: int
    runs: tuple[PyramidRun, ...]
    lost: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, as the widget's script reads them."""
        return asdict(self)


def pyramid_of(report: Report | None, url: Callable[[str], str], key: str) -> Pyramid | None:
    """The pyramids of a report; None where no run has one. `url` gives the address of a file beside the report."""
    if report is None or not any(run.pyramid for run in report.runs):
        return None
    return Pyramid(
        key=key,
        fps=report.fps,
        frames=report.size.frames,
        width=report.size.width,
        height=report.size.height,
        runs=tuple(_run(run, number, url) for number, run in enumerate(report.runs) if run.pyramid),
        lost=tuple(_lost(run) for run in report.runs if run.levels and not run.pyramid),
    )


def _lost(run: Run) -> str:
    return f"{run.name} has no levels: {run.error or f'the run was {run.status}.'}"


def _run(run: Run, number: int, url: Callable[[str], str]) -> PyramidRun:
    overlap = (run.levels or {}).get("overlap")
    levels = tuple(_level(level, run.pyramid[:place], url) for place, level in enumerate(run.pyramid))
    return PyramidRun(number, run.name, colour_of(number), overlap if isinstance(overlap, str) else None, levels)


def _level(level: LevelVideo, below: tuple[LevelVideo, ...], url: Callable[[str], str]) -> Level:
    grid, grid_reason = _grid(level, below)
    strips, strips_reason = _strips(level)
    return Level(
        level=level.level,
        video=url(level.video),
        width=level.width,
        height=level.height,
        frames=level.frames,
        steps=level.steps,
        seconds=level.seconds,
        tiles=len(level.tiles),
        grid=grid,
        grid_reason=grid_reason,
        seam=level.seam,
        seam_reason=None if level.seam is not None else ONE_TILE if _single(level) else NO_FIGURE,
        strips=strips,
        strips_reason=strips_reason,
    )


def _single(level: LevelVideo) -> bool:
    return (level.height, level.width) == level.patch[1:]


def _grid(level: LevelVideo, below: tuple[LevelVideo, ...]) -> tuple[Grid | None, str | None]:
    """The tiles by axis, or why they cannot be drawn."""
    if not level.tiles:
        return None, UNSAID
    times, rows, columns = (tuple(sorted({tile[axis] for tile in level.tiles})) for axis in range(3))
    if len(rows) * len(columns) > MAX_PLACES:
        return None, f"There are {len(level.tiles)} tiles in this level, too many to draw."
    if len(times) * len(rows) * len(columns) != len(level.tiles):
        return None, IRREGULAR
    if set(product(times, rows, columns)) != set(level.tiles):
        return None, IRREGULAR
    return Grid(level.patch, times, rows, columns, _below(level, (times, rows, columns), below)), None


def _below(level: LevelVideo, axes: tuple[Offsets, ...], below: tuple[LevelVideo, ...]) -> tuple[Below, ...]:
    """What every tile sees of the levels below it, coarsest first: patches centred on it as far as the border lets.

    The same as `engine.hpdm.tiles.parents_of`, from the sizes in the report.
    """
    found: list[Below] = []
    size, offsets = (level.frames, level.height, level.width), axes
    for lower in reversed(below):
        whole = (lower.frames, lower.height, lower.width)
        offsets = tuple(
            tuple(_centred(o, length, high // low, low) for o in own)
            for own, length, high, low in zip(offsets, lower.patch, size, whole, strict=True)
        )
        found.append(Below(lower.level, *offsets))
        size = whole
    return tuple(reversed(found))


def _centred(offset: int, length: int, growth: int, whole: int) -> int:
    return min(max((offset - (growth - 1) * length // 2) // max(growth, 1), 0), max(whole - length, 0))


def _strips(level: LevelVideo) -> tuple[Strips | None, str | None]:
    """The seam lines, or why there are none."""
    seams = level.seams
    if seams is None:
        return None, ONE_TILE if _single(level) else UNMEASURED
    values = [piece for lines in (seams.vertical, seams.horizontal) for line in lines for piece in line]
    if not values:
        return None, ONE_TILE
    if len(values) > MAX_PIECES:
        return None, f"There are {len(values)} pieces of seam lines, too many to draw."
    return Strips(seams.spacing, seams.vertical, seams.horizontal, sum(values) / len(values), max(values)), None
