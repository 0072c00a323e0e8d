"""What a run by levels will cost on this machine, before it runs, and what the level board is told of it. No torch.

FLOPs are exact. Seconds are FLOPs times what a FLOP of each level has taken in the baseline's runs here: a level's
passes all have one size, so its time goes with their number.
"""

from __future__ import annotations

import statistics
from functools import cached_property
from typing import Any

from engine.costs.prediction import Prediction, Source
from engine.costs.timings import Timings, by_area, workload_of
from engine.costs.uncertainty import half_width
from engine.experiments.level_tracks import offered_choices
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.level_choice import (
    CONTEXT_WORDS,
    OVERLAP_WORDS,
    LevelChoice,
    checked_level_schedule,
    checked_levels,
    level_schedule,
    level_steps,
)
from engine.hpdm.patch_flops import LevelWork, context_rows, features_bytes, run_work, tile_flops
from engine.hpdm.sampling_request import make_request, tile_batch
from engine.hpdm.tiles import OVERLAPS
from engine.models.catalogue import ModelSpec
from engine.schedules.schedule import ResolutionSchedule

OVERLAP_NOTES = {
    "none": "tiles lie side by side",
    "spatial": "neighbours share half their height and width",
    "full": "neighbours share half their frames, height and width",
}
CONTEXT_NOTES = {
    "device": "features of finished levels are kept where the network runs",
    "cpu": "features of finished levels are kept in the machine's memory",
    "off": "features of finished levels are computed anew at every step",
}


class LevelCosts:
    """Costs of one model by levels with `guidance`; `timings` of the same workload, None where nothing has run."""

    def __init__(self, spec: ModelSpec, timings: Timings | None, guidance: float) -> None:
        assert spec.levels is not None
        if timings is not None and timings.key.workload != workload_of(spec, spec.defaults.frames, guidance):
            raise ValueError(f"timings of {timings.key.workload} cannot predict {spec.id} with guidance {guidance:g}")
        self.spec, self.config, self.timings = spec, spec.levels, timings
        self.guidance = guidance
        self.rows = tuple(self.config.branches(level, guidance) for level in range(self.config.levels))

    def work(self, choice: LevelChoice, steps: tuple[int, ...]) -> tuple[LevelWork, ...]:
        """What every level of a run does."""
        own = checked_levels(choice, self.config)
        request = make_request(
            self.config, levels=own.levels, steps=steps, overlap=own.overlap, cache=own.context, heun=own.heun,
            guidance=self.guidance,
        )  # fmt: skip
        return run_work(self.config, request, tile_batch(self.config, request.memory_mib))

    def seconds(self, schedule: ResolutionSchedule, choice: LevelChoice | None = None) -> Prediction:
        """What a run will take here; its baseline has as many steps in all, all levels and spatial overlap."""
        schedule = checked_level_schedule(schedule, self.config, schedule.infer_steps)
        work = self.work(choice or LevelChoice(), level_steps(schedule))
        base = self.work(LevelChoice(), level_steps(level_schedule(self.config, schedule.infer_steps)))
        denoise, base_s, fixed = self._denoise_s(work), self._denoise_s(base), self.fixed_s
        return Prediction(
            total_s=None if denoise is None or fixed is None else denoise + fixed,
            denoise_s=denoise,
            speedup=base_s / denoise if denoise and base_s else None,
            by_flops=sum(level.flops for level in base) / sum(level.flops for level in work),
            peak_bytes=self.peak_bytes,
            source=self.calibrated,
            half_width=half_width(self.timings, self.calibrated) if self.timings else None,
        )

    @cached_property
    def flop_seconds(self) -> tuple[float | None, ...]:
        """Seconds of a FLOP at each level; where one was not timed, as at the nearest that was."""
        known = self._timed
        if not known:
            return (None,) * self.config.levels
        near = [min(known, key=lambda k, level=level: abs(k - level)) for level in range(self.config.levels)]  # type: ignore[misc]
        return tuple(known[k] for k in near)

    @cached_property
    def _timed(self) -> dict[int, float]:
        """Seconds of a FLOP by level, as far as the baseline's steps have been timed: those after a level's first."""
        found = self.timings.step_seconds() if self.timings else {}
        plain = self.work(LevelChoice(), (1,) * self.config.levels)
        flops = [self.rows[k] * level.tiles * tile_flops(self.config, k) for k, level in enumerate(plain)]
        sizes = [self.config.size(level)[1:] for level in range(self.config.levels)]
        return {level: found[hw] / flops[level] for level, hw in enumerate(sizes) if hw in found}

    @property
    def calibrated(self) -> Source:
        """Measured where every level has been timed."""
        known = len(self._timed)
        return "measured" if known == self.config.levels else "estimated" if known else "none"

    @property
    def fixed_s(self) -> float | None:
        """What every run takes besides its steps: writing the video."""
        if self.timings is None:
            return None
        _, height, width = self.config.size(self.config.levels - 1)
        return by_area(self.timings.encode, (height, width))[0]

    @property
    def peak_bytes(self) -> float | None:
        """The peak of a whole baseline run here."""
        found = [value for values in self.timings.peak_bytes.values() for value in values] if self.timings else []
        return statistics.median(found) if found else None

    def _denoise_s(self, work: tuple[LevelWork, ...]) -> float | None:
        rates = self.flop_seconds[: len(work)]
        known = [rate for rate in rates if rate is not None]
        if len(known) < len(rates):
            return None
        return sum(rate * level.flops for rate, level in zip(known, work, strict=True))


