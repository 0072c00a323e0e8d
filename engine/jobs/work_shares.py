"""How much of a run's denoising is done after each step, going by FLOPs: what the time that is left is told from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from engine.costs.flops_formula import denoiser_flops, reference_tokens
from engine.experiments.experiment import Experiment, Track
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.level_choice import blocks_of_level, calls_a_step


def work_shares(experiment: Experiment, track: Track) -> Sequence[float]:
    """The share of a run's denoising that is done after each step, ascending to 1."""
    if track.levels and experiment.spec.levels:
        return _level_shares(track, experiment.spec.levels)
    schedule = track.schedule
    sizes = experiment.sizes(schedule)
    transformer, text = experiment.spec.transformer, experiment.spec.defaults.max_sequence_length
    given = experiment.conditions.image is not None
    reference = reference_tokens(experiment.spec, experiment.height, experiment.width) if given else 0
    flops = [
        denoiser_flops(transformer, size, text, reference)
        for stage, size in zip(schedule.stages, sizes, strict=True)
        for _ in range(stage.steps)
    ]
    total = sum(flops)
    return [done / total for done in itertools.accumulate(flops)]


def _level_shares(track: Track, config: HpdmConfig) -> Sequence[float]:
    """The same of a model that runs level by level: tiles times the blocks that each passes through."""
    calls = calls_a_step(config, track.levels.overlap if track.levels else "spatial")
    work = [calls[s.index] * blocks_of_level(config, s.index) for s in track.stages for _ in range(s.steps)]
    return [done / sum(work) for done in itertools.accumulate(work)]
