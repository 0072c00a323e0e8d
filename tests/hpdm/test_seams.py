"""Levels in a report: every piece of every line where tiles meet, colours of single pixels, what is accepted."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from engine.comparing.level_runner import doubled
from engine.hpdm.seams import seam_lines, seam_ratio
from engine.measuring.video import read_mp4, write_mp4
from engine.reports.level_videos import LevelVideo, Seams
from tests.hpdm.conftest import CONFIG

CONFIG = replace(CONFIG, patch=(2, 8, 8))
NOISE = torch.rand(3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


def level(**changes: object) -> LevelVideo:
    own = {
        "level": 3, "video": "00-level-3.mp4", "width": 32, "height": 32, "frames": 4, "steps": 2,
        "patch": (2, 8, 8), "tiles": ((0, 0, 0), (2, 24, 24)), "seam": 1.2, "seconds": 0.1,
    }  # fmt: skip
    return LevelVideo(**(own | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("overlap", "spacing"), [("none", 8), ("spatial", 4), ("full", 4)])
def test_every_piece_is_its_jump_over_the_jumps_beside_it(overlap, spacing):
    lines = seam_lines(NOISE, CONFIG, overlap)
    reach = min(2, (spacing - 1) // 2)
    assert lines.spacing == (spacing, spacing)
    for found, video in ((lines.vertical, NOISE), (lines.horizontal, NOISE.mT)):
        assert len(found) == 32 // spacing - 1
        for k, line in enumerate(found):
            x = (k + 1) * spacing  # the line lies between pixels x - 1 and x
            for piece, ratio in enumerate(line):
                part = video[..., piece * spacing : (piece + 1) * spacing, :]
                jump = lambda at, part=part: float((part[..., at] - part[..., at - 1]).abs().mean())  # noqa: E731
                beside = [jump(x + by) for by in range(-reach, reach + 1) if by]
                assert ratio == pytest.approx(jump(x) / (sum(beside) / len(beside)), abs=2e-3)


def test_an_edge_that_is_as_steep_beside_the_line_is_no_seam_and_does_count_in_the_ratio():
    ramp = torch.zeros(3, 4, 32, 32)
    ramp[..., 4:13] = torch.linspace(0, 1, 9)  # steep across the line at 8, flat elsewhere
    ramp[..., 13:] = 1
    lines = seam_lines(ramp, CONFIG, "none")
    assert lines.vertical[0] == pytest.approx((1, 1, 1, 1), abs=1e-3)
    assert seam_ratio(ramp, CONFIG) > 1.2


def test_a_tile_that_stands_out_lights_up_its_own_sides_alone():
    video = NOISE * 0.1
    video[..., 8:16, 16:24] += 1  # the tile of row 1, column 2
    lines = seam_lines(video, CONFIG, "none")
    hot = {("vertical", i, k) for i, line in enumerate(lines.vertical) for k, v in enumerate(line) if v > 5}
    hot |= {("horizontal", i, k) for i, line in enumerate(lines.horizontal) for k, v in enumerate(line) if v > 5}
    assert hot == {("vertical", 1, 1), ("vertical", 2, 1), ("horizontal", 0, 2), ("horizontal", 1, 2)}


def test_one_tile_and_a_flat_picture_have_no_seams():
    assert seam_lines(NOISE[..., :8, :8], CONFIG, "spatial") is None
    flat = seam_lines(torch.zeros_like(NOISE), CONFIG, "none")
    assert {piece for line in flat.vertical + flat.horizontal for piece in line} == {0}


def test_a_jump_that_no_screen_shows_is_no_seam():
    video = torch.zeros_like(NOISE)
    video[..., 8:] += 0.5 / 255  # a quarter of a step of 8 bits, on a ground that is perfectly even
    assert seam_lines(video, CONFIG, "none").vertical[0] == (0.5, 0.5, 0.5, 0.5)


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


def test_neighbouring_pixels_of_a_small_level_keep_their_colours(tmp_path: Path):
    pictures = np.zeros((4, 16, 16, 3), np.uint8)
    pictures[:, :, 0::2, 0] = pictures[:, :, 1::2, 2] = 200  # columns of red and blue, which an mp4 of 16x16 mixes
    write_mp4(tmp_path / "level.mp4", doubled(pictures), 2)
    shown = read_mp4(tmp_path / "level.mp4")
    blocks = shown.reshape(4, 16, 2, 16, 2, 3).mean((2, 4))
    assert (blocks[:, :, 0::2, 0] > 1.5 * blocks[:, :, 0::2, 2]).all()
    assert (blocks[:, :, 1::2, 2] > 1.5 * blocks[:, :, 1::2, 0]).all()
