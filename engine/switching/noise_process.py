"""How a scheduler's states read as a rectified flow, so that one set of formulas serves every family.

A state of any of these schedulers is `x = k·((1-σ)·x0 + σ·ε)` for one number k that σ decides: 1 for flow matching,
`1/√((1-σ)² + σ²)` where the variance is preserved (DDIM, DDPM, UniPC and DPM++ without flow sigmas), `1/(1-σ)` where it
explodes (Euler). Divided by k it is a rectified flow's state at level σ, which is what policies know.

Only the schedulers that `engine.switching.scheduler_kinds` lists are let in: with others (Heun, PNDM, LCM, DEIS,
single-step DPM) the same formulas run, and are wrong, since what they step is not a state at the level that they name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.errors import UnsupportedPipeline
from engine.switching.scheduler_kinds import ProcessName, config_of, process_name
from engine.switching.sigma_tables import Table


@dataclass(frozen=True)
class Process:
    """One kind of noise process: its tables, and its states in the words of a rectified flow.

    Tensors are latents of any shape and layout, elementwise: what comes out has the shape, dtype and device of `x`.
    Where nothing has to be computed it is the very tensor that went in: write into none. Levels are a rectified flow's
    sigma, 0 (clean) to 1 (noise); `velocity` is ε - x0.
    """

    name: ProcessName
    table: Callable[[Any], Table]  # of a scheduler fresh from `set_timesteps`
    scale: Callable[[float], float]  # k of a level
    can_reshift: bool = False  # whether a stage may have levels of its own; a grid that a model was trained on stays
    windowed: bool = (
        True  # whether a stage's last step ends at its table's next level; DDPM takes it for the run's last
    )
    sign: int = 0  # of the velocity in a flow model's output; 0: read x0 from the scheduler instead

    def flow(self, x: Tensor, level: float) -> Tensor:
        """A scheduler's state as a rectified flow's at the same level; `x` itself where they are the same."""
        k = self.scale(level)
        return x if k == 1 else x / k

    def state(self, x: Tensor, level: float) -> Tensor:
        """A rectified flow's state as the scheduler's: the inverse of `flow`."""
        k = self.scale(level)
        return x if k == 1 else x * k

    def predicted_velocity(self, scheduler: Any, x: Tensor, model_output: Tensor, level: float) -> Tensor:
        """The velocity that a model output means, before its step is taken; `x` is a rectified flow's state.

        In float32, give float32. Raises UnsupportedPipeline for a prediction type without a formula here. Source: the
        prediction types as diffusers' `convert_model_output` reads them.
        """
        if self.sign:
            return model_output if self.sign > 0 else -model_output
        kind, norm = _prediction(scheduler), math.hypot(1 - level, level)
        if kind == "epsilon":
            return (model_output - x) / max(1 - level, 1e-8)
        if kind == "sample":
            return (x - model_output) / max(level, 1e-8)
        # v = α·ε - s·x0 with α = (1-σ)/norm, s = σ/norm; x = (1-σ)·x0 + σ·ε
        return (model_output * norm - x * (1 - 2 * level)) / norm**2

    def model_output(self, scheduler: Any, x: Tensor, velocity: Tensor, level: float) -> Tensor:
        """The model output that `predicted_velocity` reads as this velocity: its inverse. Raises what that does."""
        if self.sign:
            return velocity if self.sign > 0 else -velocity
        kind, norm = _prediction(scheduler), math.hypot(1 - level, level)
        if kind == "epsilon":
            return x + (1 - level) * velocity
        if kind == "sample":
            return x - level * velocity
        return (velocity * norm**2 + x * (1 - 2 * level)) / norm

    def velocity(self, scheduler: Any, x: Tensor, model_output: Tensor, out: Any, level: float) -> Tensor:
        """The velocity of a step that was taken: `x` and `model_output` as the scheduler got them, `out` its result.

        Of a flow model the output itself, in its dtype; else float32, from the x0 that the scheduler made (and maybe
        clipped) in the step.
        """
        if self.sign:
            return model_output if self.sign > 0 else -model_output
        return (self.flow(x.float(), level) - _x0(scheduler, out).float()) / max(level, 1e-8)


def process_of(scheduler: Any) -> Process:
    """The process of a scheduler. Raises UnsupportedPipeline for one that these formulas do not describe."""
    name = process_name(config_of(scheduler))
    if name is None:
        raise UnsupportedPipeline(
            f"the scheduler {type(scheduler).__name__} with these settings cannot follow a resolution schedule; use "
            "UniPC or DPM++ (multistep), flow-matching Euler, Euler, Euler ancestral, DDIM or DDPM."
        )
    return PROCESSES[name]


def _prediction(scheduler: Any) -> str:
    """What a scheduler takes a model's output for. Raises UnsupportedPipeline for what has no formula here."""
    kind = str(scheduler.config.prediction_type)
    if kind in ("epsilon", "sample", "v_prediction"):
        return kind
    raise UnsupportedPipeline(f'a scheduler with the prediction type "{kind}" cannot follow a resolution schedule.')


def _x0(scheduler: Any, out: Any) -> Tensor:
    """The step's x0: what the scheduler returns beside its result, or keeps for its next step."""
    if isinstance(out, tuple) and len(out) > 1:
        return out[1]
    x0 = getattr(out, "pred_original_sample", None)
    return scheduler.model_outputs[-1] if x0 is None else x0


def _flow_table(scheduler: Any) -> Table:
    return Table(scheduler.sigmas, scheduler.timesteps)


def _inverted_table(scheduler: Any) -> Table:
    return Table(1 - scheduler.sigmas, scheduler.timesteps, inverted=True)


def _ratio_table(scheduler: Any) -> Table:
    """`scheduler.sigmas` are σ/α of the process, s; as a flow's level s/(1+s)."""
    s = scheduler.sigmas.cpu().double()
    level = (s / (1 + s)).float().to(scheduler.sigmas.device)
    return Table(level, scheduler.timesteps, native=scheduler.sigmas)


def _alphas_table(scheduler: Any) -> Table:
    """Levels of timesteps on a trained grid, and of what follows the last of them."""
    grid, times = scheduler.alphas_cumprod.double().cpu(), scheduler.timesteps.cpu()
    final = getattr(scheduler, "final_alpha_cumprod", None)
    after = int(times[-1]) - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    last = grid[after] if after >= 0 else torch.ones(()) if final is None else final.double().cpu()
    alphas = torch.cat([grid[times.long()], last.reshape(1).double()])
    signal, noise = alphas.sqrt(), (1 - alphas).clamp_min(0).sqrt()
    return Table((noise / (signal + noise)).float(), scheduler.timesteps)


def _preserving_scale(level: float) -> float:
    return 1 / math.hypot(1 - level, level)


FLOW = Process("flow", _flow_table, lambda level: 1.0, can_reshift=True, sign=1)
INVERTED = Process("inverted flow", _inverted_table, lambda level: 1.0, can_reshift=True, sign=-1)
PRESERVING = Process("variance preserving", _ratio_table, _preserving_scale)
DISCRETE = Process("variance preserving, on a trained grid", _alphas_table, _preserving_scale, windowed=False)
EXPLODING = Process("variance exploding", _ratio_table, lambda level: 1 / (1 - level))
PROCESSES = {process.name: process for process in (FLOW, INVERTED, PRESERVING, DISCRETE, EXPLODING)}
