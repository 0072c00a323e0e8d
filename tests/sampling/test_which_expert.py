"""Of two experts every step runs under the one that the baseline uses at that step, whatever level it is told."""

from __future__ import annotations

import pytest
import torch

from engine.caches.cache_choice import parse_cache
from engine.experiments.presets import PRESETS, load_preset
from engine.models.catalogue import catalogue
from engine.sampling.experts import ALL_LOW, boundary_for
from engine.sampling.pipeline_run import run_staged
from engine.sampling.scheduler_window import make_solver, solver_table
from engine.schedules.latent_sizes import full_size, stage_sizes
from engine.schedules.schedule import flat, parse_schedule
from engine.switching.handover import plan_stages
from engine.switching.policies import POLICIES, policy_named
from tests.families.cases import CASES, STEPS, TWO, U, request

SHIFT = 3.0  # of the tiny models
OTHERS = [name for name in POLICIES if name != "lightx2v"]


@pytest.fixture(scope="module")
def pipe():
    return CASES["wan-a14b"].build()


def ran(pipe, schedule, policy="anchored", name="wan-a14b"):
    """Which transformer every forward pass of a run went through, two passes a step; and what the engine says of it."""
    passes = []
    hooks = [
        network.register_forward_pre_hook(lambda *_, number=number: passes.append(number))
        for number, network in ((1, pipe.transformer), (2, pipe.transformer_2))
    ]
    try:
        result = run_staged(request(CASES[name], pipe, schedule, policy, decode=False))
    finally:
        for hook in hooks:
            hook.remove()
    assert passes[::2] == passes[1::2]
    return tuple(passes[::2]), result


def test_the_baseline_changes_once_at_the_models_own_level(pipe):
    found, result = ran(pipe, flat(STEPS))
    table = solver_table(make_solver("unipc", SHIFT), STEPS).timesteps
    assert found == tuple(1 if t >= 875 else 2 for t in table) == result.experts
    assert set(found) == {1, 2}


@pytest.mark.parametrize("policy", OTHERS)
@pytest.mark.parametrize("schedule", [TWO, U, parse_schedule(STEPS, [0.5], [2])], ids=["two-stage", "U", "early"])
def test_every_step_runs_under_the_baselines_expert(pipe, policy, schedule):
    expected, _ = ran(pipe, flat(STEPS))
    found, result = ran(pipe, schedule, policy)
    assert found == expected == result.experts
    assert pipe.config.boundary_ratio == 0.875


def test_the_fault_is_there_to_be_met(pipe):
    """By the levels that they are told the same stages would run under other experts."""
    _, result = ran(pipe, TWO)
    by_level = tuple(1 if t >= 875 else 2 for plan in result.plans for t in plan.timesteps.tolist())
    assert by_level != result.experts


@pytest.mark.parametrize("schedule", [TWO, U], ids=["two-stage", "U"])
def test_lightx2v_goes_by_the_levels_it_tells(pipe, schedule):
    found, result = ran(pipe, schedule, "lightx2v")
    told = [t for plan in result.plans for t in plan.timesteps.tolist()]
    assert found == tuple(1 if t >= 875 else 2 for t in told) == result.experts


def test_image_to_video_alike():
    pipe = CASES["wan-a14b-i2v"].build()
    expected, _ = ran(pipe, flat(STEPS), name="wan-a14b-i2v")
    assert ran(pipe, U, name="wan-a14b-i2v")[0] == expected
    assert pipe.config.boundary_ratio == 0.9


@pytest.mark.parametrize(("shift", "ratio"), [(12.0, 0.875), (5.0, 0.9)])
@pytest.mark.parametrize("policy", OTHERS)
def test_no_step_of_a_bundled_preset_leaves_the_baselines_expert(shift, ratio, policy):
    """Wan 2.2 A14B's text-to-video and image-to-video figures, 40 steps."""
    spec = catalogue()["wan2.2-t2v-a14b"]
    full = full_size(spec.geometry, 720, 1280, 81)
    table = solver_table(make_solver("unipc", shift), 40)
    baseline = [t >= ratio * 1000 for t in table.timesteps.tolist()]
    apart = 0
    for file in sorted(PRESETS.glob("*.json")):
        schedule = load_preset(file.stem, 40).schedule.with_steps(40)
        sizes = stage_sizes(schedule, full, spec.geometry.patch)
        plans = plan_stages(schedule, sizes, policy_named(policy), table, shift)
        found, by_level = [], []
        for plan in plans:
            own = boundary_for(plan.table.timesteps, table.timesteps, ratio)
            found += [t >= own * 1000 for t in plan.timesteps.tolist()]
            by_level += [t >= ratio * 1000 for t in plan.timesteps.tolist()]
        assert found == baseline, file.stem
        apart += sum(a != b for a, b in zip(by_level, baseline, strict=True))
    assert apart > 0  # chosen by the told level it would


def test_a_boundary_above_or_below_all_levels():
    high, low = torch.tensor([990, 950, 900]), torch.tensor([500, 300, 100])
    assert boundary_for(low, high, 0.5) * 1000 < 100  # all of the high expert, the last step too
    assert boundary_for(high, low, 0.875) == ALL_LOW
    assert boundary_for(torch.tensor([1000.0, 800.0]), torch.tensor([1000.0, 900.0]), 0.95) == 0.9


def test_a_run_that_breaks_off_leaves_the_pipelines_own_boundary(pipe):
    class Stop(Exception):
        pass

    def stop(event):
        assert pipe.config.boundary_ratio != 0.875
        raise Stop

    with pytest.raises(Stop):
        run_staged(request(CASES["wan-a14b"], pipe, TWO), stop)
    assert pipe.config.boundary_ratio == 0.875


def test_with_a_cache_too(pipe):
    expected, _ = ran(pipe, flat(STEPS))
    asked = request(
        CASES["wan-a14b"], pipe, U, cache=parse_cache({"name": "firstblock", "threshold": 0.5}), decode=False
    )
    assert run_staged(asked).experts == expected
