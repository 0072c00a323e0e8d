"""A bare sampling loop over any velocity function: the smallest thing that follows a resolution schedule.

Solvers are the library's own (diffusers), one fresh instance a stage, so no history crosses a switch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from engine.errors import RunFailed
from engine.sampling.scheduler_window import begin, enter_stage, make_solver, solver_table
from engine.schedules.latent_sizes import LatentSize, merged, stage_sizes
from engine.schedules.lightx2v_keys import schedule_of
from engine.schedules.schedule import ResolutionSchedule
from engine.switching.handover import Handover, StagePlan, noise_for, plan_stages
from engine.switching.policies import DEFAULT_POLICY, policy_named
from engine.switching.sigma_tables import wan_table

Solver = Literal["unipc", "euler"]
Velocity = Callable[[Tensor, Tensor], Tensor]
OnBareStep = Callable[[int, StagePlan, Tensor], None]


@torch.no_grad()
def sample(
    velocity: Velocity,
    latent_shape: Sequence[int],
    schedule: ResolutionSchedule | Mapping[str, Any],
    *,
    policy: str = DEFAULT_POLICY,
    seed: int,
    shift: float,
    solver: Solver = "unipc",
    patch: tuple[int, int, int] = (1, 2, 2),
    device: torch.device | str = "cpu",
    on_step: OnBareStep | None = None,
) -> Tensor:
    """Sample with `velocity(x, t)` along a schedule and return the final latents (C, T, H, W) float32.

    `velocity` gets x (C, T, h, w) float32 and t, a 0-d tensor in 0..1000 (integer-valued with UniPC, as Wan is told),
    and returns ε - x0 of x's shape. `latent_shape` is (C, T, H, W) at full resolution; `patch` is what stage sizes are
    floored to; `schedule` may be a LightX2V config as a dict. `on_step(step, stage_plan, x0)` is called after every
    step, counted from 1, and may raise to stop. Raises InvalidInput and, for a velocity of another shape, RunFailed.
    """
    channels, frames, height, width = latent_shape
    if isinstance(schedule, Mapping):
        schedule = schedule_of(schedule)
    rule = policy_named(policy)
    full = LatentSize(frames, height, width, 1.0, 1.0, frames * (height // patch[1]) * (width // patch[2]))
    sizes = stage_sizes(schedule, full, patch)
    if rule.merges:
        schedule, sizes = merged(schedule, sizes)
    table = solver_table(make_solver(solver, shift), schedule.infer_steps)  # on the CPU: stages take it to the device
    if rule.way == "lightx2v" and solver == "unipc" and len(sizes) > 1:
        table = wan_table(schedule.infer_steps, shift)  # the library's grid starts at 1.0, LightX2V's at 0.999
    plans = plan_stages(schedule, sizes, rule, table, shift)
    noise = noise_for(rule, seed, (1, channels, frames, height, width), torch.device(device))
    handover = Handover(rule, noise)
    x = handover.start(sizes[0])  # (1, C, T, h, w)
    for plan in plans:
        if plan.stage.index:
            x = handover.switch(plans[plan.stage.index - 1], plan)  # (1, C, T, h', w')
        x = _run_stage(velocity, x, plan, plans[-1], handover, make_solver(solver, shift), on_step)
    return x[0]


def _run_stage(
    velocity: Velocity,
    x: Tensor,
    plan: StagePlan,
    last: StagePlan,
    handover: Handover,
    scheduler: Any,
    on_step: OnBareStep | None,
) -> Tensor:
    """All steps of one stage; x (1, C, T, h, w) in and out."""
    scheduler.set_timesteps(last.stage.last, device=x.device)
    enter_stage(scheduler, plan, final=plan is last)
    begin(scheduler)
    for step, t in enumerate(scheduler.timesteps, plan.stage.first):
        v = velocity(x[0], t.float())[None]  # (1, C, T, h, w)
        if v.shape != x.shape:
            raise RunFailed(f"the velocity has shape {tuple(v.shape[1:])} for x of {tuple(x.shape[1:])}.", step)
        x, v = handover.corrected(x, v, plan.levels[step - 1])
        stepped = scheduler.step(v, t, x, return_dict=False)[0]
        handover.record(x, v, stepped, step)
        if on_step:
            on_step(step, plan, (x - plan.sigmas[step - plan.stage.first] * v)[0])
        x = stepped
    return x
