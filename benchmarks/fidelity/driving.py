"""One run of an experiment's prompt and seed, as benchmarks need it."""

from __future__ import annotations

from engine.caches.cache_choice import CacheChoice
from engine.experiments.experiment import Experiment
from engine.models.loading import LoadedModel
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest, StagedResult
from engine.sampling.shared_start import RunMemo
from engine.schedules.schedule import ResolutionSchedule
from engine.switching.policies import Policy, policy_named


def request_of(
    model: LoadedModel,
    experiment: Experiment,
    schedule: ResolutionSchedule,
    policy: str | Policy,
    cache: CacheChoice | None = None,
) -> StagedRequest:
    """What the driver is asked for; `cache` is complete."""
    return StagedRequest(
        pipe=model.pipe,
        family=experiment.spec.family,
        call=experiment.call(),
        schedule=schedule,
        policy=policy_named(policy) if isinstance(policy, str) else policy,
        sizes=experiment.sizes(schedule),
        geometry=experiment.spec.geometry,
        seed=experiment.seed,
        cache=cache,
    )


def run(
    model: LoadedModel, experiment: Experiment, schedule: ResolutionSchedule, policy: str | Policy, memo: RunMemo
) -> StagedResult:
    """One run without a cache; the text and the baseline's start are taken from the memo."""
    return run_staged(request_of(model, experiment, schedule, policy), memo=memo)
