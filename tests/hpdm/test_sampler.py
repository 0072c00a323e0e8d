"""Tiled sampling: averaging, caches, overlap, batches, cancelling, levels."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from engine.errors import Cancelled
from engine.hpdm.fusion import pixels_below
from engine.hpdm.hpdm_model import LevelInput
from engine.hpdm.nested_patches import crop
from engine.hpdm.patch_noise import PHI_MIN, eps_from_x0, net_input, schedule
from engine.hpdm.seams import disagreement, frame_jumps, seam_ratio
from engine.hpdm.target import Preconditioning
from engine.hpdm.tile_sampler import Cascade, LevelSampler, Sampling, average, guided, sample_level, sample_levels
from engine.hpdm.tiles import parents_of, tile_grid
from tests.hpdm.conftest import CONFIG, OURS, make_model

LABELS = torch.tensor([[1, 2], [2, 1]])
HOW = Sampling((3, 2, 2), tile_batch=12)


@pytest.mark.parametrize("overlap", ["none", "spatial", "full", (False, True, False), (True, False, False)])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_averaged_tiles_of_a_field_are_that_field(overlap, level):
    """Of a constant field, and of any other: nothing is missed, nothing weighs twice."""
    like = torch.zeros(1, 3, *CONFIG.size(level))
    field = torch.randn_like(like)
    f, h, w = CONFIG.patch
    for whole in (torch.full_like(like, 0.7), field):
        tiles = [
            ((t, y, x), whole[..., t : t + f, y : y + h, x : x + w]) for t, y, x in tile_grid(CONFIG, level, overlap)
        ]
        torch.testing.assert_close(average(tiles, like, CONFIG.patch), whole)


def test_averaging_clean_estimates_is_averaging_noise_estimates():
    z, a, b = torch.randn(3, 1, 3, 2, 8, 8)
    phi = torch.tensor([0.6])
    mean = eps_from_x0(z, (a + b) / 2, phi, 0.5)
    torch.testing.assert_close(mean, (eps_from_x0(z, a, phi, 0.5) + eps_from_x0(z, b, phi, 0.5)) / 2)


@pytest.mark.parametrize(
    "changes", [{"fusion": "dcf"}, {"fusion": "shallow"}, {"fusion": "none"}, OURS, {**OURS, "guided_levels": 2}]
)
@pytest.mark.parametrize("cache", ["off", "cpu"])
def test_a_cache_changes_nothing_but_the_work(changes, cache):
    model = make_model(**changes).eval()
    kept = sample_levels(model, LABELS, HOW, seed=5)
    for a, b in zip(kept, sample_levels(model, LABELS, replace(HOW, cache=cache), seed=5), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "changes", [{}, OURS, {**OURS, "fusion": "dcf"}, {"fusion": "shallow"}, {"fusion": "dcf+pixels"}]
)
@pytest.mark.parametrize("level", [1, 2])
def test_a_tiles_estimate_is_the_joint_forwards_on_the_same_patches(changes, level):
    """With a real cache: parents centred, finished, with their own noise; every input is built here by hand."""
    model = make_model(**changes).eval()
    config, phi = model.config, 0.7
    cascade = Cascade(model, LABELS, Sampling((1, 1, 1), "spatial", tile_batch=6))
    videos = [torch.rand_like(cascade.noise(k)) - 0.5 for k in range(level)]
    for k, video in enumerate(videos):
        cascade.finish(k, video)
    sampler, z = cascade.sampler(level), cascade.noise(level)
    tile = sampler.tiles[len(sampler.tiles) // 2 + 1]
    found = dict(sampler.estimates(z, phi))[tile]
    canvases, angles = [*cascade.cache.canvases, z], [*[PHI_MIN] * level, phi]
    given, before = [], None
    for k, place in enumerate([*parents_of(config, tile, level), tile]):
        rows, offsets = torch.full((2,), angles[k]), torch.tensor([place, place])
        patch, form = crop(canvases[k], offsets, config.patch), Preconditioning.of(config, k)
        below = pixels_below(config, (k, offsets), given[-1].offsets, before) if k and config.needs_below else None
        given.append(LevelInput(form.input(patch, rows, below), rows, offsets, LABELS, None, below))
        before = net_input(patch, rows, config.input_scales[k])
    with torch.no_grad():
        v = model(given)[level][0]
    expected = form.x0(patch, v, rows, below).clamp(-1, 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_guidance_acts_on_the_levels_that_the_model_says_and_on_no_other(monkeypatch):
    model = make_model(**OURS).eval()
    rows: list[tuple[int, int]] = []
    real = model.start

    def counted(level, given):
        rows.append((level, len(given.labels)))
        return real(level, given)

    monkeypatch.setattr(model, "start", counted)
    plain, strong = (sample_levels(model, LABELS[:1], replace(HOW, guidance=g, tile_batch=4)) for g in (1.0, 3.0))
    assert not torch.allclose(plain[0], strong[0])
    strong_rows = rows[len(rows) // 2 :]
    assert {n for level, n in strong_rows if level == 0} == {2, 4}  # tiles with labels and without; contexts
    cascade = Cascade(model, LABELS, replace(HOW, guidance=3.0))
    assert [cascade.branches(k) for k in range(3)] == [2, 1, 1]
    assert [len(cascade.rows(k)) for k in range(3)] == [4, 2, 2]
    for other in (1.0, 3.0):  # on one and the same level 0, the levels above do not know of guidance
        own = Cascade(model, LABELS, replace(HOW, guidance=other))
        own.finish(0, torch.zeros_like(own.noise(0)))
        video = sample_level(own.sampler(1), own.noise(1))
        if other == 1.0:
            first = video
    assert torch.equal(first, video)


def test_a_cache_saves_the_passes_of_finished_levels(model):
    counts = {}
    for cache in ("off", "device"):
        cascade = Cascade(model, LABELS, replace(HOW, cache=cache))
        for level in range(2):
            cascade.finish(level, torch.zeros_like(cascade.noise(level)))
        sampler = cascade.sampler(2)
        for phi in (1.0, 0.5):
            sampler.denoise(cascade.noise(2), phi)
        counts[cache] = cascade.cache.computed
        assert (cascade.cache.bytes > 0) == (cache == "device")
    assert counts["device"] < counts["off"] / 2


def test_samples_do_not_depend_on_how_tiles_are_batched(model):
    one = sample_levels(model, LABELS, replace(HOW, tile_batch=1))
    many = sample_levels(model, LABELS, replace(HOW, tile_batch=500))
    for a, b in zip(one, many, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-4)


def test_a_video_does_not_depend_on_its_neighbours_in_the_batch(model):
    both = sample_levels(model, LABELS, HOW, seed=3)
    second = sample_levels(model, LABELS[1:], HOW, seed=4)
    for a, b in zip(both, second, strict=True):
        torch.testing.assert_close(a[1:], b, rtol=0, atol=2e-4)


def test_stopping_early_gives_the_same_lower_levels(model):
    whole = sample_levels(model, LABELS, HOW)
    part = sample_levels(model, LABELS, HOW, levels=2)
    assert len(part) == 2
    for a, b in zip(part, whole[:2], strict=True):
        assert torch.equal(a, b)
    assert [tuple(x.shape) for x in whole] == [(2, 3, *CONFIG.size(k)) for k in range(3)]


def test_the_same_seed_is_the_same_video_and_another_is_not(model):
    first, again, other = (sample_levels(model, LABELS, HOW, seed=s)[2] for s in (0, 0, 9))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_an_exact_denoiser_gives_the_clean_video_at_any_number_of_steps(model, monkeypatch):
    """The solver alone: with the true x0 at every step, the canvas ends there, with Heun and without."""
    truth = torch.rand(2, 3, *CONFIG.size(0)) * 2 - 1
    monkeypatch.setattr(LevelSampler, "denoise", lambda self, z, phi, remember=True: truth)
    for heun in (False, True):
        cascade = Cascade(model, LABELS, replace(HOW, heun=heun))
        torch.testing.assert_close(sample_level(cascade.sampler(0), cascade.noise(0)), truth)


def test_heun_beats_the_first_order_on_a_problem_with_a_known_answer(model, monkeypatch):
    """Data N(0, 1) at b = 1: x0^ = c z, and the true flow leaves z where it is. Heun must be much nearer than Euler."""
    monkeypatch.setattr(LevelSampler, "denoise", lambda self, z, phi, remember=True: torch.cos(torch.tensor(phi)) * z)
    errors = {}
    for heun in (False, True):
        for steps in (8, 16):
            cascade = Cascade(model, LABELS, Sampling((steps, 1, 1), heun=heun))
            z = sample_level(cascade.sampler(0), cascade.noise(0)) / math.cos(
                schedule(steps)[-2]
            )  # before the last step
            errors[heun, steps] = float((z - cascade.noise(0)).abs().mean())
    assert errors[True, 8] < errors[False, 8] / 4
    assert errors[False, 8] / errors[False, 16] == pytest.approx(2, rel=0.2)
    assert errors[True, 8] / errors[True, 16] > 2.5  # faster than first order; the start at pure noise costs the rest


def test_heun_runs_the_coarsest_level_only(model, monkeypatch):
    calls: list[int] = []
    real = LevelSampler.denoise

    def counted(self, z, phi, **kwargs):
        calls.append(self.level)
        return real(self, z, phi, **kwargs)

    monkeypatch.setattr(LevelSampler, "denoise", counted)
    sample_levels(model, LABELS, replace(HOW, heun=True))
    assert [calls.count(k) for k in range(3)] == [2 * 3 - 1, 2, 2]


def test_guidance_of_one_is_no_guidance_and_of_two_is_past_the_labels():
    x0 = torch.randn(4, 2, 1, 3, 2, 8, 8)
    torch.testing.assert_close(guided(x0, 1.0), x0[:, 0])
    torch.testing.assert_close(guided(x0, 0.0), x0[:, 1])
    torch.testing.assert_close(guided(x0, 2.0) - x0[:, 0], x0[:, 0] - x0[:, 1])
    assert torch.equal(guided(x0[:, :1], 2.0), x0[:, 0])


def test_guidance_changes_every_level_and_works_with_every_cache(model):
    plain = sample_levels(model, LABELS, HOW)
    strong = sample_levels(model, LABELS, replace(HOW, guidance=3.0))
    off = sample_levels(model, LABELS, replace(HOW, guidance=3.0, cache="off"))
    for a, b, c in zip(plain, strong, off, strict=True):
        assert not torch.allclose(a, b)
        torch.testing.assert_close(b, c, rtol=0, atol=1e-4)


def test_a_step_that_raises_stops_the_run(model):
    seen: list[int] = []

    def stop(done):
        seen.append(done.step)
        if len(seen) == 4:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        sample_levels(model, LABELS, HOW, on_step=stop)
    assert seen == [1, 2, 3, 1]


def test_the_seam_ratio_tells_tiles_from_a_picture():
    config = replace(CONFIG, patch=(2, 8, 8))
    smooth = torch.randn(3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    assert seam_ratio(smooth, config) == pytest.approx(1, abs=0.05)
    tiles = torch.arange(16.0).view(1, 1, 4, 1, 4, 1).expand(3, 4, 4, 8, 4, 8).reshape(3, 4, 32, 32)
    assert seam_ratio(smooth + 5 * tiles, config) > 5
    assert seam_ratio(smooth[..., :8, :8], config) is None
    assert seam_ratio(torch.zeros(3, 4, 32, 32), config) is None


def test_jumps_between_frames_are_told_apart_where_tiles_meet():
    steady = torch.zeros(3, 8, 4, 4)
    assert frame_jumps(steady, 4) == (0, 0)
    tiles = torch.tensor([0.0] * 4 + [0.2] * 4).view(1, 8, 1, 1).expand(3, 8, 4, 4)
    assert frame_jumps(tiles, 4) == pytest.approx((0.2, 0))
    ramp = torch.arange(8.0).view(1, 8, 1, 1).expand(3, 8, 4, 4)
    assert frame_jumps(ramp, 4) == pytest.approx((1, 1))
    assert frame_jumps(steady[:, :4], 4)[0] == 0


def test_disagreement_is_zero_for_tiles_that_agree_and_unknown_for_tiles_that_share_nothing(model, monkeypatch):
    cascade = Cascade(model, LABELS, HOW)
    cascade.finish(0, torch.zeros_like(cascade.noise(0)))
    video, eps = torch.zeros(2, 2, 3, *CONFIG.size(1))
    assert disagreement(cascade.sampler(1), video, 0.8, eps + 1) > 0
    apart = Cascade(model, LABELS, replace(HOW, overlap="none"))
    apart.finish(0, torch.zeros_like(apart.noise(0)))
    assert disagreement(apart.sampler(1), video, 0.8, eps) is None
    f, h, w = CONFIG.patch

    def agreeing(self, z, phi, remember=True):
        return (((t, y, x), z[..., t : t + f, y : y + h, x : x + w]) for t, y, x in self.tiles)

    monkeypatch.setattr(LevelSampler, "estimates", agreeing)
    assert disagreement(cascade.sampler(1), video, 0.8, eps + 1) == pytest.approx(0, abs=1e-3)
