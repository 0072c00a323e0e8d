"""Stand-ins on a pipeline's instance while a run lasts: the scheduler's stage view, and putting everything back."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from engine.models.diffusers_private import reset_cache

TablesMade = Callable[[Any, float | None], None]  # the scheduler, and the `mu` that the pipeline gave it


class StepListener(Protocol):
    """What sees every step of a stage view. Tensors are in the pipeline's layout, dtype and device."""

    def stepping(self, scheduler: Any, x: Tensor, model_output: Tensor) -> tuple[Tensor, Tensor]:
        """Before a step: what to take it with in the place of `x` and `model_output`, maybe they themselves."""

    def stepped(self, scheduler: Any, x: Tensor, model_output: Tensor, out: Any) -> None:
        """After a step: what it was taken with, and what the scheduler returned."""


def stage_view(base: Any, tables_made: TablesMade, steps: StepListener) -> Any:
    """The same scheduler, of a subclass that reports its timesteps and its steps; it shares nothing that a run changes.

    A copy that the pipeline makes of it behaves as the plain class.
    """
    cls = type(base)
    signature = inspect.signature(cls.step)

    @functools.wraps(cls.set_timesteps)
    def set_timesteps(self: Any, *args: Any, **kwargs: Any) -> None:
        cls.set_timesteps(self, *args, **kwargs)
        if self is view:
            tables_made(self, kwargs.get("mu"))

    @functools.wraps(cls.step)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not view:
            return cls.step(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        named = bound.arguments
        named["sample"], named["model_output"] = steps.stepping(self, named["sample"], named["model_output"])
        out = cls.step(*bound.args, **bound.kwargs)
        steps.stepped(self, named["sample"], named["model_output"], out)
        return out

    methods = {"set_timesteps": set_timesteps, "step": step, "__module__": cls.__module__}
    view: Any = object.__new__(type(cls.__name__, (cls,), methods))
    view.__dict__ = dict(base.__dict__)
    return view


def reset_caches(pipe: Any) -> None:
    """Between stages no offload round trip is made, but caches of another size must go."""
    for component in pipe.components.values():
        reset_cache(component)
