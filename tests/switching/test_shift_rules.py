"""The rule of the shift as an axis of a policy: how it is written, what it does to the tables, where it is refused."""

from __future__ import annotations

import pytest
import torch

from engine.errors import InvalidInput
from engine.sampling.bare_loop import sample
from engine.sampling.scheduler_window import make_solver, solver_table
from engine.schedules.latent_sizes import stage_sizes
from engine.schedules.schedule import flat, parse_schedule
from engine.switching.handover import plan_stages
from engine.switching.policies import POLICIES, policy_named
from tests.oracles import GaussianWorld, correlation
from tests.switching.test_sigma_tables import PATCH, WAN_480P

U = parse_schedule(10, [1.0, 0.5], [2, 6])
SIZES = stage_sizes(U, WAN_480P, PATCH)
EXACT = tuple(size.ratio for size in SIZES)


@pytest.mark.parametrize(
    ("name", "ratios"),
    [
        ("coherent", EXACT),
        ("coherent@+1", (1.0, 6 / 5, 7 / 5)),
        ("coherent@+0.5", (1.0, 5.5 / 5, 6 / 5)),
        ("coherent@none", (1.0, 1.0, 1.0)),
        ("lightx2v", (1.0, 6 / 5, 7 / 5)),
        ("lightx2v@exact", EXACT),
        ("jenga", (1.0, 7 / 5, 9 / 5)),
        ("anchored@none", (1.0, 1.0, 1.0)),
    ],
)
def test_a_rule_says_what_each_stages_shift_is_multiplied_by(name: str, ratios: tuple[float, ...]) -> None:
    assert policy_named(name).shift_ratios(5.0, SIZES) == pytest.approx(ratios)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("coherent@exact", "coherent"),
        ("lightx2v@+1", "lightx2v"),
        ("lightx2v@+1.0", "lightx2v"),
        ("jenga@+2", "jenga"),
        ("spectral@exact", "spectral"),
        ("coherent@+1.50", "coherent@+1.5"),
    ],
)
def test_one_way_to_switch_has_one_name(written: str, name: str) -> None:
    assert policy_named(written).name == name
    assert policy_named(written) == policy_named(name)
    assert (policy_named(written) is POLICIES.get(name)) == (name in POLICIES)


def test_a_policy_under_another_rule_is_the_same_in_all_else() -> None:
    plain, ruled = POLICIES["anchored"], policy_named("anchored@+1")
    assert (ruled.way, ruled.rule, plain.way, plain.rule) == ("anchored", "+1", "anchored", None)
    assert (ruled.anchors, ruled.field_first, ruled.merges) == (plain.anchors, plain.field_first, plain.merges)


@pytest.mark.parametrize(
    "name",
    [
        "coherent@", "coherent@1", "coherent@+0", "coherent@-1", "coherent@+101", "coherent@+1e1", "coherent@+nan",
        "coherent@+1@none", "coherent@exact ", "best@+1", "@+1", "coherent@\u0661", 3, None,
    ],
)  # fmt: skip
def test_any_other_rule_is_refused_in_one_sentence(name: object) -> None:
    with pytest.raises(
        InvalidInput, match=r"must be one of|a rule of the shift is exact, none, or \+ and a number"
    ) as it:
        policy_named(name)
    assert it.value.field == "policy"


@pytest.mark.parametrize("name", ["spectral@+1", "spectral@none", "pyramid@exact", "pyramid@none"])
def test_a_state_that_has_the_levels_of_its_own_rule_refuses_another(name: str) -> None:
    with pytest.raises(InvalidInput, match="its own levels alone: leave @"):
        policy_named(name)


def test_on_a_grid_of_trained_levels_no_other_rule_can_be_asked_for() -> None:
    full = solver_table(make_solver("euler", 3.0), 10)
    plans = plan_stages(U, SIZES, policy_named("coherent@none"), full, 3.0, False)
    assert all(plan.table is full for plan in plans)
    with pytest.raises(InvalidInput, match="without a rule of the shift"):
        plan_stages(U, SIZES, policy_named("coherent@+1"), full, 3.0, False)


@pytest.mark.parametrize("name", ["coherent@+1", "coherent@none", "anchored@none"])
def test_a_state_has_the_level_that_is_told_under_every_rule(name: str) -> None:
    """An ideal denoiser at its exact level comes to the full-size picture, whichever levels those are."""
    world, shape = GaussianWorld(30, 52), (8, 1, 30, 52)
    kwargs = {"seed": 3, "shift": 5.0, "solver": "euler"}
    base = sample(world.velocity, shape, flat(40), **kwargs)
    got = sample(world.velocity, shape, parse_schedule(40, [0.75], [20]), policy=name, **kwargs)
    assert correlation(got, base) > 0.99
    fresh = sample(world.velocity, shape, parse_schedule(40, [0.75], [20]), policy="bottleneck", **kwargs)
    assert correlation(fresh, base) < 0.6


def test_full_size_at_every_step_has_no_rule() -> None:
    full = full_size_run()
    assert torch.equal(full, full_size_run("coherent@+1"))


def full_size_run(policy: str = "coherent") -> torch.Tensor:
    world = GaussianWorld(16, 24)
    return sample(world.velocity, (2, 1, 16, 24), flat(6), policy=policy, seed=1, shift=3.0)
