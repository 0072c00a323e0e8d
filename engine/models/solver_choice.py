"""Which solvers a model can be run with, read from its scheduler's config. No torch here.

A solver stays within the noise process that the model was trained for: a flow stays a flow, a diffusion a diffusion.
CogVideoX steps only with schedulers of its own. Pipelines that hand their scheduler a finished table of levels take
flow-matching Euler alone: the others would shift it a second time, or do not take one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from engine.errors import InvalidInput

SolverKind = Literal["flow", "inverted", "diffusion", "cogvideox"]
SOLVERS = ("unipc", "euler", "dpm++", "ddim")
SCHEDULERS: Mapping[SolverKind, Mapping[str, str]] = {
    "flow": {
        "unipc": "UniPCMultistepScheduler",
        "euler": "FlowMatchEulerDiscreteScheduler",
        "dpm++": "DPMSolverMultistepScheduler",
    },
    "inverted": {"euler": "FlowMatchEulerDiscreteScheduler"},
    "diffusion": {
        "unipc": "UniPCMultistepScheduler",
        "euler": "EulerDiscreteScheduler",
        "dpm++": "DPMSolverMultistepScheduler",
        "ddim": "DDIMScheduler",
    },
    "cogvideox": {"ddim": "CogVideoXDDIMScheduler", "dpm++": "CogVideoXDPMScheduler"},
}
# Flow pipelines that ask the scheduler for its own table.
ASK_FOR_TABLE = (
    "WanPipeline", "WanImageToVideoPipeline", "WanVACEPipeline", "SkyReelsV2Pipeline", "SkyReelsV2ImageToVideoPipeline",
    "Kandinsky5T2VPipeline", "Kandinsky5I2VPipeline", "SanaPipeline", "SanaVideoPipeline", "SanaImageToVideoPipeline",
    "StableDiffusion3Pipeline", "AuraFlowPipeline",
)  # fmt: skip
UNIPC_FLOW: Mapping[str, Any] = {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True}  # Wan's


def kind_of(scheduler: Mapping[str, Any]) -> SolverKind:
    """The noise process of a scheduler, from its config with `_class_name`."""
    name = str(scheduler.get("_class_name", ""))
    if name.startswith("CogVideoX"):
        return "cogvideox"
    if name.startswith("FlowMatch") or scheduler.get("use_flow_sigmas"):
        return "inverted" if scheduler.get("invert_sigmas") else "flow"
    return "diffusion"


def shift_in(scheduler: Mapping[str, Any]) -> float | None:
    """The shift in a scheduler's config; None where it goes by the size, or there is none."""
    if kind_of(scheduler) in ("diffusion", "cogvideox") or scheduler.get("use_dynamic_shifting"):
        return None
    key = "shift" if str(scheduler.get("_class_name")).startswith("FlowMatch") else "flow_shift"
    value = scheduler.get(key, 1.0)
    return None if value is None else float(value)


def solvers_for(pipeline: str, scheduler: Mapping[str, Any]) -> tuple[str, ...]:
    """The solvers that a pipeline class with this scheduler can be run with."""
    if pipeline == "Hpdm":
        return ()
    kind = kind_of(scheduler)
    if kind == "flow" and pipeline not in ASK_FOR_TABLE:
        return ("euler",)
    return tuple(SCHEDULERS[kind])


def checked_solver(value: object, pipeline: str, scheduler: Mapping[str, Any]) -> str | None:
    """A solver's name from outside; None is the model's own. Raises InvalidInput with the choices."""
    if value is None:
        return None
    if not isinstance(value, str) or value not in SOLVERS:
        raise InvalidInput("solver", f"solver is {str(value)[:40]!r}; it must be one of {', '.join(SOLVERS)}.")
    choices = solvers_for(pipeline, scheduler)
    if value not in choices:
        raise InvalidInput(
            "solver",
            f"solver is {value!r}, which does not fit {pipeline} and its noise process ({kind_of(scheduler)}); "
            f"leave it out{', or use ' * bool(choices)}{' or '.join(choices)}.",
        )
    return value


def checked_shift_use(value: object, title: str, scheduler: Mapping[str, Any]) -> None:
    """Raises InvalidInput for a shift asked of a model that has none."""
    if value is not None and kind_of(scheduler) in ("diffusion", "cogvideox"):
        raise InvalidInput(
            "shift", f"{title} is no flow and has no shift; leave shift out: its scheduler has the noise levels."
        )
