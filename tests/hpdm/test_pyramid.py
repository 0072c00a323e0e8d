"""Patches: nested, integer, uniform at the finest level, and where equation 8 says they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.hpdm.fusion import alignment, coordinates
from engine.hpdm.nested_patches import box, centres, crop, draw_offsets, inside, pyramid
from engine.hpdm.tiles import centred_parent, parents_of, tile_grid
from tests.hpdm.conftest import CONFIG


def contains(config, parent, child, level):
    """Whether the parent patch at `level` covers the child patch of the level above."""
    o, c = np.array(parent), np.array(child)
    patch, grow = np.array(config.patch), np.array(config.grow)
    return bool((o * grow <= c).all() and (c + patch <= (o + patch) * grow).all())


def test_each_level_is_the_mean_of_the_one_above():
    video = torch.randn(1, 3, *CONFIG.size(2), dtype=torch.float64)
    levels = pyramid(video, CONFIG)
    assert [tuple(x.shape[2:]) for x in levels] == [CONFIG.size(k) for k in range(3)]
    assert float(levels[0].mean()) == pytest.approx(float(video.mean()))
    torch.testing.assert_close(levels[1][0, :, 0, 0, 0], levels[2][0, :, :2, :2, :2].flatten(1).mean(1))


def test_drawn_patches_are_nested_and_inside_the_video():
    offsets = [o.numpy() for o in draw_offsets(CONFIG, 500, np.random.default_rng(0))]
    assert (offsets[0] == 0).all()
    for level, where in enumerate(offsets):
        assert (where >= 0).all()
        assert (where + CONFIG.patch <= CONFIG.size(level)).all()
    for level in (0, 1):
        assert all(contains(CONFIG, p, c, level) for p, c in zip(offsets[level], offsets[level + 1], strict=True))


def test_offsets_are_uniform_at_the_finest_level():
    """Chi-squared over every offset of every axis; top-down drawing fails this by orders of magnitude."""
    count = 20_000
    finest = draw_offsets(CONFIG, count, np.random.default_rng(0))[-1].numpy()
    for axis in range(3):
        places = CONFIG.size(2)[axis] - CONFIG.patch[axis] + 1
        seen = np.bincount(finest[:, axis], minlength=places)
        expected = count / places
        statistic = float(((seen - expected) ** 2 / expected).sum())
        assert statistic < places - 1 + 5 * np.sqrt(2 * (places - 1))


def test_top_down_drawing_would_starve_the_border():
    """Why bottom-up: the paper's rule reaches the first offset of the finest level far too seldom."""
    rng = np.random.default_rng(0)
    r, top = 16, 4 * 16
    first = rng.integers(0, 2 * r - r + 1, 20_000)
    finest = rng.integers(2 * first, 2 * first + 2 * r - r + 1)
    assert (finest == 0).mean() < 0.5 / (top - r + 1)


def test_equation_8_maps_a_volume_of_coordinates_with_zero_error():
    """Sampling the parent's absolute coordinates at the child gives the child's absolute coordinates."""
    config = replace(CONFIG, patch=(4, 16, 16))
    offsets = draw_offsets(config, 32, np.random.default_rng(3))
    like = torch.zeros(1, dtype=torch.float64)
    for child in (1, 2):
        for parent in range(child):
            at = alignment(config, (child, offsets[child]), (parent, offsets[parent]), config.token_grid, like)
            below = coordinates(config, parent, offsets[parent], like)
            own = coordinates(config, child, offsets[child], like)
            inner = ((own >= below.amin(1, keepdim=True)) & (own <= below.amax(1, keepdim=True))).all(-1)
            assert inner.any(1).all()
            torch.testing.assert_close(at(below)[inner], own[inner], rtol=0, atol=1e-12)


def test_alignment_is_trilinear_grid_sampling():
    offsets = draw_offsets(CONFIG, 8, np.random.default_rng(4))
    grid = CONFIG.token_grid
    volume = torch.randn(8, 5, *grid, dtype=torch.float64)
    at = alignment(CONFIG, (2, offsets[2]), (0, offsets[0]), grid, volume)
    ours = at(volume.flatten(2).transpose(1, 2))
    extent, corner = inside(CONFIG, (2, offsets[2]), (0, offsets[0]))
    q = torch.stack(
        [
            torch.stack(torch.meshgrid(*(extent[a] * centres(grid[a]) + c[a] for a in range(3)), indexing="ij"), -1)
            for c in corner
        ]
    )  # (B, f, h, w, 3) in frames, rows, columns
    theirs = F.grid_sample(volume, 2 * q.flip(-1) - 1, padding_mode="border", align_corners=False)
    torch.testing.assert_close(ours, theirs.flatten(2).transpose(1, 2))


def test_a_box_at_the_origin_of_the_coarsest_level_is_the_whole_video():
    extent, corner = box(CONFIG, 0, torch.zeros(1, 3, dtype=torch.long))
    assert extent.tolist() == [1, 1, 1]
    assert corner.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("overlap", ["none", "spatial", "full"])
def test_every_tile_has_a_chain_of_parents_that_contain_it(overlap):
    for level in (1, 2):
        for tile in tile_grid(CONFIG, level, overlap):
            chain = [*parents_of(CONFIG, tile, level), tile]
            assert all(contains(CONFIG, chain[k], chain[k + 1], k) for k in range(level))


def test_a_parent_has_its_child_in_the_middle_where_the_border_lets_it():
    config = replace(CONFIG, patch=(4, 16, 16))
    assert centred_parent(config, (4, 24, 24), 1) == (1, 8, 8)
    assert centred_parent(config, (0, 0, 0), 1) == (0, 0, 0)
    assert centred_parent(config, (12, 48, 48), 1) == (4, 16, 16)


def test_crops_are_cut_where_they_are_asked_for():
    video = torch.arange(4 * 16 * 16).view(1, 1, 4, 16, 16)
    cut = crop(video, torch.tensor([[1, 2, 3]]), (2, 8, 8))
    assert cut.shape == (1, 1, 2, 8, 8)
    assert int(cut[0, 0, 0, 0, 0]) == 1 * 256 + 2 * 16 + 3


@pytest.mark.parametrize(
    ("overlap", "counts"), [("none", (1, 8, 64)), ("spatial", (1, 18, 196)), ("full", (1, 27, 343))]
)
def test_tile_counts_are_the_papers(overlap, counts):
    config = replace(CONFIG, patch=(16, 64, 64))
    assert tuple(len(tile_grid(config, k, overlap)) for k in range(3)) == counts
