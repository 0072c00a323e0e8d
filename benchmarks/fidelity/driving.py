"""One run of an experiment's prompt and seed, as benchmarks need it."""

from __future__ import annotations

from engine.caches.choice import CacheChoice
from engine.experiment import Experiment
from engine.memo import RunMemo
from engine.models.loading import LoadedModel
from engine.policies import Policy, policy_named
from engine.request import StagedRequest, StagedResult
from engine.schedule import ResolutionSchedule
from engine.staged import run_staged


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
