"""The finished levels of a hierarchical patch model's run, as a report has them: videos, tiles and seams."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from engine.reports.report_fields import MAX_TILES, Count, FileName, Index, NotNegative, Part, Seconds

SeamRatio = NotNegative
Lines = Annotated[
    tuple[Annotated[tuple[SeamRatio, ...], Field(max_length=MAX_TILES, fail_fast=True)], ...],
    Field(max_length=MAX_TILES, fail_fast=True),
]


class Seams(Part):
    """Lines where tiles begin or end, piece by piece: the mean jump across a piece over that just beside it.

    Lines lie every `spacing` (height, width) pixels; a piece is as long as the spacing along it. `vertical`: lines from
    the left, pieces from the top; `horizontal`: lines from the top, pieces from the left.
    """

    spacing: tuple[Count, Count]
    vertical: Lines
    horizontal: Lines


class LevelVideo(Part):
    """A finished level of a hierarchical patch model: its own video, where its tiles lie, and how well they fit.

    `tiles` are offsets (frame, y, x) of patches of size `patch`, in the level's own frames and pixels. `seam`: the mean
    jump between pixels on either side of a line where tiles without overlap meet, over that elsewhere; 1 is a picture
    without seams, null a level of one tile. `seams`: line by line; null where it was not measured.
    """

    level: Count
    video: FileName
    width: Count
    height: Count
    frames: Count
    steps: Count
    patch: tuple[Count, Count, Count]
    tiles: Annotated[tuple[tuple[Index, Index, Index], ...], Field(max_length=MAX_TILES, fail_fast=True)] = ()
    seam: SeamRatio | None
    seams: Seams | None = None
    seconds: Seconds

    @model_validator(mode="after")
    def _fits(self) -> LevelVideo:
        size = (self.frames, self.height, self.width)
        for tile in self.tiles:
            if any(at + length > whole for at, length, whole in zip(tile, self.patch, size, strict=True)):
                raise ValueError(f"a tile of {self.patch} at {tile} lies outside the level's {size}")
        if self.seams is not None:
            down, right = self.seams.spacing
            for lines, across, along in (
                (self.seams.vertical, self.width // right, self.height // down),
                (self.seams.horizontal, self.height // down, self.width // right),
            ):
                if lines and (len(lines) != across - 1 or {len(line) for line in lines} != {along}):
                    raise ValueError(f"seams of spacing {self.seams.spacing} are not those of the level's {size}")
        return self
