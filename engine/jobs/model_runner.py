"""The runner of real models. The one module of jobs that loads torch; only the worker imports it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from engine.comparing.comparison import compare
from engine.comparing.run_entry import environment
from engine.costs.timings import TimingKey, timing_key
from engine.experiments.experiment import Experiment
from engine.jobs.database import Store
from engine.jobs.logs import event
from engine.jobs.timing_book import TimingBook, learn
from engine.jobs.worker import Task
from engine.measuring.device import free, trim_heap
from engine.models.catalogue import ModelSpec
from engine.models.fetching import fetching_text
from engine.models.load_options import LoadOptions
from engine.models.loading import LoadedModel, load_model
from engine.reports.schema import Report, Run


class TorchRunner:
    """Keeps the last model loaded; before another comes it is given up whole."""

    def __init__(self) -> None:
        self._model: LoadedModel | None = None

    def load(self, spec: ModelSpec, tell: Callable[[str], None] = lambda phase: None) -> None:
        if self._model is not None and self._model.spec == spec:
            return
        self._release()
        options = LoadOptions.from_environment()
        self._model = load_model(
            spec.id, options=options, on_fetch=lambda here, total: tell(fetching_text(here, total))
        )
        if spec.levels:
            return  # its cells are pixels: a step's estimate is its preview
        try:
            _ = self._model.preview  # fitted here, where no run is measured
        except Exception as error:
            event("no previews", model=spec.id, error=repr(error)[:200])

    def run(self, task: Task) -> Report:
        model = self._model
        assert model is not None
        try:
            decoder = contextlib.nullcontext() if model.spec.levels else interruptible(model.pipe, task.listener.glance)
            with decoder:
                return compare(
                    task.experiment,
                    model,
                    task.folder,
                    task.listener,
                    noise_floor=task.noise_floor,
                    other_seed=None,
                    baselines=task.baselines,
                    earlier=task.earlier,
                    numbered=True,
                    learner=TimingBook(task.listener.store, _key(task.experiment, model)),
                )
        finally:
            free(model.device)
            trim_heap()

    def record(self, store: Store, experiment: Experiment, run: Run) -> None:
        """Keep how long its parts took, for the predictions of later runs."""
        if self._model is not None:
            learn(store, _key(experiment, self._model), run)

    def _release(self) -> None:
        if self._model is not None:
            device, self._model = self._model.device, None
            free(device)
            trim_heap()


def _key(experiment: Experiment, model: LoadedModel) -> TimingKey:
    made_with, given = environment(model), experiment.conditions.roles
    return timing_key(experiment.spec, experiment.frames, experiment.guidance, made_with, given)


@contextlib.contextmanager
def interruptible(pipe: Any, check: Callable[[], None]) -> Iterator[None]:
    """While the block runs, `check` may raise between the blocks of text encoder and decoder, not only between steps.

    What a decoder that was stopped half-way has cached is let go.
    """

    def before(module: nn.Module, inputs: Any) -> None:
        check()

    vae, text = pipe.vae, getattr(pipe, "text_encoder", None)
    blocks = [*_leaves(vae.decoder), *(_leaves(text) if text is not None else ())]
    hooks = [block.register_forward_pre_hook(before) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        if hasattr(vae, "clear_cache"):
            vae.clear_cache()


def _leaves(module: nn.Module) -> list[nn.Module]:
    """The modules of a network that hold weights of their own: what takes the time."""
    return [part for part in module.modules() if next(part.parameters(recurse=False), None) is not None]
