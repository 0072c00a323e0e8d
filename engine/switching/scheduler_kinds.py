"""What is known of a scheduler by the name of its class and its config: process, solver, shift. The one place for it.

`Config` is a scheduler's config with its class as `_class_name`, as diffusers writes it. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

Config = Mapping[str, Any]
SolverKind = Literal["flow", "inverted", "diffusion", "cogvideox"]
ProcessName = Literal[
    "flow",
    "inverted flow",
    "variance preserving",
    "variance preserving, on a trained grid",
    "variance exploding",
]
FLOW_EULER = "FlowMatchEulerDiscreteScheduler"
MULTISTEP = ("UniPCMultistepScheduler", "DPMSolverMultistepScheduler")
EULERS = ("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler")
TRAINED_GRID = ("DDIMScheduler", "DDPMScheduler", "CogVideoXDDIMScheduler", "CogVideoXDPMScheduler")
PREDICT_X0 = ("dpmsolver++", "sde-dpmsolver++")  # algorithms of DPM-Solver
UNIPC_FLOW: Config = {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True}  # Wan's
# Classes by kind and by the solver's short name.
SCHEDULERS: Mapping[SolverKind, Mapping[str, str]] = {
    "flow": {"unipc": MULTISTEP[0], "euler": FLOW_EULER, "dpm++": MULTISTEP[1]},
    "inverted": {"euler": FLOW_EULER},
    "diffusion": {"unipc": MULTISTEP[0], "euler": EULERS[0], "dpm++": MULTISTEP[1], "ddim": "DDIMScheduler"},
    "cogvideox": {"ddim": "CogVideoXDDIMScheduler", "dpm++": "CogVideoXDPMScheduler"},
}


def config_of(scheduler: Any) -> dict[str, Any]:
    """A loaded scheduler's config with its class."""
    return dict(scheduler.config) | {"_class_name": type(scheduler).__name__}


def kind_of(scheduler: Config) -> SolverKind:
    """What a model with this scheduler was trained for, whatever its solver; refused schedulers have it too."""
    name = str(scheduler.get("_class_name", ""))
    if name.startswith("CogVideoX"):
        return "cogvideox"
    if name.startswith("FlowMatch") or scheduler.get("use_flow_sigmas"):
        return "inverted" if scheduler.get("invert_sigmas") else "flow"
    return "diffusion"


def process_name(scheduler: Config) -> ProcessName | None:
    """The noise process whose formulas describe a scheduler's steps; None where none does (docs/models.md)."""
    name = scheduler["_class_name"]
    if name == FLOW_EULER and not scheduler.get("stochastic_sampling"):
        return "inverted flow" if scheduler.get("invert_sigmas") else "flow"
    if name in MULTISTEP and _predicts_x0(scheduler):
        flows = bool(scheduler.get("use_flow_sigmas"))
        if flows == (scheduler["prediction_type"] == "flow_prediction"):
            return "flow" if flows else "variance preserving"
    if name in EULERS and not scheduler.get("rescale_betas_zero_snr"):
        return "variance exploding"
    return "variance preserving, on a trained grid" if name in TRAINED_GRID else None


def shift_key(class_name: str) -> str:
    """What a flow scheduler calls its shift."""
    return "shift" if class_name.startswith("FlowMatch") else "flow_shift"


def shift_in(scheduler: Config) -> float | None:
    """The shift that a config holds; None where it goes by the size, or there is none."""
    if kind_of(scheduler) in ("diffusion", "cogvideox") or scheduler.get("use_dynamic_shifting"):
        return None
    value = scheduler.get(shift_key(str(scheduler.get("_class_name"))), 1.0)
    return None if value is None else float(value)


def shift_used(scheduler: Config, mu: float | None) -> float | None:
    """The shift that made a flow scheduler's table, its own or as the pipeline's `mu` says; None where it has none."""
    if mu is not None and scheduler.get("use_dynamic_shifting"):
        return float(mu) if scheduler.get("time_shift_type") == "linear" else math.exp(mu)
    return scheduler.get("flow_shift") or scheduler.get("shift")


def _predicts_x0(scheduler: Config) -> bool:
    if "predict_x0" in scheduler:
        return bool(scheduler["predict_x0"])
    return scheduler["algorithm_type"] in PREDICT_X0
