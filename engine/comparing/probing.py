"""A few timed steps at sizes that no run has shown yet, so that predictions of schedules are measured, not guessed.

They are one short run of the real pipeline through small stages, never decoded: what a step costs at each size, what
comes before the steps, and what a switch costs beside it, are read from it as from any run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from engine.costs.prediction import runnable_rates
from engine.costs.timings import HW, Probe
from engine.measuring.device import trim_heap
from engine.measuring.step_event import StepEvent
from engine.models.catalogue import ModelSpec
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest
from engine.sampling.shared_start import RunMemo
from engine.schedules.latent_sizes import LatentSize, full_size, latent_size, stage_sizes
from engine.schedules.schedule import parse_schedule
from engine.switching.policies import DEFAULT_POLICY, policy_named

TARGETS = (0.25, 0.5, 0.75)  # with the full size, which the baseline shows, these span what schedules use
STEPS = 4  # at each size: the one after the switch, and three to take the undisturbed of
LAST = 2  # at the full size: the one after the switch, and one to compare it with


def probe_rates(
    spec: ModelSpec, size: tuple[int, int, int], needed: Sequence[LatentSize], known: Callable[[HW], bool]
) -> tuple[float, ...]:
    """The rates to time, ascending and under 1; none where every needed size is known but the full one.

    `size` is height, width and frames in pixels. Near TARGETS, and nothing twice.
    """
    full = full_size(spec.geometry, *size)
    if all(known(one.hw) for one in needed if one.hw != full.hw):
        return ()
    legal = runnable_rates(spec, size[0], size[1])[:-1]
    rates = {min(legal, key=lambda rate: abs(rate - target)) for target in TARGETS} if legal else set()
    return tuple(r for r in sorted(rates) if not known(latent_size(full, r, spec.geometry.patch).hw))


def probe(
    request: StagedRequest,
    spec: ModelSpec,
    rates: Sequence[float],
    on_step: Callable[[StepEvent], None],
    memo: RunMemo,
) -> tuple[Probe, ...]:
    """Time a few steps at each rate, then at the full size. `request` is the baseline's; every size should be warm.

    `on_step` may raise `Cancelled`. Raises what `run_staged` does.
    """
    count = len(rates) * STEPS + LAST
    schedule = parse_schedule(count, list(rates), [STEPS * (k + 1) for k in range(len(rates))])
    sizes = stage_sizes(schedule, request.sizes[-1], spec.geometry.patch)
    policy = policy_named(DEFAULT_POLICY)
    trim_heap()
    found = run_staged(
        replace(request, schedule=schedule, sizes=sizes, policy=policy, decode=False), on_step, memo=memo
    )
    result = []
    for stage, size, before in zip(schedule.stages, sizes, found.readings.conditions_s, strict=True):
        first, *rest = found.readings.steps_s[stage.window]
        result.append(Probe(size.hw, tuple(rest), first if stage.index else None, before))
    return tuple(result)
