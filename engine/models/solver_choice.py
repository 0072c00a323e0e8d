"""Which solvers a model can be run with, read from its scheduler's config. No torch here.

A solver stays within the noise process that the model was trained for: a flow stays a flow, a diffusion a diffusion.
CogVideoX steps only with schedulers of its own. Pipelines that hand their scheduler a finished table of levels take
flow-matching Euler alone: the others would shift it a second time, or do not take one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import InvalidInput
from engine.models.families import FAMILIES
from engine.switching.scheduler_kinds import SCHEDULERS, kind_of

SOLVERS = ("unipc", "euler", "dpm++", "ddim")


def solvers_for(pipeline: str, scheduler: Mapping[str, Any]) -> tuple[str, ...]:
    """The solvers that a pipeline class with this scheduler can be run with."""
    if pipeline == "Hpdm":
        return ()
    kind = kind_of(scheduler)
    if kind == "flow" and not (pipeline in FAMILIES and FAMILIES[pipeline].asks_for_table):
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
