"""diffusers' schedulers as we run them: made, read as a table, and given one stage's window of it."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from engine.errors import InvalidInput
from engine.switching.handover import StagePlan
from engine.switching.sigma_tables import Table


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

    Before a switch the last step is not the run's last: UniPC must not fall back to first order there.
    """
    scheduler.timesteps = plan.timesteps
    if hasattr(scheduler, "sigmas"):
        scheduler.sigmas = plan.counted
    if not final and getattr(scheduler.config, "lower_order_final", False):
        scheduler.register_to_config(lower_order_final=False)
