"""Timing finished runs again whose seconds were disturbed: their steps run anew, their videos and metrics stay."""

from __future__ import annotations

from typing import Any

from engine.comparing.finished_runs import FinishedRuns
from engine.comparing.run_entry import latency_of
from engine.comparing.runner import Runner
from engine.experiments.experiment import Track
from engine.measuring.disturbance import Watch
from engine.reports.schema import Run


def to_time_again(runs: FinishedRuns) -> list[int]:
    """The numbers of finished runs to time again: those that were disturbed, and the baseline with them.

    A baseline of an earlier comparison is not run: a few of its steps are timed beside each of the others.
    """
    done = {number: run for number, run in runs.by_number().items() if run.status == "done"}
    disturbed = [number for number, run in done.items() if run.disturbed and number]
    base = done.get(0)
    if base is None or not (disturbed or base.disturbed):
        return []
    return disturbed if base.reused else [0, *disturbed]


def timed_again(runner: Runner[Any], track: Track, run: Run, beside_s: tuple[float, ...]) -> Run:
    """A finished run with the seconds of a new try, whose frames are let go. Raises what the run raises."""
    warm_up_s = runner.warm_up(track)
    with Watch(runner.model.device) as disturbance:
        result = runner.run(track)
    latency = latency_of(result, run.latency.encode_s or 0.0, warm_up_s)
    found = latency.model_copy(update={"waited": disturbance.found.waited, "beside_s": beside_s})
    return run.model_copy(update={"latency": found, "disturbed": disturbance.found.reason})
