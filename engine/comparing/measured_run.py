"""One track run, measured, written and compared with the baseline: its entry in the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.comparing.beside_baseline import BesideBaseline
from engine.comparing.run_entry import evaluations_of, latency_of, memory_of, stages_of
from engine.comparing.runner import Runner
from engine.comparing.settling import BandWatch
from engine.experiments.experiment import Track
from engine.reports.run_costs import Speedup
from engine.reports.schema import Run
from engine.schedules.lightx2v_keys import export


def measured_run(
    runner: Runner[Any], beside: BesideBaseline, number: int, track: Track, baseline_s: float | None
) -> tuple[Run, np.ndarray]:
    """A run's entry and its frames, (T, H, W, 3) float32 in [0, 1]. Raises what the run raises.

    `baseline_s` are the seconds of the baseline's denoising loop, None for the baseline itself (number 0) and where it
    did not finish.
    """
    cost, warm_up_s, watch = runner.cost(track), runner.warm_up(track), BandWatch()
    result = runner.run(track, None if number else watch)
    runner.listener.phase(track.name, "writing the video")
    written = beside.write(number, track, result.frames)
    runner.listener.phase(track.name, "comparing with the baseline")
    heat, similar = beside.compare(number, track, result.frames, written)
    flops, denoise_s = runner.flops(track, cost, result), result.readings.denoise_s
    base = baseline_s if number else denoise_s
    run = Run(
        name=track.name,
        schedule=export(track.schedule),
        status="done",
        stages=stages_of(cost, runner.experiment),
        sigmas=result.sigmas,
        latency=latency_of(result, written.encode_s, warm_up_s),
        memory=memory_of(result),
        flops=flops,
        speedup=Speedup(measured=base / denoise_s if base else None, by_flops=cost.baseline_flops / flops),
        similarity=runner.remarked(track, similar),
        evaluations=evaluations_of(result),
        video=written.video,
        heatmap=heat,
        bands=watch.bands(),
        **runner.choice(track),
        **runner.extras(number, track, result),
    )
    return run, result.frames
