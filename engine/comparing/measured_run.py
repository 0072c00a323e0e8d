"""One track run, measured, written and compared with the baseline: its entry in the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.beside_baseline import BesideBaseline
from engine.comparing.run_entry import evaluations_of, latency_of, memory_of, stages_of
from engine.comparing.runner import Runner
from engine.comparing.settling import BandWatch
from engine.experiments.experiment import Track
from engine.measuring.disturbance import Watch
from engine.reports.run_costs import Speedup
from engine.reports.schema import Run
from engine.schedules.lightx2v_keys import export


def measured_run(
    runner: Runner[Any], beside: BesideBaseline, number: int, track: Track, timed_beside: tuple[float, ...] = ()
) -> tuple[Run, np.ndarray]:
    """A run's entry and its frames, (T, H, W, 3) float32 in [0, 1]. Raises what the run raises.

    Number 0 is the baseline. `timed_beside` are steps of full size that were timed for it. How many times faster it is
    than the baseline is not in it: that is known from all runs together (`engine.comparing.speedups`).
    """
    cost, warm_up_s, watch = runner.cost(track), runner.warm_up(track), BandWatch()
    with Watch(runner.model.device) as disturbance:
        result = runner.run(track, None if number else watch)
    runner.listener.phase(track.name, "writing the video")
    written = beside.write(number, track, result.frames)
    runner.listener.phase(track.name, "comparing with the baseline")
    heat, similar = beside.compare(number, track, result.frames, written)
    flops, latency = runner.flops(track, cost, result), latency_of(result, written.encode_s, warm_up_s)
    run = Run(
        name=track.name,
        schedule=export(track.schedule),
        steps=track.steps,
        status="done",
        stages=stages_of(cost, runner.experiment),
        sigmas=result.sigmas,
        latency=latency.model_copy(update={"waited": disturbance.found.waited, "beside_s": timed_beside}),
        disturbed=disturbance.found.reason,
        memory=memory_of(result),
        flops=flops,
        speedup=Speedup(by_flops=cost.baseline_flops / flops),
        similarity=runner.remarked(track, similar),
        evaluations=evaluations_of(result),
        video=written.video,
        heatmap=heat,
        bands=watch.bands(),
        **runner.choice(track),
        **runner.extras(number, track, result),
    )
    return run, result.frames
