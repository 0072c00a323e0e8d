"""The pyramid view's value: tiles by axis, what they see below, seams, and the reason of everything that is missing."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.tiles import parents_of, tile_grid
from engine.reports.schema import Report
from tests.reports.test_html import found
from ui.pyramid.pyramid_value import IRREGULAR, ONE_TILE, UNMEASURED, UNSAID, pyramid_of

CONFIG = HpdmConfig(
    patch=(4, 16, 16), levels=3, token=(1, 2, 2), dim=16, latent_dim=16, latents=4, compute=1, heads=2,
    level_blocks=(1, 2, 3), input_scales=(1.0, 0.5, 0.25), conditions={"emoji": ("frog", "star")},
)  # fmt: skip
MANY = [[0, y, x] for y in range(32) for x in range(33)]


def level(number: int, overlap: str = "spatial", **changes: Any) -> dict[str, Any]:
    """A level of a report as JSON; every piece of its seams is its own figure."""
    frames, height, width = CONFIG.size(number - 1)
    spacing = 16 if overlap == "none" else 8
    lines = [[k + piece / 10 for piece in range(width // spacing)] for k in range(1, width // spacing)]
    own = {
        "level": number, "video": f"00-level-{number}.mp4", "width": width, "height": height, "frames": frames,
        "steps": 2, "patch": CONFIG.patch, "tiles": tile_grid(CONFIG, number - 1, overlap),
        "seam": 1.5 if number > 1 else None, "seconds": 0.5,
        "seams": {"spacing": [spacing, spacing], "vertical": lines, "horizontal": lines} if number > 1 else None,
    }  # fmt: skip
    return own | changes


def report(*pyramids: list[dict[str, Any]], **changes: Any) -> Report:
    """The report of `found` whose first runs have these levels."""
    whole = found().model_dump(mode="json")
    for run, pyramid in zip(whole["runs"], pyramids, strict=False):
        run |= {"pyramid": pyramid, "levels": {"levels": 3, "overlap": "spatial"}} | changes
    return Report.model_validate(whole)


def shown(made: Report):
    return pyramid_of(made, lambda name: f"media/job/{name}", "job")


def test_there_is_nothing_to_show_without_levels() -> None:
    assert shown(found()) is None
    assert pyramid_of(None, str, "job") is None


@pytest.mark.parametrize("overlap", ["none", "spatial", "full"])
def test_the_axes_give_back_every_tile_and_what_it_sees_of_every_level_below(overlap: str) -> None:
    (run,) = shown(report([level(number, overlap) for number in (1, 2, 3)])).runs
    for place, one in enumerate(run.levels):
        grid = one.grid
        tiles = tile_grid(CONFIG, place, overlap)
        assert list(product(grid.times, grid.rows, grid.columns)) == tiles
        assert one.tiles == len(tiles)
        axes = [product(below.times, below.rows, below.columns) for below in grid.below]
        assert [list(chain) for chain in zip(*axes, strict=True)] == (
            [parents_of(CONFIG, tile, place) for tile in tiles] if place else []
        )


def test_runs_and_files_keep_their_places() -> None:
    pyramid = shown(report([], [level(1), level(2)]))
    (run,) = pyramid.runs
    assert (run.number, run.name, run.colour, run.overlap) == (1, "two-stage", 1, "spatial")
    assert [one.video for one in run.levels] == ["media/job/00-level-1.mp4", "media/job/00-level-2.mp4"]
    assert (pyramid.key, pyramid.fps) == ("job", found().fps)


def test_seams_come_with_their_mean_and_their_largest() -> None:
    (run,) = shown(report([level(number) for number in (1, 2)])).runs
    strips = run.levels[1].strips
    assert strips.spacing == (8, 8)
    assert strips.vertical[1] == (2.0, 2.1, 2.2, 2.3)
    assert (strips.mean, strips.most) == (pytest.approx(2.15), 3.3)


@pytest.mark.parametrize(
    ("number", "changes", "grid_reason", "strips_reason"),
    [
        (1, {}, None, ONE_TILE),
        (2, {"seams": None}, None, UNMEASURED),
        (2, {"tiles": []}, UNSAID, None),
        (2, {"tiles": tile_grid(CONFIG, 1, "spatial")[1:]}, IRREGULAR, None),
        (2, {"tiles": [[0, 0, 0], [0, 0, 0]]}, IRREGULAR, None),
        (2, {"patch": [1, 1, 1], "tiles": MANY, "width": 33, "seams": None},
         "There are 1056 tiles in this level, too many to draw.", UNMEASURED),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_says_why(number: int, changes: Any, grid_reason: Any, strips_reason: Any) -> None:
    (run,) = shown(report([level(number, **changes)])).runs
    (one,) = run.levels
    assert (one.grid_reason, one.grid is None) == (grid_reason, grid_reason is not None)
    assert (one.strips_reason, one.strips is None) == (strips_reason, strips_reason is not None)
    assert (one.seam is None) == bool(one.seam_reason)


def test_a_run_without_levels_is_named_with_its_error() -> None:
    whole = report([level(1)]).model_dump(mode="json")
    whole["runs"][2]["levels"] = {"levels": 3, "overlap": "none"}
    broken = whole["runs"][2]
    (sentence,) = shown(Report.model_validate(whole)).lost
    assert sentence == f"{broken['name']} has no levels: {broken['error']}"


def test_the_value_is_plain_json_that_many_tiles_do_not_swell() -> None:
    levels = [level(number, "full") for number in (1, 2, 3)]
    pyramid = shown(report(levels))
    text = json.dumps(pyramid.to_json())
    assert json.loads(text)["runs"][0]["levels"][2]["grid"]["columns"] == [0, 8, 16, 24, 32, 40, 48]
    assert len(levels[2]["tiles"]) == 343
    assert len(text) < 6000
