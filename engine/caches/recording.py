"""What a model does from step to step, recorded in one uncached run: what MagCache and TeaCache are calibrated on.

Passes are kept apart by the name that the pipeline gives them (guided, unguided). No output changes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.caches.apply import as_it_was
from engine.caches.diffusers_caches import blocks_of
from engine.caches.teacache import RET_STEPS, relative_change
from engine.caches.which_model import Coefficients
from engine.models.diffusers_private import BaseState, ModelHook, StateManager, find_hooks_anew, hooks_of

# The published polynomials have degree 4 and may turn negative outside of the range they were fitted on, so that
# nothing is computed any more; a parabola fits the shipped model about as well and rises on both sides.
DEGREE = 2
Points = tuple[np.ndarray, np.ndarray]  # changes of what a rule looks at, and of the model's output
_BLOCK = "resolute_record_block"


@dataclass
class Recording:
    """One kind of pass, step by step: changes since the pass before, so one entry fewer than there are passes.

    `growth`: mean over tokens of the blocks' residual's norm, over that before (MagCache's ratio). `output`,
    `embedding`, `modulation`: relative L1 change of the model's output, of the timestep's embedding, of its modulation.
    """

    growth: list[float] = field(default_factory=list)
    output: list[float] = field(default_factory=list)
    embedding: list[float] = field(default_factory=list)
    modulation: list[float] = field(default_factory=list)


class _State(BaseState):
    def __init__(self) -> None:
        self.entry: Tensor | None = None

    def reset(self, *args: Any, **kwargs: Any) -> None:
        self.entry = None


class _BlockHook(ModelHook):
    """On the first and the last block: the residual of all blocks, by the name of the pass."""

    _is_stateful = True

    def __init__(self, states: Any, recorder: Recorder, head: bool) -> None:
        super().__init__()
        self.states, self.recorder, self.head = states, recorder, head

    def new_forward(self, module: torch.nn.Module, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        state = self.states.get_state()
        if self.head:
            state.entry, self.recorder.name = hidden_states, self.states.context.name
        forward: Any = self.fn_ref.original_forward
        out = forward(hidden_states, *args, **kwargs)
        if not self.head:
            self.recorder.seen["growth"] = (out[0] if isinstance(out, tuple) else out) - state.entry
            state.entry = None
        return out

    def reset_state(self, module: torch.nn.Module) -> None:
        self.states.reset()


class Recorder:
    """Gathers what one pass shows, and compares it with the pass of the same name before."""

    def __init__(self) -> None:
        self.tracks: dict[str, Recording] = {}
        self.name = ""
        self.seen: dict[str, Tensor] = {}
        self._before: dict[str, dict[str, Tensor]] = {}

    def embedded(self, _module: Any, _args: Any, out: tuple[Tensor, ...]) -> None:
        self.seen["embedding"], self.seen["modulation"] = out[0], out[1]

    def ended(self, _module: Any, _args: Any, out: Any) -> None:
        self.seen["output"] = out[0] if isinstance(out, tuple) else out.sample
        before, track = self._before.get(self.name), self.tracks.setdefault(self.name, Recording())
        for key, now in self.seen.items() if before else ():
            compare = growth if key == "growth" else relative_change
            getattr(track, key).append(compare(before[key], now))  # type: ignore[index]
        self._before[self.name], self.seen = self.seen, {}


@contextlib.contextmanager
def recorded(pipe: Any) -> Iterator[Recorder]:
    """While the block runs every pass of the pipeline's transformer is recorded. For pipelines with one transformer."""
    model, recorder = pipe.transformer, Recorder()
    blocks, states = list(blocks_of(model).values()), StateManager(_State)  # type: ignore[arg-type]
    with as_it_was(model):
        for block, head in ((blocks[0], True), (blocks[-1], False)):
            hooks_of(block).register_hook(_BlockHook(states, recorder, head), _BLOCK)
        find_hooks_anew(model)
        handles = [model.register_forward_hook(recorder.ended)]
        if hasattr(model, "condition_embedder"):
            handles.append(model.condition_embedder.register_forward_hook(recorder.embedded))
        try:
            yield recorder
        finally:
            for handle in handles:
                handle.remove()
            hooks_of(model).remove_hook(_BLOCK, recurse=True)
            find_hooks_anew(model)


def growth(before: Tensor, after: Tensor) -> float:
    """MagCache's ratio: how much longer each token's residual (B, N, D) has become, on the average; in float32."""
    old, new = (torch.linalg.norm(x.float(), dim=-1) for x in (before, after))
    return float((new / (old + 1e-8)).mean())


def mag_ratios(recorder: Recorder) -> tuple[float, ...]:
    """One ratio a step, the first 1.0; the mean over the kinds of passes, which MagCache does not tell apart."""
    return (1.0, *np.mean([track.growth for track in recorder.tracks.values()], axis=0).tolist())


def fit_coefficients(tracks: Iterable[Recording]) -> Coefficients:
    """TeaCache's polynomials from recorded runs, each over the steps whose change its rule looks at."""
    modulation, embedding = fitted_points(tracks)
    return Coefficients(fit_polynomial(*modulation), fit_polynomial(*embedding))


def fitted_points(tracks: Iterable[Recording]) -> tuple[Points, Points]:
    """Changes of the modulation and of the embedding, each with the output's, over the steps that its rule looks at."""
    found = list(tracks)
    later = slice(RET_STEPS - 1, None)  # entry i is the change from step i to step i + 1, from 0
    inner = slice(0, -1)  # the last step is computed in any case
    modulation = _joined([(t.modulation[later], t.output[later]) for t in found])
    return modulation, _joined([(t.embedding[inner], t.output[inner]) for t in found])


def _joined(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Points:
    changes, outputs = zip(*pairs, strict=True)
    return np.concatenate([np.asarray(part) for part in changes]), np.concatenate([np.asarray(p) for p in outputs])


def fit_polynomial(changes: np.ndarray, outputs: np.ndarray) -> tuple[float, ...]:
    """From an embedding's change to the output's; the highest power first."""
    return tuple(float(value) for value in np.polyfit(changes, outputs, DEGREE))


def explained(coefficients: Sequence[float], changes: np.ndarray, outputs: np.ndarray) -> float:
    """R² of a polynomial: the share of the output's variance that it explains, at most 1."""
    error = outputs - np.polyval(coefficients, changes)
    return float(1 - np.square(error).mean() / outputs.var())
