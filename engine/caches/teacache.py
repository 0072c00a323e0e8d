"""TeaCache for Wan, after LightX2V (`wan/infer/feature_caching/transformer_infer.py`) and TeaCache4Wan2.1.

Before each evaluation the relative change of the timestep's embedding since the evaluation before is put through a
polynomial and summed up; while the sum stays below the threshold the blocks are left out and the residual of the last
computed evaluation is added instead. Guided and unguided passes are followed apart. Steps count over the whole run.

One thing differs: at a switch LightX2V forces an evaluation and lets the sum run on; here everything of the old stage
is dropped, so the evaluation is computed because there is nothing to reuse, and the sum starts anew, as it does after
any other computed evaluation.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from engine.models.diffusers_private import BaseState, ModelHook, StateManager, find_hooks_anew, hooks_of

RET_STEPS = 5  # steps that `use_ret_steps` always computes; without, it is the first and the last one
_BLOCK, _EMBEDDING = "resolute_tea_block", "resolute_tea_embedding"
Clock = Counter[str]  # passes of each kind since the stage began: one a step


@dataclass(frozen=True)
class TeaRule:
    """When to compute: `polynomial` has its highest power first, `first` is the stage's first step, from 0."""

    threshold: float
    polynomial: tuple[float, ...]
    ret_steps: bool
    first: int
    infer_steps: int

    def always(self, step: int) -> bool:
        """Whether a step, counted from 0 over the whole run, is computed whatever has changed."""
        if self.ret_steps:
            return step < RET_STEPS
        return step < 1 or step >= self.infer_steps - 1

    def rescaled(self, change: float) -> float:
        result = 0.0
        for coefficient in self.polynomial:
            result = result * change + coefficient
        return result


class TeaState(BaseState):
    """What one kind of pass (guided, unguided) remembers within one stage."""

    def __init__(self) -> None:
        self.embedding: Tensor | None = None  # of the pass before
        self.residual: Tensor | None = None  # of the last computed pass: what all blocks added, (B, N, D)
        self.entry: Tensor | None = None  # of the pass under way
        self.distance = 0.0
        self.skipping = False

    def reset(self, *args: Any, **kwargs: Any) -> None:
        self.__init__()  # type: ignore[misc]

    def decide(self, rule: TeaRule, embedding: Tensor, step: int) -> None:
        """Set `skipping` for this pass; `step` counts from 0 over the whole run, `embedding` is kept as it is."""
        before, self.embedding = self.embedding, embedding
        if before is None or self.residual is None or rule.always(step):
            self.skipping, self.distance = False, 0.0
            return
        self.distance += rule.rescaled(relative_change(before, embedding))
        self.skipping = self.distance < rule.threshold
        if not self.skipping:
            self.distance = 0.0


def relative_change(before: Tensor, after: Tensor) -> float:
    """Mean absolute difference over mean absolute value before, of two tensors of one shape; waits for the device."""
    before = before.float()
    return float((after.float() - before).abs().mean() / before.abs().mean())


class EmbeddingHook(ModelHook):
    """Takes the timestep's embedding, or its modulation, as the model computes it."""

    def __init__(self, modulation: bool) -> None:
        super().__init__()
        self.index = 1 if modulation else 0  # condition_embedder gives (embedding, modulation, text, image)
        self.embedding: Tensor | None = None

    def post_forward(self, module: torch.nn.Module, output: Any) -> Any:
        self.embedding = output[self.index]
        return output


class BlockHook(ModelHook):
    """On every block: the first one decides for all, the last one keeps the residual."""

    _is_stateful = True

    def __init__(self, states: StateManager, rule: TeaRule, clock: Clock, embedding: EmbeddingHook) -> None:
        super().__init__()
        self.states, self.rule, self.clock, self.embedding = states, rule, clock, embedding
        self.head = self.tail = False

    def new_forward(self, module: torch.nn.Module, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        state: TeaState = self.states.get_state()
        if self.head:
            assert self.embedding.embedding is not None
            state.decide(self.rule, self.embedding.embedding, self.rule.first + self.clock[self.states.context.name])
            state.entry = hidden_states
            self.clock[self.states.context.name] += 1
        if state.skipping:
            state.entry = None
            return hidden_states + cast("Tensor", state.residual) if self.head else hidden_states  # (B, N, D)
        forward: Any = self.fn_ref.original_forward
        out: Tensor = forward(hidden_states, *args, **kwargs)
        if self.tail:
            entry, state.entry = state.entry, None
            assert entry is not None
            state.residual = out - entry
        return out

    def reset_state(self, module: torch.nn.Module) -> torch.nn.Module:
        self.states.reset()
        self.embedding.embedding = None
        return module


def install(model: Any, rule: TeaRule, clock: Clock) -> None:
    """Put the hooks on a Wan transformer; transformers of one pipeline share the stage's clock."""
    embedding = EmbeddingHook(modulation=rule.ret_steps)
    states: Any = StateManager(TeaState)  # type: ignore[arg-type]
    last = len(model.blocks) - 1
    hooks_of(model.condition_embedder).register_hook(embedding, _EMBEDDING)
    for k, block in enumerate(model.blocks):
        hook = BlockHook(states, rule, clock, embedding)
        hook.head, hook.tail = k == 0, k == last
        hooks_of(block).register_hook(hook, _BLOCK)
    find_hooks_anew(model)


def uninstall(model: Any) -> None:
    """Take them off again."""
    for name in (_BLOCK, _EMBEDDING):
        hooks_of(model).remove_hook(name, recurse=True)
    find_hooks_anew(model)
