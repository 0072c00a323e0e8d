"""What a comparison asks of one kind of model: how a track is run on it, what it costs, and what only its runs have."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np

from engine.caches.counting import Evaluations
from engine.comparing.listeners import Learner, Listener
from engine.comparing.result_files import ResultFiles
from engine.comparing.settling import BandWatch
from engine.costs.flops_count import Cost
from engine.experiments.experiment import Experiment, Track
from engine.measuring.meter import Readings
from engine.models.loading import LoadedModel
from engine.reports.closeness import Similarity


class RunResult(Protocol):
    """What a run gave: frames (T, H, W, 3) float32 in [0, 1], what every step was told, and what it took."""

    @property
    def frames(self) -> np.ndarray: ...
    @property
    def sigmas(self) -> tuple[float, ...]: ...
    @property
    def readings(self) -> Readings: ...
    @property
    def text_s(self) -> float: ...
    @property
    def evaluations(self) -> Evaluations: ...


Result = TypeVar("Result", bound=RunResult)


class Runner(ABC, Generic[Result]):
    """One experiment's runs on one loaded model. Raises what a run raises; the comparison makes it a failed run."""

    takes_over = True  # whether a baseline of an earlier comparison says all that one of this kind says

    def __init__(self, experiment: Experiment, model: LoadedModel, files: ResultFiles, listener: Listener) -> None:
        self.experiment, self.model, self.files, self.listener = experiment, model, files, listener

    def with_seed(self, seed: int) -> Self:
        """The same on another seed; what the runs of an experiment share is shared with it."""
        other = copy.copy(self)
        other.experiment = replace(self.experiment, seed=seed)
        return other

    @property
    @abstractmethod
    def solver(self) -> str:
        """The solver's name in the report."""

    @abstractmethod
    def prepared(self) -> AbstractContextManager[None]:
        """The model as this experiment needs it, while the block runs."""

    @abstractmethod
    def warm_up(self, track: Track) -> float | None:
        """Run unmeasured what a track needs and has not run yet; its seconds, None where nothing was left to do."""

    @abstractmethod
    def run(self, track: Track, watch: BandWatch | None = None) -> Result:
        """Run a track; the listener hears of every step and may cancel."""

    @abstractmethod
    def cost(self, track: Track) -> Cost:
        """What a track takes by its schedule alone."""

    @abstractmethod
    def flops(self, track: Track, cost: Cost, result: Result) -> int:
        """What a run really took."""

    @abstractmethod
    def choice(self, track: Track) -> dict[str, Any]:
        """What was chosen for a track beside its schedule, as fields of `Run`."""

    def extras(self, number: int, track: Track, result: Result) -> dict[str, Any]:
        """What only this kind of model's runs have, as fields of `Run`."""
        return {}

    def remarked(self, track: Track, similar: Similarity) -> Similarity:
        """Similarities with what is to be known when reading those of this kind of model."""
        return similar

    def full_size_steps(self) -> tuple[float, ...]:
        """Seconds of a few steps of the baseline's, timed now; nothing where baselines are never taken over."""
        return ()

    def calibrate(self, learner: Learner) -> None:
        """Time a few steps at sizes that the tracks need and nobody has timed."""
        return
