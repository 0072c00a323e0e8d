"""Rows with finished parents that several patches share: nested, as noisy as said, and the joint forward's values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.hpdm.hpdm_model import LevelInput
from engine.hpdm.nested_patches import crop, pyramid
from engine.hpdm.patch_noise import PHI_MIN
from tests.hpdm.conftest import CONFIG, OURS, make_model
from training.config import FanOut
from training.hpdm_rows import draw_angles, draw_children, dropped, fan_out, fan_out_loss, residual_scales, run_rows

PLAN = FanOut(
    finished=(2, 3), counted=(4, 5, 7), log_sigma=((0.0, 1.3), (-1.2, 1.2), (-1.5, 1.2)), weights=(1.0, 1.0, 1.0)
)


def data(count: int = 6):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, *CONFIG.size(2), generator=generator), torch.randint(
        0, 3, (count, 2), generator=generator
    )


def rows_of(config, seed=0):
    return fan_out(config, PLAN, *data(), np.random.default_rng(seed))


def test_children_lie_inside_their_parent_and_reach_every_border():
    parents = torch.zeros(4000, 3, dtype=torch.long)
    config = replace(CONFIG, patch=(4, 16, 16))
    for level, at in ((1, parents), (2, parents + torch.tensor([2, 7, 9]))):
        found = draw_children(config, level, at, np.random.default_rng(level)) - 2 * at
        assert (found >= 0).all()
        assert (found <= torch.tensor(config.patch)).all()
        share = [float((found[:, a] == edge).float().mean()) for a in range(3) for edge in (0, config.patch[a])]
        assert all(s > 0.15 for s in share)  # about half of the tiles that lie side by side are at a border


def test_every_row_that_counts_has_finished_parents_of_its_own_video():
    config = replace(CONFIG, **OURS)
    rows, (videos, said) = rows_of(config), data()
    levels, clip = pyramid(videos, config), torch.arange(6)
    for k, one in enumerate(rows):
        assert bool((one.given.phi[: one.finished] == PHI_MIN).all())
        assert bool((one.given.phi[one.finished :] != PHI_MIN).all())
        assert len(one.given.phi) == one.finished + PLAN.counted[k]
        if one.parents is not None:
            assert int(one.parents.max()) < rows[k - 1].finished
            clip = clip[one.parents]
        assert torch.equal(one.given.labels, said[clip])
        clean = one.given.phi == PHI_MIN
        if k == 0:  # at a finished patch the input is nearly the picture
            x0 = crop(levels[0][clip], one.given.offsets, config.patch)
            assert float((one.given.pixels - x0)[clean].abs().max()) < 0.15


@pytest.mark.parametrize("level", [0, 1, 2])
def test_noise_levels_are_log_normal_as_planned_and_a_share_starts_in_pure_noise(level):
    mean, deviation = PLAN.log_sigma[level]
    phi = draw_angles(PLAN, level, 20_000, 0.5, np.random.default_rng(0))
    sigma = phi.tan() / 0.5
    start = (sigma - PLAN.start).abs() < 0.1
    assert float(start.float().mean()) == pytest.approx(PLAN.at_start, abs=0.01)
    rest = sigma[~start].log()
    assert float(rest.mean()) == pytest.approx(mean, abs=0.05)
    assert float(rest.std()) == pytest.approx(deviation, abs=0.05)


def test_noise_of_a_child_has_nothing_to_do_with_its_parents():
    config = replace(CONFIG, fusion="none", conditions={"emoji": ("frog",)})
    plan = replace(PLAN, finished=(40, 40), counted=(0, 40, 40), at_start=1.0)
    videos = torch.zeros(40, 3, *config.size(2))
    rows = fan_out(config, plan, videos, torch.zeros(40, 1, dtype=torch.long), np.random.default_rng(0))
    noise = [one.given.pixels[-40:].flatten() for one in rows]  # of nothing but noise
    together = torch.corrcoef(torch.stack(noise))
    assert float((together - torch.eye(3)).abs().max()) < 0.03


@pytest.mark.parametrize("ours", [{}, OURS, {**OURS, "fusion": "dcf"}, {"fusion": "shallow"}])
def test_shared_parents_give_what_the_joint_forward_gives_row_by_row_and_the_same_gradients(ours):
    """The joint forward has a parent a row: here each is written out as often as it has children."""
    model = make_model(**ours)
    rows = rows_of(model.config)
    shared = run_rows(model, rows)
    shared[2].square().sum().backward()
    grads = [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]
    model.zero_grad(set_to_none=True)

    def at(given: LevelInput, index: torch.Tensor) -> LevelInput:
        below = None if given.below is None else given.below[index]
        return LevelInput(given.pixels[index], given.phi[index], given.offsets[index], given.labels[index], None, below)

    middle, low = rows[2].parents, rows[1].parents[rows[2].parents]
    joint = model([at(rows[0].given, low), at(rows[1].given, middle), rows[2].given])
    joint[2][0].square().sum().backward()
    torch.testing.assert_close(shared[2], joint[2][0], rtol=1e-4, atol=1e-5)
    for name, p, expected in zip(dict(model.named_parameters()), model.parameters(), grads, strict=True):
        got = torch.zeros_like(p) if p.grad is None else p.grad
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()) + 1e-6, msg=name)


def test_finished_rows_do_not_count_and_every_other_does():
    model = make_model(**OURS)
    videos, said = data()
    with torch.no_grad():
        losses = fan_out_loss(model, PLAN, 0.0, videos, said, np.random.default_rng(3))
    rows = fan_out(model.config, PLAN, videos, dropped(said, 0.0, rng := np.random.default_rng(3)), rng)
    with torch.no_grad():
        found = run_rows(model, rows)
    for loss, v, one in zip(losses, found, rows, strict=True):
        wrong = [float((a - b).square().mean()) for a, b in zip(v, one.wanted, strict=True)][one.finished :]
        assert float(loss) == pytest.approx(sum(wrong) / len(wrong), rel=1e-4)


def test_labels_are_dropped_together_and_each_alone():
    said = dropped(torch.ones(20_000, 3, dtype=torch.long), 0.1, np.random.default_rng(0))
    none = (said == 0).all(1).float().mean()
    first = (said[:, 0] == 0).float().mean()
    assert float(none) == pytest.approx(0.1, abs=0.01)
    assert float(first) == pytest.approx(0.1 + 0.9 * 0.05, abs=0.01)


def test_the_residuals_scale_is_what_is_left_of_a_level_after_its_enlarged_parent():
    flat = torch.full((2, 3, *CONFIG.size(2)), 0.3)
    assert residual_scales(CONFIG, flat) == pytest.approx((0.3, 0, 0), abs=1e-6)
    fine = torch.zeros_like(flat)
    fine[..., ::2] = 0.2
    fine[..., 1::2] = -0.2  # gone at the level below
    assert residual_scales(CONFIG, fine) == pytest.approx((0, 0, 0.2), abs=1e-6)