def level_context(costs: LevelCosts, *, max_tracks: int) -> dict[str, Any]:
    """All that the board is told of a model by levels: its `context` prop (docs/architecture.md), plain JSON."""
    spec, config, own = costs.spec, costs.config, costs.spec.defaults
    runs = costs.timings.runs if costs.timings else 0
    count = f"{runs} run{'' if runs == 1 else 's'} on this machine"
    notes = {
        "measured": f"exact FLOPs, at the speed of {count}",
        "estimated": f"exact FLOPs, at the speed of {count}; not every level has been timed",
        "none": "FLOPs are exact; nothing is timed yet: the first baseline times this machine",
    }
    return {
        "model": spec.title,
        "max_tracks": max_tracks,
        "native": [own.height, own.width],
        "height": own.height,
        "width": own.width,
        "frames": own.frames,
        "shift": None,
        "policies": [],
        "rates": [],
        "caches": [],
        "cache": None,
        "bands": None,
        "fixed_s": costs.fixed_s,
        "switch_s": None,
        "peak_bytes": costs.peak_bytes,
        "calibrated": costs.calibrated,
        "calibration_note": notes[costs.calibrated],
        "levels": _levels(costs, config),
    }


def _levels(costs: LevelCosts, config: HpdmConfig) -> dict[str, Any]:
    """The levels themselves: sizes, passes and what they cost, by overlap and by where features are kept."""
    each = []
    for level in range(config.levels):
        frames, height, width = config.size(level)
        each.append(
            {
                "frames": frames,
                "height": height,
                "width": width,
                "rate": height / config.size(config.levels - 1)[1],
                "pass_flops": tile_flops(config, level),
                "flop_seconds": costs.flop_seconds[level],
            }
        )
    return {
        "patch": list(config.patch),
        "rows": list(costs.rows),
        "each": each,
        "overlaps": [_overlap(costs, name) for name in OVERLAPS],
        "contexts": [
            {"name": name, "title": _capital(words), "note": CONTEXT_NOTES[name]}
            for name, words in CONTEXT_WORDS.items()
        ],
        "offered": [
            {"name": choice.name(config.levels), "why": why, "levels": choice.document()}
            for choice, why in offered_choices(config)
        ],
    }


def _overlap(costs: LevelCosts, name: str) -> dict[str, Any]:
    """One way to lay tiles: how many, and FLOPs of the features below, kept (`once`) and not (`every` step)."""
    config, ones = costs.config, (1,) * costs.config.levels
    kept = costs.work(LevelChoice(overlap=name), ones)
    anew = costs.work(LevelChoice(overlap=name, context="off"), ones)

    def below(work: tuple[LevelWork, ...]) -> list[int]:
        return [level.flops - level.passes * tile_flops(config, k) for k, level in enumerate(work)]

    rows = context_rows(config, costs.guidance)
    features = [sum(rows * n * features_bytes(config, k) for k, n in enumerate(level.kept)) for level in kept]
    return {
        "name": name,
        "title": _capital(OVERLAP_WORDS[name]),
        "note": OVERLAP_NOTES[name],
        "tiles": [level.tiles for level in kept],
        "once": below(kept),
        "every": below(anew),
        "kept_bytes": features,
    }


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
