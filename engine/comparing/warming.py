"""Short runs that nobody measures, of what a loaded model has not done yet and a measured run would else pay for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from engine.comparing.listeners import Listener
from engine.models.denoisers import has_second_expert, second_expert_alone
from engine.models.loading import LoadedModel
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest
from engine.sampling.shared_start import RunMemo
from engine.schedules.latent_sizes import LatentSize, latent_size
from engine.schedules.schedule import flat

Kind = tuple[tuple[int, int, int], int, tuple[str, ...]]  # latent size (T, h, w), passes of a step, conditions
Shapes = tuple[tuple[int, ...], ...]


class Step(NamedTuple):
    """What makes two steps alike: their kind, and the shapes of the text as it is encoded."""

    kind: Kind
    text: Shapes


class WarmUp:
    """What one experiment needs of a model. What has been done is kept on the model, for experiments to come.

    A step counts as done where one of its size has run, with as many passes, the same kinds of conditions and text of
    the same length; decoding where a video of its size was decoded. Of two experts both run. While an experiment's text
    is not encoded, its length is not known: that one run at the full size may meet a new one.
    """

    def __init__(
        self, model: LoadedModel, memo: RunMemo, request: Callable[[], StagedRequest], listener: Listener
    ) -> None:
        self._model, self._memo, self._request, self._listener = model, memo, request, listener

    def warm_up(self, name: str, sizes: Sequence[LatentSize], decode: bool) -> float | None:
        """Run what is missing of these sizes, decode at the last one; the seconds, None where nothing was missing."""
        self.compile_for_all(name)
        request = self._request()
        cold = {size: False for size in sizes if not self._known(request, size)}
        if decode and _decoded(sizes[-1]) not in self._model.warm:
            cold[sizes[-1]] = True
        if not cold:
            return None
        self._listener.phase(name, "warming up")
        begun = time.perf_counter()
        for size, decoding in cold.items():
            self._run_once(request, size, decoding)
        return time.perf_counter() - begun

    def compile_for_all(self, name: str) -> None:
        """Compiled blocks have one code for the first size, and another for all as soon as there is a second.

        Without this the baseline would run the first code and the tracks the other.
        """
        if self._model.compiled_for_all:
            return
        self._listener.phase(name, "compiling")
        request = self._request()
        full = request.sizes[-1]
        for size in (full, latent_size(full, 0.5, request.geometry.patch), full):
            self._run_once(request, size)
        self._model.compiled_for_all = True

    def ran(self, request: StagedRequest) -> None:
        """A whole run has been made."""
        self._note(request, request.sizes, request.decode)

    def _run_once(self, request: StagedRequest, size: LatentSize, decode: bool = False) -> None:
        """As few steps as the family takes, at one size; those of a second expert too."""
        few = replace(request, schedule=flat(request.family.least_steps), sizes=(size,), decode=decode)
        around: list[AbstractContextManager[Any]] = [nullcontext()]
        if has_second_expert(request.pipe):
            around.insert(0, second_expert_alone(request.pipe))
        for experts in around:
            with experts:
                run_staged(few, memo=self._memo)
        self._note(few, (size,), decode)

    def _note(self, request: StagedRequest, sizes: Iterable[LatentSize], decoded: bool) -> None:
        for size in sizes:
            self._model.warm.add(Step(_kind(request, size), self._text()))
            if decoded and size == request.sizes[-1]:
                self._model.warm.add(_decoded(size))

    def _known(self, request: StagedRequest, size: LatentSize) -> bool:
        kind, text = _kind(request, size), self._text()
        steps = (known for known in self._model.warm if isinstance(known, Step))
        return any(known.kind == kind and text in (known.text, ()) for known in steps)

    def _text(self) -> Shapes:
        """The shapes of the text as it is encoded; empty while it is not."""
        return tuple(_shapes(self._memo.results))


def _kind(request: StagedRequest, size: LatentSize) -> Kind:
    given = tuple(role for role in request.family.conditions if request.call.get(role) is not None)
    guidance = float(request.call.get(request.family.guidance) or 0.0)
    return (size.frames, size.height, size.width), request.family.passes(guidance), given


def _decoded(size: LatentSize) -> tuple[str, tuple[int, int, int]]:
    return "decoded", (size.frames, size.height, size.width)


def _shapes(found: Any) -> Iterable[tuple[int, ...]]:
    """Of all tensors in what a pipeline's encoders gave."""
    if isinstance(found, torch.Tensor):
        yield tuple(found.shape)
    elif isinstance(found, list | tuple):
        for part in found:
            yield from _shapes(part)
