"""Stand-ins on a pipeline's instance while a run lasts: the scheduler's stage view, and putting everything back."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Protocol

from torch import Tensor


class StageListener(Protocol):
    """What a stage view tells of its pipeline's progress."""

    def tables_made(self, scheduler: Any, mu: float | None) -> None: ...
    def stepping(self, scheduler: Any, x: Tensor, answer: Tensor) -> tuple[Tensor, Tensor]: ...
    def stepped(self, scheduler: Any, x: Tensor, answer: Tensor, out: Any) -> None: ...


def stage_view(base: Any, run: StageListener) -> Any:
    """The same scheduler, of a subclass that reports to `run`; it shares nothing that a run changes.

    A copy that the pipeline makes of it behaves as the plain class.
    """
    cls = type(base)
    signature = inspect.signature(cls.step)

    @functools.wraps(cls.set_timesteps)
    def set_timesteps(self: Any, *args: Any, **kwargs: Any) -> None:
        cls.set_timesteps(self, *args, **kwargs)
        if self is view:
            run.tables_made(self, kwargs.get("mu"))

    @functools.wraps(cls.step)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not view:
            return cls.step(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        given = bound.arguments
        given["sample"], given["model_output"] = run.stepping(self, given["sample"], given["model_output"])
        out = cls.step(*bound.args, **bound.kwargs)
        run.stepped(self, given["sample"], given["model_output"], out)
        return out

    methods = {"set_timesteps": set_timesteps, "step": step, "__module__": cls.__module__}
    view: Any = object.__new__(type(cls.__name__, (cls,), methods))
    view.__dict__ = dict(base.__dict__)
    return view


def reset_caches(pipe: Any) -> None:
    """Between stages no offload round trip is made, but caches of another size must go."""
    for component in pipe.components.values():
        if hasattr(component, "_reset_stateful_cache"):
            component._reset_stateful_cache()
