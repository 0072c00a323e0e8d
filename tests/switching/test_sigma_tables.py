"""What noise level each step of each stage is told, by table and by policy."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from engine.sampling.scheduler_window import make_solver, solver_table
from engine.schedules.latent_sizes import LatentSize, stage_sizes
from engine.schedules.schedule import parse_schedule
from engine.switching.handover import plan_stages
from engine.switching.policies import policy_named
from engine.switching.sigma_tables import Table, reshift, wan_table
from tests.switching import switch_formulas
from tests.switching.lightx2v_reference import UniPC

PATCH = (1, 2, 2)
WAN_480P = LatentSize(1, 60, 104, 1.0, 1.0, 30 * 52)


@pytest.mark.parametrize(
    ("steps", "shift", "switch", "k", "left", "told"),
    [
        (50, 8, 25, 1, 0.8964, 0.8998),
        (50, 8, 10, 1, 0.9731, 0.9728),
        (50, 8, 35, 2, 0.8088, 0.8106),
        (40, 3, 20, 1, 0.7679, 0.7997),
        (40, 3, 5, 1, 0.9639, 0.9653),
        (40, 3, 25, 2, 0.7269, 0.7497),
    ],
)
def test_lightx2v_tells_the_model_another_level_than_the_sample_has(steps, shift, switch, k, left, told):
    """The table of LightX2V's shipped configs: noise in the sample, and what the next step is told."""
    rates = [0.75] if k == 1 and switch in (25, 20) else [1.0, 0.75]
    switches = [switch] if len(rates) == 1 else ([10, 35] if steps == 50 else [5, 25])
    schedule = parse_schedule(steps, rates, switches)
    sizes = stage_sizes(schedule, WAN_480P, PATCH)
    plans = plan_stages(schedule, sizes, policy_named("lightx2v"), wan_table(steps, shift), shift)
    assert plans[k].table.timesteps.dtype == torch.int64
    assert float(plans[k - 1].table.sigmas[switch - 1]) == pytest.approx(left, abs=6e-5)
    assert float(plans[k].table.sigmas[switch]) == pytest.approx(told, abs=6e-5)


def test_shifts_compose_by_multiplication():
    once = reshift(wan_table(50, 3.0).sigmas.double(), 8 / 3)
    assert torch.allclose(once, wan_table(50, 8.0).sigmas.double(), atol=1e-6)


@pytest.mark.parametrize("steps", [5, 40])
@pytest.mark.parametrize("shift", [1.0, 3.0, 8.0])
def test_wans_table_is_the_one_that_lightx2v_makes(steps, shift):
    ours, theirs = wan_table(steps, shift), UniPC(steps, shift)
    assert ours.sigmas.dtype == torch.float32
    assert np.allclose(ours.sigmas, theirs.sigmas, rtol=0, atol=1e-7)
    assert ours.timesteps.tolist() == theirs.timesteps.tolist()


def test_a_table_moved_by_a_ratio_multiplies_the_odds_of_noise_and_tells_the_model_so():
    table = solver_table(make_solver("euler", 3.0), 10)
    moved = table.reshifted(0.6)
    expected = 0.6 * table.sigmas[1:-1].double() / (1 - table.sigmas[1:-1].double())
    assert torch.allclose(moved.sigmas[1:-1].double() / (1 - moved.sigmas[1:-1].double()), expected, rtol=1e-5)
    assert moved.sigmas.dtype == table.sigmas.dtype
    assert torch.allclose(moved.timesteps, 1000 * moved.sigmas[:-1])
    assert table.reshifted(1.0) is table


