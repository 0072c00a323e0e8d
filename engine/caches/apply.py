"""A cache on a pipeline's transformers while a run lasts: put on anew for every stage, and every evaluation counted.

Nothing of a stage outlives it: at its end all that was remembered is dropped and every hook is taken off, also after an
error or a cancel, so that no tensor of another size or noise level can be met after a switch. A run without a cache
is only counted.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn

from engine.caches import diffusers_caches, teacache
from engine.caches.cache_choice import CacheChoice
from engine.caches.counting import Evaluations, PassCounter, StageCount
from engine.caches.which_model import TURNED_BLOCKS
from engine.errors import UnsupportedPipeline
from engine.models.denoisers import denoisers_of, is_compiled
from engine.models.diffusers_private import CACHE_CONFIG, HOOKS, OFFLOAD_HOOK, reset_cache
from engine.patching import patched
from engine.schedules.schedule import Stage

_MISSING = object()


@contextlib.contextmanager
def cached(pipe: Any, choice: CacheChoice | None, stages: Sequence[Stage]) -> Iterator[CachedRun]:
    """While the block runs, stages entered by `stage(index)` run under the cache, and evaluations are counted.

    `stages` are the schedule's. Enter it inside of `engine.sampling.done_once.done_once`. Raises
    UnsupportedPipeline where the pipeline cannot take this cache; the pipeline is then as it was.
    """
    run = CachedRun(pipe, choice, stages)
    try:
        yield run
    finally:
        run.models.clear()


class CachedRun:
    """What `cached` yields: `stage` puts the cache on, `evaluations` is what has been counted."""

    def __init__(self, pipe: Any, choice: CacheChoice | None, stages: Sequence[Stage]) -> None:
        self.pipe, self.choice, self.stages = pipe, choice, stages
        self.evaluations = Evaluations([StageCount() for _ in stages])
        self.models: dict[str, Any] = denoisers_of(pipe)
        if choice is not None:
            _check(pipe, list(self.models.values()), choice)

    @contextlib.contextmanager
    def stage(self, index: int) -> Iterator[None]:
        """Run one stage, `index` from 0: its count begins anew, and its cache empty."""
        count = self.evaluations.stages[index] = StageCount()
        clock = teacache.Clock()  # one for all transformers: a step is evaluated by one of them
        with contextlib.ExitStack() as stack:
            for name, model in self.models.items():
                counter = stack.enter_context(_counted(model, name, count))
                if self.choice:
                    stack.enter_context(self._under_cache(model, counter, self.choice, self.stages[index], clock))
            yield

    @contextlib.contextmanager
    def _under_cache(
        self, model: Any, counter: PassCounter, choice: CacheChoice, stage: Stage, clock: teacache.Clock
    ) -> Iterator[None]:
        parts = diffusers_caches.cached_parts(model, choice)
        counter.count.watched = tuple(parts)
        with as_it_was(model), contextlib.ExitStack() as stack:
            for name, part in parts.items():
                stack.enter_context(patched(part, forward=_noted(part.forward, counter, name)))
            if choice.name == "pab":
                diffusers_caches.install_broadcast(model, parts, choice, lambda: counter.once(self._timestep))
                remove: Callable[[], None] = functools.partial(diffusers_caches.uninstall_broadcast, model, parts)
            else:
                remove = self._install(model, choice, stage, clock)
            try:
                yield
            finally:
                forget(model)
                remove()

    def _install(self, model: Any, choice: CacheChoice, stage: Stage, clock: teacache.Clock) -> Callable[[], None]:
        """Put the hooks on; gives back what takes them off."""
        steps = self.stages[-1].last
        if choice.name == "teacache":
            rule = teacache.TeaRule(
                choice["threshold"], choice["coefficients"], choice["ret_steps"], stage.first - 1, steps
            )
            teacache.install(model, rule, clock)
            return functools.partial(teacache.uninstall, model)
        model.enable_cache(diffusers_caches.config_of(choice, stage, steps, model.dtype))
        removed: Callable[[], None] = model.disable_cache
        return removed

    def _timestep(self) -> float:
        return float(self.pipe.current_timestep)


@contextlib.contextmanager
def _counted(model: Any, name: str, count: StageCount) -> Iterator[PassCounter]:
    """A transformer whose passes are counted; nothing of what it computes changes."""
    counter = PassCounter(count, name)
    before = model.register_forward_pre_hook(lambda *_: counter.begin())
    after = model.register_forward_hook(lambda *_: counter.end())
    try:
        yield counter
    finally:
        before.remove()
        after.remove()


def forget(model: Any) -> None:
    """Drop every tensor that a transformer's caches remember."""
    reset_cache(model)


