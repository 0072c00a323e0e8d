"""diffusers' schedulers as we run them: made, read as a table, and given one stage's window of it."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from engine.errors import InvalidInput
from engine.switching.handover import StagePlan
from engine.switching.sigma_tables import Table

# What makes UniPC and DPM++ end at first order: by the end of any table that once ended at zero, DPM++ does.
GOES_ON = {"lower_order_final": False, "euler_at_final": False, "final_sigmas_type": "sigma_min"}


def make_solver(solver: str, shift: float) -> Any:
    """A flow-matching solver with a static shift: Wan's UniPC (order 2, bh2) or Euler."""
    if solver == "unipc":
        return UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, num_train_timesteps=1000
        )
    if solver == "euler":
        return FlowMatchEulerDiscreteScheduler(shift=shift)
    raise InvalidInput("solver", f"solver is {str(solver)[:40]!r}; it must be unipc or euler.")


def solver_table(scheduler: Any, infer_steps: int, device: torch.device | str = "cpu") -> Table:
    """The full-resolution table of a scheduler, as its own `set_timesteps` makes it."""
    scheduler.set_timesteps(infer_steps, device=device)
    return Table(scheduler.sigmas, scheduler.timesteps)


def enter_stage(scheduler: Any, plan: StagePlan, final: bool) -> None:
    """Give a scheduler, fresh from `set_timesteps`, one stage's window of levels.

    Before a switch the last step is not the run's last: a multistep solver must not fall back to first order there.
    Whatever device the plan's table is on, the scheduler's tensors stay on theirs.
    """
    scheduler.timesteps = plan.timesteps.to(scheduler.timesteps.device)
    if hasattr(scheduler, "sigmas"):
        scheduler.sigmas = plan.counted.to(scheduler.sigmas.device)
    if not final:
        scheduler.register_to_config(**{key: GOES_ON[key] for key in GOES_ON.keys() & scheduler.config.keys()})


def begin(scheduler: Any) -> None:
    """Start at the first level of a table. Without it diffusers looks the first timestep up, and of two equal ones
    (integers, from 100 steps at shift 12 on) it takes the second: the last step then fails.
    """
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