def test_an_inverted_table_counts_what_is_left_of_the_noise():
    plain = Table(torch.tensor([0.9, 0.5, 0.0]), torch.tensor([100, 500]))
    inverted = Table(plain.sigmas, plain.timesteps, inverted=True)
    assert plain.counted is plain.sigmas
    assert inverted.counted.tolist() == pytest.approx([0.1, 0.5, 1.0])
    moved = inverted.reshifted(0.5)
    assert moved.inverted
    assert not plain.reshifted(0.5).inverted
    assert moved.timesteps.dtype == torch.int64
    assert moved.timesteps.tolist() == [int(1000 - 1000 * level) for level in moved.sigmas[:-1].tolist()]
    assert Table(plain.sigmas, plain.timesteps, native=torch.tensor([9.0, 1.0, 0.0])).counted.tolist() == [
        9.0,
        1.0,
        0.0,
    ]


def planned(policy: str, rates: list[float], shift: float = 3.0):
    """Stages of 10 steps each, on Wan's 480p grid."""
    schedule = parse_schedule(10 * len(rates) + 10, rates, [10 * n + 10 for n in range(len(rates))])
    full = solver_table(make_solver("euler", shift), schedule.infer_steps)
    return full, plan_stages(schedule, stage_sizes(schedule, WAN_480P, PATCH), policy_named(policy), full, shift)


def moved_by(full: Table, table: Table) -> float:
    """What a table multiplies the odds of noise by."""
    full_odds, odds = (s[5].double() / (1 - s[5].double()) for s in (full.sigmas, table.sigmas))
    return float(odds / full_odds)


RATES = [0.34, 0.75, 0.75, 0.5, 1.0, 0.34]  # grids of 20x34, 44x78, 44x78, 30x52, 60x104, 20x34, 60x104


def test_pyramid_raises_the_level_by_the_root_of_the_copies_in_the_largest_block():
    full, plans = planned("pyramid", RATES)
    ratios = [moved_by(full, plan.table) for plan in plans]
    for (before, after), (small, large) in zip(pairwise(ratios), pairwise(plans), strict=True):
        if small.size.hw == large.size.hw:
            assert before == after
        elif small.size.tokens < large.size.tokens:
            sides = zip(small.size.hw, large.size.hw, strict=True)
            copies = math.prod(np.bincount(switch_formulas.copies(*side)).max() for side in sides)
            assert after / before == pytest.approx(math.sqrt(copies), rel=1e-4)
        else:
            assert before == pytest.approx(small.size.ratio, rel=1e-4)
    assert ratios[-1] == 1.0


@pytest.mark.parametrize(("policy", "step"), [("lightx2v", 1), ("jenga", 2)])
def test_a_shift_that_grows_by_a_step_a_switch_does_so_whatever_the_size(policy, step):
    full, plans = planned(policy, RATES, shift=4.0)
    ratios = [moved_by(full, plan.table) for plan in plans]
    assert ratios == pytest.approx([(4 + step * k) / 4 for k in range(len(plans))], rel=1e-4)


@pytest.mark.parametrize("policy", ["anchored", "coherent", "spectral", "bottleneck"])
def test_every_stage_has_the_full_table_moved_by_its_true_rate(policy):
    full, plans = planned(policy, RATES)
    rates = [math.sqrt(math.prod(plan.size.hw) / (60 * 104)) for plan in plans]
    assert [moved_by(full, plan.table) for plan in plans] == pytest.approx(rates, rel=1e-4)


@pytest.mark.parametrize("policy", ["coherent", "spectral", "bottleneck"])
@pytest.mark.parametrize("solver", ["unipc", "euler"])
def test_stage_shift_is_the_full_shift_times_the_true_rate(policy, solver):
    """No step lost or repeated: both stages lie on one grid, moved by the ratio after rounding."""
    schedule = parse_schedule(50, [0.75], [25])
    sizes = stage_sizes(schedule, WAN_480P, PATCH)
    full = solver_table(make_solver(solver, 8.0), 50)
    low, high = plan_stages(schedule, sizes, policy_named(policy), full, 8.0)
    true_rate = math.sqrt(44 * 78 / (60 * 104))
    assert torch.allclose(low.table.sigmas, reshift(full.sigmas, true_rate), atol=1e-6)
    assert torch.equal(high.table.sigmas, full.sigmas)
    assert torch.equal(high.table.timesteps, full.timesteps)
