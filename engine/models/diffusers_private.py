"""All that the engine uses of diffusers and is not promised by it: private names, and hooks that its pages leave out.

They were tested with diffusers `TESTED_WITH`; `tests/models/test_diffusers_private.py` says which of them a newer
version has lost. Everything else of the library is used by its public names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from diffusers.hooks._common import _ALL_TRANSFORMER_BLOCK_IDENTIFIERS, _ATTENTION_CLASSES
from diffusers.hooks._helpers import TransformerBlockRegistry
from diffusers.hooks.hooks import BaseState, HookRegistry, ModelHook, StateManager
from diffusers.hooks.pyramid_attention_broadcast import (
    PyramidAttentionBroadcastHook,
    PyramidAttentionBroadcastState,
)
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
from torch import nn

from engine.patching import patched

__all__ = [
    "BaseState",
    "HookRegistry",
    "ModelHook",
    "PyramidAttentionBroadcastHook",
    "PyramidAttentionBroadcastState",
    "StateManager",
]
TESTED_WITH = "0.42.1"
BLOCK_LISTS: tuple[str, ...] = _ALL_TRANSFORMER_BLOCK_IDENTIFIERS  # attributes that hold a transformer's blocks
ATTENTIONS: tuple[type, ...] = _ATTENTION_CLASSES
HOOKS, CACHE_CONFIG = "_diffusers_hook", "_cache_config"  # what its hooks and caches leave on a module
OFFLOAD_HOOK = "_hf_hook"  # accelerate's, on a module that is moved to the device for each call
PROGRESS_BAR = "_progress_bar_config"  # of a pipeline


def execution_device(pipe: Any) -> torch.device:
    """Where a pipeline computes, also when its networks wait elsewhere. Looks through all modules: ask it once."""
    return torch.device(pipe._execution_device)


def offloads_models(pipe: Any) -> bool:
    """Whether whole networks of a pipeline take turns on the device."""
    return bool(getattr(pipe, "_all_hooks", None))


@contextlib.contextmanager
def moves_within(pipe: Any, around: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """While the block runs, whole networks come to the device, and go at the end of a call, inside of `around()`.

    Of a pipeline whose networks do not take turns nothing is changed.
    """

    def bringing(hook: Any, pre_forward: Callable[..., Any]) -> Callable[..., Any]:
        def brought(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if next(module.parameters()).device == hook.execution_device:
                return pre_forward(module, *args, **kwargs)
            with around():
                return pre_forward(module, *args, **kwargs)

        return brought

    def freeing(free: Callable[[], Any]) -> Callable[[], Any]:
        def freed() -> Any:
            with around():
                return free()

        return freed

    with contextlib.ExitStack() as stack:
        if offloads_models(pipe):
            stack.enter_context(patched(pipe, maybe_free_model_hooks=freeing(pipe.maybe_free_model_hooks)))
            for hook in (one.hook for one in pipe._all_hooks):
                stack.enter_context(patched(hook, pre_forward=bringing(hook, hook.pre_forward)))
        yield


def reset_cache(model: Any) -> None:
    """Drop what a network's caches remember; nothing where it is of a kind that takes no caches."""
    if hasattr(model, "_reset_stateful_cache"):
        model._reset_stateful_cache()


def repeated_block_classes(network: nn.Module) -> tuple[str, ...]:
    """The classes of a network's repeated blocks by name; none where it does not say."""
    return tuple(getattr(network, "_repeated_blocks", None) or ())


def chooses_backend(processor: object) -> bool:
    """Whether an attention's processor goes by `set_attention_backend`."""
    return hasattr(processor, "_attention_backend")


def active_backend() -> AttentionBackendName:
    """The attention backend of all networks that have none of their own."""
    return _AttentionBackendRegistry.get_active_backend()[0]


def knows_results_of(block: type[nn.Module]) -> bool:
    """Whether its caches know what a class of block returns."""
    try:
        TransformerBlockRegistry.get(block)
    except ValueError:
        return False
    return True


def hooks_of(module: nn.Module) -> HookRegistry:
    """A module's registry of hooks, made where it has none."""
    return HookRegistry.check_if_exists_or_initialize(module)


def find_hooks_anew(model: nn.Module) -> None:
    """Hooks below a model were put on or taken off: it must look for them again."""
    hooks_of(model).invalidate_child_registries_cache()
