"""A stage's window: a switch is not the end of a run, and every table begins at its first level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

from engine.models.loading import scheduler_for
from engine.sampling.bare_loop import sample
from engine.sampling.pipeline_run import run_staged
from engine.sampling.scheduler_window import make_solver, solver_table
from engine.schedules.schedule import flat, parse_schedule
from engine.switching.policies import POLICIES
from engine.switching.sigma_tables import Table
from tests.families.cases import CASES, STEPS, TWO, request, untouched

SPLIT = parse_schedule(STEPS, [0.5], [5])


@pytest.fixture
def orders(monkeypatch):
    """The order of every step that a multistep solver takes."""
    taken = []
    for order, name in ((1, "dpm_solver_first_order_update"), (2, "multistep_dpm_solver_second_order_update")):
        own = getattr(DPMSolverMultistepScheduler, name)

        def update(self, *args, order=order, own=own, **more):
            taken.append(order)
            return own(self, *args, **more)

        monkeypatch.setattr(DPMSolverMultistepScheduler, name, update)

    def predict(self, *args, order, own=UniPCMultistepScheduler.multistep_uni_p_bh_update, **more):
        taken.append(order)
        return own(self, *args, order=order, **more)

    monkeypatch.setattr(UniPCMultistepScheduler, "multistep_uni_p_bh_update", predict)
    return taken


@pytest.mark.parametrize("name", ["wan", "sana", "sdxl"])
@pytest.mark.parametrize("solver", ["unipc", "dpm++"])
def test_the_last_step_before_a_switch_is_of_second_order_and_that_of_the_run_is_not(orders, name, solver):
    case = CASES[name]
    pipe = case.build()
    pipe.scheduler = scheduler_for(pipe, solver, None)
    run_staged(request(case, pipe, SPLIT, "coherent"))
    assert orders == [1, 2, 2, 2, 2, 1, 2, 1]
    assert pipe.scheduler.config.final_sigmas_type == "zero"
    orders.clear()
    run_staged(request(case, pipe, flat(STEPS)))
    assert orders == [1, *[2] * (STEPS - 2), 1]


@pytest.mark.parametrize("name", ["wan", "wan-i2v", "skyreels", "skyreels-i2v", "wan-vace"])
def test_with_equal_timesteps_at_the_top_no_step_is_skipped(name):
    """100 steps at shift 12: 999 twice. Pipelines that leave the first index to diffusers would fail at the last."""
    case = CASES[name]
    pipe = case.build()
    pipe.scheduler = scheduler_for(pipe, "unipc", 12.0)
    table = solver_table(make_solver("unipc", 12.0), 100)
    assert table.timesteps[0] == table.timesteps[1] == 999
    for schedule in (flat(100), parse_schedule(100, [1.0, 0.75], [50, 60])):
        result = run_staged(request(case, pipe, schedule, "coherent", decode=False))
        assert len(result.sigmas) == 100


@pytest.mark.parametrize("name", ["wan-i2v", "sdxl", "kandinsky-5"])
def test_beginning_at_the_first_level_changes_no_bit_where_timesteps_differ(name):
    case = CASES[name]
    pipe = case.build()
    assert np.array_equal(run_staged(request(case, pipe, flat(STEPS))).frames, untouched(case, pipe))


class Seen(Exception):
    pass


@pytest.mark.parametrize("solver", ["unipc", "euler"])
@pytest.mark.parametrize("policy", list(POLICIES))
def test_a_velocity_gets_its_time_on_the_device_of_the_run(policy, solver):
    def velocity(x, t):
        assert (x.device.type, t.device.type) == ("meta", "meta")
        raise Seen

    with pytest.raises(Seen):
        sample(velocity, (4, 2, 8, 8), TWO, policy=policy, seed=1, shift=5.0, solver=solver, device="meta")


def test_tables_are_computed_on_the_cpu_as_not_every_device_has_float64(monkeypatch):
    """A stand-in for Apple's: a tensor that is not on the CPU refuses to become float64."""
    own = torch.Tensor.double
    monkeypatch.setattr(torch.Tensor, "double", lambda x: own(x) if x.device.type == "cpu" else pytest.fail("float64"))
    seen = []
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: seen.append(x.device.type) or torch.ones(x.shape, dtype=x.dtype))
    table = Table(torch.ones(5, device="meta"), torch.ones(4, dtype=torch.int64, device="meta")).reshifted(0.5)
    assert seen == ["meta"]
    assert (table.sigmas.device.type, table.timesteps.device.type) == ("meta", "meta")
    assert (table.sigmas.dtype, table.timesteps.dtype) == (torch.float32, torch.int64)
