"""diffusers' own caches, put on one stage of a run: each counts within a stage what it is told of the whole run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import FirstBlockCacheConfig, MagCacheConfig, SeaCacheConfig, TaylorSeerCacheConfig
from torch import nn

from engine.caches.cache_choice import CacheChoice
from engine.errors import UnsupportedPipeline
from engine.models.diffusers_private import (
    ATTENTIONS,
    BLOCK_LISTS,
    PyramidAttentionBroadcastHook,
    PyramidAttentionBroadcastState,
    StateManager,
    find_hooks_anew,
    hooks_of,
    knows_results_of,
)
from engine.schedules.schedule import Stage

# The outputs that TaylorSeer continues: of every block its attentions and its feed-forward (Wan: attn1, attn2, ffn).
TAYLOR_PATTERN = r"[a-z_]*(blocks|layers)\.\d+\.(attn\w*|ff\w*)"
_PAB = "resolute_pab"


def blocks_of(model: nn.Module) -> dict[str, nn.Module]:
    """A transformer's repeated blocks by name, in the order in which the caches see them."""
    return {
        f"{name}.{k}": block
        for name, child in model.named_children()
        if name in BLOCK_LISTS and isinstance(child, nn.ModuleList)
        for k, block in enumerate(child)
    }


def cached_parts(model: nn.Module, choice: CacheChoice) -> dict[str, nn.Module]:
    """The modules that a cache can stand in for. Raises UnsupportedPipeline where there are none, or unknown ones."""
    title, kind = choice.technique.title, type(model).__name__
    if choice.name == "taylorseer":
        found = {name: part for name, part in model.named_modules() if re.fullmatch(TAYLOR_PATTERN, name)}
    elif choice.name == "pab":
        found = {
            name: part
            for name, part in model.named_modules()
            if isinstance(part, ATTENTIONS) and re.match(r"[a-z_]*(blocks|layers)\.\d+\.", name)
        }
    else:
        found = blocks_of(model)
        if choice.name != "teacache":
            _registered(found, title, kind)
    if len(found) < 2:
        raise UnsupportedPipeline(f"{title} finds too little in {kind} that it could skip; run this track without it.")
    return found


def _registered(blocks: dict[str, nn.Module], title: str, kind: str) -> None:
    for block in blocks.values():
        if not knows_results_of(type(block)):
            raise UnsupportedPipeline(
                f"{title} does not know what {type(block).__name__} of {kind} returns (diffusers has not registered "
                "it); use TaylorSeer, or run this track without a cache."
            )


def config_of(choice: CacheChoice, stage: Stage, steps: int, dtype: torch.dtype) -> Any:
    """diffusers' config of a cache for one stage of a run of `steps` steps."""
    if choice.name == "firstblock":
        return FirstBlockCacheConfig(threshold=choice["threshold"])
    if choice.name == "taylorseer":
        return TaylorSeerCacheConfig(
            cache_interval=choice["interval"],
            disable_cache_before_step=choice["warm_up"],
            max_order=choice["order"],
            taylor_factors_dtype=dtype,
            cache_identifiers=[TAYLOR_PATTERN],
        )
    if choice.name == "seacache":
        return SeaCacheConfig(
            threshold=choice["threshold"],
            residual_order=choice["order"],
            retention_steps=max(0, choice["keep_first"] - (stage.first - 1)),
            cache_end_steps=max(0, choice["keep_last"] - (steps - stage.last)),
            max_consecutive_cached=choice["max_skip"],
        )
    return _mag_config(choice, stage, steps)


def _mag_config(choice: CacheChoice, stage: Stage, steps: int) -> MagCacheConfig:
    """The ratios of this stage's steps; what is retained at the start of the run is none of a later stage's."""
    ratios = choice.get("ratios")
    if ratios is None or len(ratios) != steps:
        found = "no ratios" if ratios is None else f"{len(ratios)} ratios"
        raise UnsupportedPipeline(
            f"MagCache needs one ratio for each of the {steps} steps and has {found}; leave `ratios` out and they are "
            "calibrated on the model."
        )
    retained = max(0, int(choice["retention"] * steps + 0.5) - (stage.first - 1))
    return MagCacheConfig(
        threshold=choice["threshold"],
        max_skip_steps=choice["max_skip"],
        retention_ratio=min(1.0, retained / stage.steps),
        num_inference_steps=stage.steps,
        mag_ratios=list(ratios[stage.window]),
    )


class PassBroadcastHook(PyramidAttentionBroadcastHook):
    """diffusers' broadcast with a memory of its own for each kind of pass.

    Theirs has one for all: with guidance the unguided pass would get the guided one's attention.
    """

    def initialize_hook(self, module: nn.Module) -> nn.Module:
        self.states: Any = StateManager(PyramidAttentionBroadcastState)  # type: ignore[arg-type]
        return module

    @property
    def state(self) -> Any:  # type: ignore[override]
        return self.states.get_state()

    def reset_state(self, module: nn.Module) -> None:
        self.states.reset()


def install_broadcast(
    model: nn.Module, parts: Mapping[str, nn.Module], choice: CacheChoice, timestep: Callable[[], Any]
) -> None:
    """Put the broadcast on attentions; `timestep` tells the one under way."""
    for part in parts.values():
        often = choice["cross_range" if getattr(part, "is_cross_attention", False) else "self_range"]
        hook = PassBroadcastHook((choice["to_t"], choice["from_t"]), often, timestep)
        hooks_of(part).register_hook(hook, _PAB)
    find_hooks_anew(model)


def uninstall_broadcast(model: nn.Module, parts: Mapping[str, nn.Module]) -> None:
    for part in parts.values():
        hooks_of(part).remove_hook(_PAB, recurse=False)
    find_hooks_anew(model)
