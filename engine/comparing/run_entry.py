"""What a run gave, and what one that did not finish is, in the words of the report."""

from __future__ import annotations

import platform
from typing import Any, Literal

import diffusers
import torch

from engine import __version__
from engine.comparing.runner import Runner, RunResult
from engine.costs.flops_count import Cost
from engine.experiments.experiment import Experiment, Track
from engine.models.loading import LoadedModel
from engine.reports.closeness import Similarity
from engine.reports.run_costs import EvaluationCounts, Latency, Memory, StageEntry, StageEvaluations
from engine.reports.schema import Environment, Run
from engine.schedules.latent_sizes import LatentSize
from engine.schedules.lightx2v_keys import export


def environment(model: LoadedModel) -> Environment:
    """What the runs are made with."""
    cuda = model.device.type == "cuda"
    return Environment(
        resolute=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        diffusers=diffusers.__version__,
        platform=platform.system(),
        device=model.device.type,
        device_name=torch.cuda.get_device_name(model.device) if cuda else platform.processor() or platform.machine(),
        dtype=str(model.dtype).removeprefix("torch."),
        threads=None if cuda else torch.get_num_threads(),
        loading=model.told,
    )


def stages_of(cost: Cost, experiment: Experiment) -> tuple[StageEntry, ...]:
    """The stages of a schedule as they run, in pixels and in latent cells."""
    stride = experiment.spec.geometry.stride

    def stage(size: LatentSize, first: int, last: int, rate: float) -> StageEntry:
        return StageEntry(
            first_step=first,
            last_step=last,
            rate=rate,
            width=size.width * stride[2],
            height=size.height * stride[1],
            latent_width=size.width,
            latent_height=size.height,
            tokens=size.tokens,
        )

    return tuple(stage(s.size, s.stage.first, s.stage.last, s.stage.rate) for s in cost.stages)


def evaluations_of(result: RunResult) -> EvaluationCounts:
    """How many of the run's model evaluations were computed whole."""
    found = result.evaluations
    stages = (StageEvaluations(computed=one.computed, skipped=one.skipped) for one in found.stages)
    return EvaluationCounts(computed=found.computed, skipped=found.skipped, stages=tuple(stages))


def latency_of(result: RunResult, encode_s: float, warm_up_s: float | None) -> Latency:
    """Where the time of a run went."""
    readings = result.readings
    around = result.text_s + (readings.condition_s or 0.0) + (readings.load_s or 0.0)
    return Latency(
        total_s=around + readings.denoise_s + readings.decode_s + encode_s,
        text_s=result.text_s,
        condition_s=readings.condition_s,
        denoise_s=readings.denoise_s,
        decode_s=readings.decode_s,
        encode_s=encode_s,
        warm_up_s=warm_up_s,
        load_s=readings.load_s,
        steps_s=readings.steps_s,
        conditions_s=readings.conditions_s,
    )


def memory_of(result: RunResult) -> Memory:
    """What memory a run took."""
    readings = result.readings
    return Memory(
        kind=readings.memory_kind,
        peak_bytes=readings.peak_bytes,
        reserved_bytes=readings.reserved_bytes,
        steps_bytes=readings.steps_bytes,
        before_bytes=readings.before_bytes,
        decode_bytes=readings.decode_bytes,
    )


def unfinished_run(runner: Runner[Any], track: Track, status: Literal["failed", "cancelled"], error: str) -> Run:
    """A run that failed or was stopped, with the sentence that says why."""
    cuda = runner.model.device.type == "cuda"
    return Run(
        name=track.name,
        schedule=export(track.schedule),
        steps=track.steps,
        status=status,
        error=error,
        memory=Memory(kind="cuda" if cuda else "rss_above_start", peak_bytes=None, reason=f"run {status}"),
        similarity=Similarity.missing(f"this run was {status}"),
        **runner.choice(track),
    )
