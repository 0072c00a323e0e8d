"""Runs of pipelines that are driven along a schedule: warmed up, calibrated, with their caches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from engine.comparing.listeners import Learner, Listener
from engine.comparing.probing import probe, probe_rates
from engine.comparing.result_files import ResultFiles
from engine.comparing.runner import Runner
from engine.comparing.settling import BandWatch
from engine.costs.cached_flops import counted_flops
from engine.costs.flops_count import Cost, schedule_cost
from engine.costs.flops_formula import reference_tokens
from engine.experiments.conditions import pixels_of
from engine.experiments.experiment import Experiment, Track
from engine.measuring.device import trim_heap
from engine.measuring.step_event import StepEvent
from engine.models.loading import LoadedModel, scheduler_for, solver_name
from engine.patching import patched
from engine.sampling.cache_calibration import Calibration
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest, StagedResult
from engine.sampling.shared_start import RunMemo
from engine.schedules.latent_sizes import LatentSize, full_size, latent_size
from engine.schedules.schedule import flat


class ScheduledRunner(Runner[StagedResult]):
    """Text and start are shared by all runs; every size is warmed up once a loaded model."""

    def __init__(self, experiment: Experiment, model: LoadedModel, files: ResultFiles, listener: Listener) -> None:
        super().__init__(experiment, model, files, listener)
        size = experiment.height, experiment.width, experiment.frames
        self.pictures = pixels_of(experiment.conditions, files.folder, *size)
        self.memo = RunMemo()
        self.calibration = Calibration(experiment.spec, experiment.height, self.memo)

    @property
    def solver(self) -> str:
        return self.experiment.solver or solver_name(self.model.pipe.scheduler)

    def prepared(self) -> AbstractContextManager[None]:
        """The model with this experiment's solver and shift."""
        pipe, experiment = self.model.pipe, self.experiment
        return patched(pipe, scheduler=scheduler_for(pipe, experiment.solver, experiment.shift))

    def warm_up(self, track: Track) -> float | None:
        return self._warm_up(track.name, self.experiment.sizes(track.schedule))

    def run(self, track: Track, watch: BandWatch | None = None) -> StagedResult:
        request = self._request(track)
        if track.cache:
            told = "calibrating its cache"
            cache = self.calibration.complete(track.cache, request, lambda _: self.listener.phase(track.name, told))
            request = replace(request, cache=cache)

        def on_step(event: StepEvent) -> None:
            self.listener.step(track.name, event)
            if event.step == event.steps:
                self.listener.phase(track.name, "decoding")

        self._compile_for_all(track.name)
        trim_heap()
        see = watch.see if watch else None
        result = run_staged(request, on_step, memo=self.memo, preview=lambda: self.model.preview, watch=see)
        self.model.warm.update(_grid(size) for size in request.sizes)
        return result

    def cost(self, track: Track) -> Cost:
        experiment = self.experiment
        return schedule_cost(
            experiment.spec,
            track.schedule,
            height=experiment.height,
            width=experiment.width,
            frames=experiment.frames,
            guidance=experiment.guidance,
            image=experiment.conditions.image is not None,
        )

    def flops(self, track: Track, cost: Cost, result: StagedResult) -> int:
        """Of evaluations that a cache skipped no more is left out than was counted."""
        if track.cache is None:
            return cost.flops
        spec, given = self.experiment.spec, self.experiment
        reference = reference_tokens(spec, given.height, given.width) if given.conditions.image else 0
        text = spec.defaults.max_sequence_length
        return counted_flops(cost, result.evaluations, spec.transformer, text, reference)

    def choice(self, track: Track) -> dict[str, Any]:
        is_baseline = track.name == self.experiment.baseline.name
        return {
            "policy": None if is_baseline else track.policy.name,
            "cache": track.cache.document() if track.cache else None,
        }

    def extras(self, number: int, track: Track, result: StagedResult) -> dict[str, Any]:
        return {"experts": result.experts} if self.experiment.spec.two_experts else {}

    def calibrate(self, learner: Learner) -> None:
        experiment, spec, name = self.experiment, self.experiment.spec, self.experiment.baseline.name
        size = experiment.height, experiment.width, experiment.frames
        needed = [one for track in experiment.tracks for one in experiment.sizes(track.schedule)]
        rates = probe_rates(spec, size, needed, learner.has)
        if rates:
            full = full_size(spec.geometry, *size)
            self._warm_up(name, [latent_size(full, rate, spec.geometry.patch) for rate in (*rates, 1.0)])
            request, told = self._request(experiment.baseline), "timing other sizes"
            learner.probed(probe(request, spec, rates, lambda _: self.listener.phase(name, told), self.memo))

    def _request(self, track: Track) -> StagedRequest:
        experiment = self.experiment
        return StagedRequest(
            pipe=self.model.pipe,
            family=experiment.spec.family,
            call=experiment.call() | self.pictures,
            schedule=track.schedule,
            policy=track.policy,
            sizes=experiment.sizes(track.schedule),
            geometry=experiment.spec.geometry,
            seed=experiment.seed,
        )

    def _warm_up(self, name: str, sizes: Sequence[LatentSize]) -> float | None:
        """One unmeasured step at every size that has not run yet: kernels are chosen and memory is taken there."""
        self._compile_for_all(name)
        cold = {_grid(size): size for size in sizes if _grid(size) not in self.model.warm}
        if not cold:
            return None
        self.listener.phase(name, "warming up")
        begun = time.perf_counter()
        self._run_once(cold.values())
        return time.perf_counter() - begun

    def _compile_for_all(self, name: str) -> None:
        """Compiled blocks have one code for the first size, and another for all as soon as there is a second.

        Without this the baseline would run the first code and the tracks the other.
        """
        if self.model.compiled_for_all:
            return
        self.listener.phase(name, "compiling")
        experiment, geometry = self.experiment, self.experiment.spec.geometry
        full = full_size(geometry, experiment.height, experiment.width, experiment.frames)
        self._run_once([full, latent_size(full, 0.5, geometry.patch), full])
        self.model.compiled_for_all = True

    def _run_once(self, sizes: Iterable[LatentSize]) -> None:
        """As few steps as the family takes, at every size, unmeasured."""
        request, least = self._request(self.experiment.baseline), self.experiment.spec.family.least_steps
        for size in sizes:
            run_staged(replace(request, schedule=flat(least), sizes=(size,), decode=False), memo=self.memo)
            self.model.warm.add(_grid(size))


def _grid(size: LatentSize) -> tuple[int, int, int]:
    return size.frames, size.height, size.width
