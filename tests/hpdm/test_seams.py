"""Where tiles meet: every piece of every line, and the levels that a report accepts."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from pydantic import ValidationError

from engine.hpdm.seams import seam_lines, seam_ratio
from engine.report import LevelVideo, Seams
from tests.hpdm.conftest import CONFIG

CONFIG = replace(CONFIG, patch=(2, 8, 8))
NOISE = torch.rand(3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


def level(**changes: object) -> LevelVideo:
    own = {
        "level": 3, "video": "00-level-3.mp4", "width": 32, "height": 32, "frames": 4, "steps": 2,
        "patch": (2, 8, 8), "tiles": ((0, 0, 0), (2, 24, 24)), "seam": 1.2, "seconds": 0.1,
    }  # fmt: skip
    return LevelVideo(**(own | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("overlap", ["none", "spatial", "full"])
def test_the_pieces_where_tiles_without_overlap_meet_make_up_the_ratio(overlap):
    lines = seam_lines(NOISE, CONFIG, overlap)
    every = 1 if overlap == "none" else 2
    chosen = (line for side in (lines.vertical, lines.horizontal) for line in side[every - 1 :: every])
    pieces = [piece for line in chosen for piece in line]
    assert len(pieces) == 2 * 3 * 4 * every
    assert sum(pieces) / len(pieces) == pytest.approx(seam_ratio(NOISE, CONFIG), abs=1e-3)


def test_a_tile_that_stands_out_lights_up_its_own_sides_alone():
    video = NOISE * 0.1
    video[..., 8:16, 16:24] += 1  # the tile of row 1, column 2
    lines = seam_lines(video, CONFIG, "none")
    hot = {("vertical", i, k) for i, line in enumerate(lines.vertical) for k, v in enumerate(line) if v > 5}
    hot |= {("horizontal", i, k) for i, line in enumerate(lines.horizontal) for k, v in enumerate(line) if v > 5}
    assert hot == {("vertical", 1, 1), ("vertical", 2, 1), ("horizontal", 0, 2), ("horizontal", 1, 2)}


def test_one_tile_and_a_flat_picture_have_no_seams():
    assert seam_lines(NOISE[..., :8, :8], CONFIG, "spatial") is None
    assert seam_lines(torch.zeros_like(NOISE), CONFIG, "none") is None


def test_an_axis_of_one_tile_has_no_lines_across_it():
    lines = seam_lines(NOISE[..., :8, :], CONFIG, "none")
    assert lines.horizontal == ()
    assert [len(line) for line in lines.vertical] == [1, 1, 1]
    seams = Seams(**asdict(lines))
    assert level(height=8, tiles=(), seams=seams).seams == seams


def test_a_report_takes_the_seams_that_were_measured_and_no_others():
    for overlap in ("none", "full"):
        seams = Seams(**asdict(seam_lines(NOISE, CONFIG, overlap)))
        assert level(seams=seams).seams == seams
        with pytest.raises(ValidationError, match="not those of the level"):
            level(seams=seams, width=64)
    with pytest.raises(ValidationError, match="lies outside"):
        level(tiles=((0, 0, 25),))


def test_a_report_of_before_seams_and_tiles_opens():
    old = level().model_dump(exclude={"seams", "tiles"})
    assert LevelVideo(**old).tiles == ()
