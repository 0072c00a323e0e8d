"""Low stages that keep what full size knew: the anchor, and its way through every kind of scheduler and layout."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine.sampling.bare_loop import sample
from engine.sampling.latent_layouts import LAYOUTS, Adapter
from engine.schedules.latent_sizes import LatentSize
from engine.schedules.schedule import flat, parse_schedule
from engine.switching.anchor import Anchor
from engine.switching.noise_field import NoiseField, dct2, resize_dct
from engine.switching.noise_process import DISCRETE, EXPLODING, FLOW, INVERTED, PRESERVING
from tests.oracles import GaussianWorld
from tests.switching.switch_formulas import Anchored

SHAPE = (16, 1, 24, 32)
FULL, SMALL = (24, 32), (12, 16)
WORLD = GaussianWorld(*FULL)
SCHEDULES = {"two-stage": parse_schedule(20, [0.5], [8]), "U": parse_schedule(20, [1.0, 0.5], [4, 12])}


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def soft_when_small(x, t):
    """An ideal denoiser whose clean estimates lose a third of their contrast at any lower resolution."""
    v, sigma = WORLD.velocity(x, t), max(float(t) / 1000, 1e-3)
    x0 = x - sigma * v
    return v if tuple(x.shape[-2:]) == FULL else (x - 0.67 * x0) / sigma


def distance(policy: str, schedule, velocity) -> float:
    """Of the result from the full-resolution one, relative."""
    kwargs = {"seed": 3, "shift": 3.0, "solver": "euler"}
    base = sample(velocity, SHAPE, flat(20), **kwargs)
    return float((sample(velocity, SHAPE, schedule, policy=policy, **kwargs) - base).norm() / base.norm())


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_network_that_draws_softer_when_small_is_mended_by_anchoring(name):
    anchored = distance("anchored", SCHEDULES[name], soft_when_small)
    assert anchored < 0.65 * min(
        distance(policy, SCHEDULES[name], soft_when_small) for policy in ("coherent", "spectral")
    )


@pytest.mark.parametrize("name", SCHEDULES)
def test_anchoring_does_little_where_there_is_nothing_to_mend(name):
    assert distance("anchored", SCHEDULES[name], WORLD.velocity) < 0.08


def anchor(field: torch.Tensor) -> Anchor:
    return Anchor(lambda: NoiseField(field), FULL)


def test_growing_finds_the_detail_that_full_size_left():
    full, small = randn(1, 2, 1, *FULL), randn(1, 2, 1, *SMALL, seed=1)
    held = anchor(randn(1, 2, 1, *FULL, seed=2))
    held.corrected(full, full, 0.9)
    held.expect(SMALL, 0.8)
    assert torch.equal(held.corrected(small, small, 0.8)[0], small)
    held.corrected(small, small, 0.01)  # so far down that no difference is left
    known = dct2(held.expect(FULL, 0.005))
    assert torch.allclose(known[..., :12, :16], dct2(resize_dct(small, FULL))[..., :12, :16], atol=1e-4)
    assert torch.allclose(known[..., 12:, :], dct2(full)[..., 12:, :], atol=1e-4)


def test_first_answer_after_growing_makes_the_state_again_with_the_seeds_own_noise():
    eps, x0 = randn(1, 2, 1, *FULL), randn(1, 2, 1, *FULL, seed=1)
    held, small = anchor(eps), randn(1, 2, 1, *SMALL, seed=2)
    held.corrected(small, small, 0.9)
    known = held.expect(FULL, 0.8)
    state = 0.2 * known + 0.8 * eps
    made, kept = held.corrected(state, x0, 0.8)
    assert torch.allclose(made, 0.2 * x0 + 0.8 * eps, atol=1e-5)
    assert kept is x0
    assert held.corrected(state, x0, 0.7)[0] is state  # the first answer alone


@pytest.mark.parametrize(("course", "following"), [((1.0, 1.1, 1.2), 1.3), ((1.0, 1.2, 1.0), 1.2), ((1.0, 1.2), 1.2)])
def test_first_answer_after_shrinking_is_the_one_that_full_size_was_about_to_give(course, following):
    """A steady course goes on, one that swings swings back, and of two estimates nobody knows."""
    held, full = anchor(randn(1, 1, 1, *FULL)), randn(1, 1, 1, *FULL, seed=1)
    for step, factor in enumerate(course):
        held.corrected(full, factor * full, 0.9 - 0.1 * step)
    level = 0.9 - 0.1 * len(course)
    held.expect(SMALL, level)
    small, foreseen = randn(1, 1, 1, *SMALL, seed=2), resize_dct(following * full, SMALL)
    assert torch.allclose(held.corrected(small, small, level)[1], foreseen, atol=1e-5)
    later = held.corrected(small, small, level / 2)[1]
    assert torch.allclose(later, small + (foreseen - small) / 64, atol=1e-5)


def accelerating(size: tuple[int, int], seed: int, scale: float) -> list[torch.Tensor]:
    """Four estimates, of channels: ever faster, swinging ever wider, still at first, at random."""
    start, way = (randn(1, 4, 2, *size, seed=seed + n).double() for n in (0, 1))
    strides = torch.tensor([[0.0, 1.0, 3.0, 7.0], [0.0, 1.0, -2.0, 7.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    estimates = [start + stride[:, None, None, None] * way for stride in strides.T]
    for n, estimate in enumerate(estimates):
        estimate[:, 3] = randn(2, *size, seed=seed + 2 + n)
    return [scale * estimate for estimate in estimates]


COURSES = {
    "U": [FULL, (14, 20), FULL],
    "staircase": [SMALL, (14, 20), FULL],
    "down twice": [FULL, (14, 20), SMALL, FULL],
    "a boundary between equal sizes": [FULL, SMALL, SMALL, FULL],
    "full size twice": [FULL, FULL, SMALL, FULL],
}


@pytest.mark.parametrize("answers", [1, 2, 3, 4])
@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_the_anchor_is_what_its_rules_written_anew_give(course, answers, scale):
    field, level, seed = randn(1, 4, 2, *FULL).double(), 0.95, 10
    ours, theirs = anchor(field), Anchored(field.numpy())
    for before, size in pairwise([None, *COURSES[course]]):
        if before:
            assert np.allclose(ours.expect(size, level), theirs.expect(size, level), rtol=0, atol=1e-9 * scale)
        for x0 in accelerating(size, seed, scale)[-answers:]:
            x = randn(1, 4, 2, *size, seed=seed + 5).double()
            for mine, other in zip(
                ours.corrected(x, x0, level), theirs.corrected(x.numpy(), x0.numpy(), level), strict=True
            ):
                assert np.allclose(mine, other, rtol=0, atol=1e-9 * scale)
            level, seed = level - 0.04, seed + 1


@pytest.mark.parametrize("process", [FLOW, INVERTED, PRESERVING, DISCRETE, EXPLODING], ids=lambda one: one.name)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_answers_of_every_process_read_as_velocities_and_back(process, prediction):
    scheduler = SimpleNamespace(config=SimpleNamespace(prediction_type=prediction))
    x0, eps, level = randn(3, seed=1).double(), randn(3, seed=2).double(), 0.37
    x, norm = (1 - level) * x0 + level * eps, (level**2 + (1 - level) ** 2) ** 0.5
    answer = {"epsilon": eps, "sample": x0, "v_prediction": ((1 - level) * eps - level * x0) / norm}[prediction]
    if process.sign:
        answer = process.sign * (eps - x0)
    assert torch.allclose(process.predicted_velocity(scheduler, x, answer, level), eps - x0)
    assert torch.allclose(process.model_output(scheduler, x, eps - x0, level), answer)


@pytest.mark.parametrize("holds_first", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_stepped_latent_is_written_back_as_it_was_read(layout, holds_first):
    still = layout in ("image", "packed")
    if still and holds_first:
        return
    size = LatentSize(1 if still else 3, 4, 6, 1.0, 1.0, 24)
    adapter = Adapter(LAYOUTS[layout], 8, holds_first)
    grid = randn(1, 8, size.frames, 4, 6)
    whole = LAYOUTS[layout].write(grid)
    stepped_as = [whole]
    if holds_first:  # some step the others as they lie, some unpack them for it
        rest = grid[:, :, 1:]
        stepped_as += [rest] if layout == "tokens" else [rest, LAYOUTS[layout].write(rest)]
    for stepped in stepped_as:
        read = adapter.grid(stepped, size)
        assert torch.equal(adapter.ungrid_step(read, stepped, size), stepped)
        doubled = adapter.ungrid_step(2 * read, stepped, size)
        assert torch.equal(adapter.grid(doubled, size), 2 * read)
