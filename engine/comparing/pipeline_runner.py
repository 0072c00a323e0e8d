"""Runs of pipelines that are driven along a schedule: warmed up, calibrated, with their caches."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from engine.comparing.listeners import Learner, Listener
from engine.comparing.probing import probe, probe_rates
from engine.comparing.result_files import ResultFiles
from engine.comparing.runner import Runner
from engine.comparing.settling import BandWatch
from engine.comparing.warming import WarmUp
from engine.costs.cached_flops import counted_flops
from engine.costs.flops_count import Cost, schedule_cost
from engine.costs.flops_formula import reference_tokens
from engine.experiments.conditions import pixels_of
from engine.experiments.experiment import Experiment, Track
from engine.measuring.device import trim_heap
from engine.measuring.disturbance import Watch
from engine.measuring.step_event import StepEvent
from engine.models.loading import LoadedModel, scheduler_for, solver_name
from engine.patching import patched
from engine.sampling.cache_calibration import Calibration
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest, StagedResult
from engine.sampling.shared_start import RunMemo
from engine.schedules.latent_sizes import full_size, latent_size
from engine.schedules.schedule import flat

BESIDE = 3  # steps of full size that are timed beside a track; the one before them starts the run


class ScheduledRunner(Runner[StagedResult]):
    """Text and start are shared by all runs; what a loaded model has not done yet is warmed up."""

    def __init__(self, experiment: Experiment, model: LoadedModel, files: ResultFiles, listener: Listener) -> None:
        super().__init__(experiment, model, files, listener)
        size = experiment.height, experiment.width, experiment.frames
        self.pictures = pixels_of(experiment.conditions, files.folder, *size)
        self.memo = RunMemo()
        self.calibration = Calibration(experiment.spec, experiment.height, self.memo)
        self.warming = WarmUp(model, self.memo, lambda: self._request(experiment.baseline), listener)

    @property
    def solver(self) -> str:
        return self.experiment.solver or solver_name(self.model.pipe.scheduler)

    def prepared(self) -> AbstractContextManager[None]:
        """The model with this experiment's solver and shift."""
        pipe, experiment = self.model.pipe, self.experiment
        return patched(pipe, scheduler=scheduler_for(pipe, experiment.solver, experiment.shift))

    def warm_up(self, track: Track) -> float | None:
        return self.warming.warm_up(track.name, self.experiment.sizes(track.schedule), decode=True)

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

        self.warming.compile_for_all(track.name)
        trim_heap()
        see = watch.see if watch else None
        result = run_staged(request, on_step, memo=self.memo, preview=lambda: self.model.preview, watch=see)
        self.warming.ran(request)
        return result

    def cost(self, track: Track) -> Cost:
        experiment = self.experiment
        return schedule_cost(
            experiment.spec,
            experiment.as_run(track),
            height=experiment.height,
            width=experiment.width,
            frames=experiment.frames,
            guidance=experiment.guidance,
            image=experiment.conditions.image is not None,
            baseline_steps=experiment.steps,
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

    def full_size_steps(self) -> tuple[float, ...]:
        baseline, least = self.experiment.baseline, self.experiment.spec.family.least_steps
        self.warming.warm_up(baseline.name, self.experiment.sizes(baseline.schedule), decode=False)
        schedule = flat(max(BESIDE + 1, least))
        request = replace(self._request(baseline), schedule=schedule, decode=False)
        told = "timing steps of the baseline"
        found = run_staged(request, lambda _: self.listener.phase(baseline.name, told), memo=self.memo)
        return found.readings.steps_s[1:]

    def extras(self, number: int, track: Track, result: StagedResult) -> dict[str, Any]:
        return {"experts": result.experts} if self.experiment.spec.two_experts else {}

    def calibrate(self, learner: Learner) -> None:
        experiment, spec, name = self.experiment, self.experiment.spec, self.experiment.baseline.name
        size = experiment.height, experiment.width, experiment.frames
        needed = [one for track in experiment.tracks for one in experiment.sizes(track.schedule)]
        rates = probe_rates(spec, size, needed, learner.has)
        if rates:
            full = full_size(spec.geometry, *size)
            sizes = [latent_size(full, rate, spec.geometry.patch) for rate in (*rates, 1.0)]
            self.warming.warm_up(name, sizes, decode=False)
            request, told = self._request(experiment.baseline), "timing other sizes"
            with Watch(self.model.device) as disturbance:
                found = probe(request, spec, rates, lambda _: self.listener.phase(name, told), self.memo)
            if not disturbance.found.reason:
                learner.probed(found)

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
