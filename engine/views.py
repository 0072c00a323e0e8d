"""Stand-ins on a pipeline's instance while a run lasts: the scheduler's stage view, and putting everything back."""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
from collections.abc import Iterator
from typing import Any, Protocol

import torch
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


@contextlib.contextmanager
def patched(target: Any, **attributes: Any) -> Iterator[None]:
    """Set instance attributes while the block runs, and put back exactly what was there."""
    missing = object()
    before = {name: target.__dict__.get(name, missing) for name in attributes}
    try:
        for name, value in attributes.items():
            setattr(target, name, value)
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                with contextlib.suppress(AttributeError):
                    delattr(target, name)
            else:
                setattr(target, name, value)


def reset_caches(pipe: Any) -> None:
    """Between stages no offload round trip is made, but caches of another size must go."""
    for component in pipe.components.values():
        if hasattr(component, "_reset_stateful_cache"):
            component._reset_stateful_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; some libraries raise a plain RuntimeError for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        sign in text for sign in ("out of memory", "can't allocate memory", "alloc_failed", "cublas_status_alloc")
    )


def free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
