"""Sigma tables and what each policy multiplies their shift by, stage by stage."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from engine.errors import InvalidInput
from engine.sampling.scheduler_window import make_solver, solver_table
from engine.schedules.latent_sizes import LatentSize, stage_sizes
from engine.schedules.schedule import parse_schedule
from engine.switching.handover import Handover, StagePlan, noise_for, plan_stages
from engine.switching.policies import POLICIES, policy_named
from engine.switching.sigma_tables import Table, wan_table
from tests.switching import switch_formulas
from tests.switching.lightx2v_reference import UniPC

PATCH = (1, 2, 2)
WAN_480P = LatentSize(1, 60, 104, 1.0, 1.0, 30 * 52)
RATES = [0.34, 0.75, 0.75, 0.5, 1.0, 0.34]  # grids of 20x34, 44x78, 44x78, 30x52, 60x104, 20x34, 60x104


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
    native = torch.tensor([9.0, 1.0, 0.0])
    assert Table(plain.sigmas, plain.timesteps, native=native).counted is native


def planned(policy: str, rates: list[float], shift: float = 3.0) -> tuple[Table, tuple[StagePlan, ...]]:
    """Stages of 10 steps each, on Wan's 480p grid."""
    schedule = parse_schedule(10 * len(rates) + 10, rates, [10 * n + 10 for n in range(len(rates))])
    full = solver_table(make_solver("euler", shift), schedule.infer_steps)
    return full, plan_stages(schedule, stage_sizes(schedule, WAN_480P, PATCH), policy_named(policy), full, shift)


def moved_by(full: Table, table: Table) -> float:
    """What a table multiplies the odds of noise by."""
    full_odds, odds = (s[5].double() / (1 - s[5].double()) for s in (full.sigmas, table.sigmas))
    return float(odds / full_odds)


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


def test_pyramid_takes_a_turned_grid_of_as_many_tokens_for_no_growth():
    sizes = [LatentSize(1, 30, 52, 0.5, 0.5, 390), LatentSize(1, 52, 30, 0.87, 0.29, 390), WAN_480P]
    assert policy_named("pyramid").shift_ratios(3.0, sizes)[0] == pytest.approx(0.5)


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


@pytest.mark.parametrize("policy", POLICIES)
def test_a_model_that_knows_one_grid_of_levels_refuses_policies_that_need_others(policy):
    schedule = parse_schedule(10, [0.5], [5])
    full = solver_table(make_solver("euler", 3.0), 10)
    parts = schedule, stage_sizes(schedule, WAN_480P, PATCH), policy_named(policy), full, 3.0, False
    if policy in ("spectral", "pyramid"):
        with pytest.raises(InvalidInput, match=policy):
            plan_stages(*parts)
    else:
        assert all(plan.table is full for plan in plan_stages(*parts))


def test_a_policy_with_a_long_name_is_refused_without_repeating_it_whole():
    with pytest.raises(InvalidInput, match=f"policy is '{'x' * 40}'; it must be one of"):
        policy_named("x" * 60)


@pytest.mark.parametrize("policy", POLICIES)
def test_only_anchored_corrects_steps(policy):
    noise = noise_for(policy_named(policy), 5, (1, 4, 1, 60, 104), "cpu")
    assert Handover(policy_named(policy), noise).corrects == (policy == "anchored")