def _noted(forward: Callable[..., Any], counter: PassCounter, name: str) -> Callable[..., Any]:
    """A part's `forward`, beneath all caches: where it is called the part is really computed."""

    @functools.wraps(forward)
    def noted(*args: Any, **kwargs: Any) -> Any:
        counter.computed(name)
        return forward(*args, **kwargs)

    return noted


@contextlib.contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Take off what hooks leave behind on modules that had none: registries, `forward` on the instance, the config."""
    names = ("forward", HOOKS, CACHE_CONFIG)
    before = [(part, {name: part.__dict__.get(name, _MISSING) for name in names}) for part in model.modules()]
    try:
        yield
    finally:
        for part, found in before:
            kept = {"forward"} if OFFLOAD_HOOK in part.__dict__ else set()  # offloading has put its own there
            for name, value in found.items():
                if value is _MISSING and name not in kept:
                    part.__dict__.pop(name, None)


def check_counting(pipe: Any, choice: CacheChoice) -> None:
    """Refuse a cache whose counting a pipeline cannot have, before anything is recorded for it."""
    if choice.name == "magcache" and len(denoisers_of(pipe)) > 1:
        title, name = choice.technique.title, type(pipe).__name__
        raise UnsupportedPipeline(f"{title} counts steps per transformer and {name} has two; use TeaCache.")


def _check(pipe: Any, models: Sequence[Any], choice: CacheChoice) -> None:
    """Refuse what would fail in the middle of a run, or be wrong in silence."""
    title, name = choice.technique.title, type(pipe).__name__
    if choice.name == "fastercache":
        raise UnsupportedPipeline(f"FasterCache does not run on {name} here; use TeaCache or TaylorSeer.")
    if not names_passes(type(pipe)):
        raise UnsupportedPipeline(
            f"{name} does not tell caches which pass of guidance is under way, so {title} would mix them up; run this "
            "track without a cache."
        )
    if choice.name == "seacache" and name != "WanPipeline":
        raise UnsupportedPipeline(
            f"{name} does not tell steps and noise levels to caches, as {title} needs; use MagCache."
        )
    if choice.name == "firstblock" and name in TURNED_BLOCKS:
        raise UnsupportedPipeline(f"{title} of diffusers fails on the blocks of {name}; use MagCache or TaylorSeer.")
    check_counting(pipe, choice)
    if choice.name == "pab" and not hasattr(type(pipe), "current_timestep"):
        raise UnsupportedPipeline(f"{name} does not tell its timestep, which {title} goes by; use TaylorSeer.")
    if choice.name == "teacache" and not choice.get("coefficients"):
        raise UnsupportedPipeline("TeaCache has no coefficients for this model; give them as `coefficients`.")
    for model in models:
        _check_model(model, choice)
        diffusers_caches.cached_parts(model, choice)


def _check_model(model: Any, choice: CacheChoice) -> None:
    title, name = choice.technique.title, type(model).__name__
    if not hasattr(model, "enable_cache"):
        raise UnsupportedPipeline(f"{name} takes no caches of diffusers; run this track without {title}.")
    if model.is_cache_enabled:
        raise UnsupportedPipeline(f"{name} has a cache switched on already; switch it off before {title} is used.")
    if choice.name in ("teacache", "seacache") and name != "WanTransformer3DModel":
        raise UnsupportedPipeline(f"{title} is for Wan's transformer, and this is {name}; use First block.")
    if choice.name == "seacache" and model.config.in_channels != model.config.out_channels:
        raise UnsupportedPipeline(f"{title} needs a transformer whose input is the latents alone; use First block.")
    if is_compiled(model):
        raise UnsupportedPipeline(f"{title} would have the compiled {name} compiled anew; load it uncompiled.")


def names_passes(pipeline: type) -> bool:
    """Whether a pipeline's loop names each pass to the caches (`cache_context`): they keep the passes apart by it."""
    code = getattr(inspect.unwrap(pipeline.__call__), "__code__", None)
    return code is not None and "cache_context" in code.co_names
