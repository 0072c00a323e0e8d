"""What a schedule will cost on this machine, before it runs: FLOPs by formula, seconds from what has been measured.

Seconds of a step are interpolated over FLOPs through the measured sizes. Torch-free: the page predicts while one drags.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from engine.caches.which_model import offered
from engine.costs.flops_formula import denoiser_flops, reference_tokens
from engine.costs.isotonic_curve import Curve
from engine.costs.timings import TimingKey as TimingKey
from engine.costs.timings import Timings as Timings
from engine.costs.timings import by_area, workload
from engine.costs.uncertainty import half_width
from engine.models.catalogue import ModelSpec
from engine.reports.closeness import Bands
from engine.schedules.latent_sizes import Geometry, LatentSize, full_size, latent_size, stage_sizes
from engine.schedules.schedule import ResolutionSchedule, flat
from engine.switching.policies import POLICIES

Source = Literal["measured", "estimated", "none"]
ROUNDNESS = (20, 100, 1000, 10_000, 100_000, 1_000_000)  # multiples of 0.05, of 0.01, of 0.001, …


@dataclass(frozen=True)
class RateCost:
    """One rate that a model can run and what a step costs there, guidance included; None is unknown.

    `condition_s` is what a stage of this size takes before its steps.
    """

    rate: float
    latent: tuple[int, int]
    pixels: tuple[int, int]
    ratio: float
    tokens: int
    flops: int
    seconds: float | None
    condition_s: float
    memory_bytes: float | None

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**vars(self), "latent": list(self.latent), "pixels": list(self.pixels)}


@dataclass(frozen=True)
class Prediction:
    """What one run is expected to take: as `Latency` and `Memory` of the report mean it; None is unknown.

    `total_s` is text, the conditions of every stage, denoising, decoding and writing; `speedup` that of the denoising
    loop over the flat schedule, `by_flops` the same if time went with FLOPs. `half_width`: half of the 90 % interval of
    the seconds' logarithm.
    """

    total_s: float | None
    denoise_s: float | None
    speedup: float | None
    by_flops: float
    peak_bytes: float | None
    source: Source
    half_width: float | None = None

    def interval(self, seconds: float | None) -> tuple[float, float] | None:
        """The 90 % interval around `total_s` or `denoise_s`; None where nothing is known."""
        if seconds is None or self.half_width is None:
            return None
        return seconds * math.exp(-self.half_width), seconds * math.exp(self.half_width)


def runnable_rates(spec: ModelSpec, height: int, width: int) -> tuple[float, ...]:
    """One rate for every distinct latent size of a model at a pixel size, ascending, the last 1.0.

    Of all rates that give a size it is the roundest decimal: a multiple of 0.05, else of 0.01, else of 0.001, …
    """
    full = full_size(spec.geometry, height, width, 1)
    patch = spec.geometry.patch
    smallest = max(patch[1] / full.height, patch[2] / full.width)
    edges = {k * patch[1] / full.height for k in range(1, full.height // patch[1] + 1)}
    edges |= {k * patch[2] / full.width for k in range(1, full.width // patch[2] + 1)}
    steps = sorted(edge for edge in edges if edge >= smallest)
    return tuple(_roundest(edge, full, spec.geometry) for edge in steps)


def _roundest(edge: float, full: LatentSize, geometry: Geometry) -> float:
    """The roundest rate of the size that begins at `edge`."""
    wanted = latent_size(full, math.nextafter(edge, 2.0), geometry.patch).hw
    for parts in ROUNDNESS:
        first = math.floor(edge * parts)
        for count in (first, first + 1):
            rate = count / parts
            if edge - 1e-9 <= rate <= 1 and latent_size(full, rate, geometry.patch).hw == wanted:
                return rate
    return edge


class CostModel:
    """Costs of one model at one size: `height` and `width` in pixels, the rest as of an experiment.

    `conditions` are the roles of the pictures and videos that the runs are given; the tokens of an image some families
    evaluate beside the latents'.
    """

    def __init__(
        self,
        spec: ModelSpec,
        timings: Timings | None,
        height: int,
        width: int,
        frames: int,
        guidance: float,
        max_sequence_length: int | None = None,
        conditions: Sequence[str] = (),
    ) -> None:
        self.spec, self.height, self.width, self.frames = spec, height, width, frames
        self.guided = guidance > 1
        self.passes = spec.family.passes(guidance)
        self.text_tokens = max_sequence_length or spec.defaults.max_sequence_length
        self.reference = reference_tokens(spec, height, width) if "image" in conditions else 0
        asked = workload(spec.id, frames, self.guided, self.text_tokens, conditions)
        if timings is not None and timings.key.workload != asked:
            raise ValueError(f"timings of {timings.key.workload} cannot predict {asked}")
        self.timings = timings
        self.full = full_size(spec.geometry, height, width, frames)

    @cached_property
    def rates(self) -> tuple[RateCost, ...]:
        """Every rate that the model can run at this size, ascending, the last 1.0."""
        return tuple(self._row(rate) for rate in runnable_rates(self.spec, self.height, self.width))

    def table(self) -> list[dict[str, Any]]:
        """`rates` as plain JSON: the board's detents."""
        return [row.document() for row in self.rates]

    def seconds(self, schedule: ResolutionSchedule, baseline_steps: int | None = None) -> Prediction:
        """What a run of a schedule will take here; its baseline has `baseline_steps` steps, or as many as itself."""
        base_steps = baseline_steps or schedule.infer_steps
        denoise, base = self._denoise_s(schedule), self._denoise_s(flat(base_steps))
        fixed, stages = self.fixed_s, self._stages(schedule)
        flops = sum(stage.steps * self.step_flops(size) for stage, size in stages)
        before = sum(self.condition_s(size) for _, size in stages)
        source = self._source([size for _, size in stages])
        return Prediction(
            total_s=None if denoise is None or fixed is None else denoise + before + fixed,
            denoise_s=denoise,
            speedup=base / denoise if base and denoise else None,
            by_flops=base_steps * self.step_flops(self.full) / flops,
            peak_bytes=self.peak_bytes,
            source=source,
            half_width=self.half_width(source),
        )

    def half_width(self, source: Source) -> float | None:
        """Half of the 90 % interval of a prediction's logarithm, by where its seconds come from."""
        return half_width(self.timings, source) if self.timings else None

    @property
    def calibrated(self) -> Source:
        """How well the table's seconds are known: "measured" from two sizes on, the full one among or between them."""
        if len(self._measured) < 2 and self._measured:
            return "estimated"
        return self._source([self.full])

    @property
    def fixed_s(self) -> float | None:
        """What every run takes besides its stages: text, decoding, writing."""
        if self.timings is None:
            return None
        parts = [by_area(found, (self.height, self.width))[0] for found in (self.timings.decode, self.timings.encode)]
        text = statistics.median(self.timings.text) if self.timings.text else None
        known = [part for part in (*parts, text) if part is not None]
        return sum(known) if len(known) == 3 else None

    def condition_s(self, size: LatentSize) -> float:
        """What a stage takes before its steps: pictures and videos encoded at its size; 0 where it was not measured."""
        return self.timings.condition_seconds(size.hw) if self.timings else 0.0

    @property
    def start_s(self) -> float:
        """By how much a run's first step is longer than its others."""
        return statistics.median(self.timings.starts) if self.timings and self.timings.starts else 0.0

    @property
    def switch_s(self) -> float | None:
        """By how much the first step after a switch is longer than its stage's others; None where none was measured."""
        return statistics.median(self.timings.switches) if self.timings and self.timings.switches else None

    def step_flops(self, size: LatentSize) -> int:
        """FLOPs of one denoising step of one sample, guidance included."""
        return self.passes * denoiser_flops(self.spec.transformer, size, self.text_tokens, self.reference)

    def step_seconds(self, size: LatentSize) -> float | None:
        """Seconds of one denoising step, guidance included; None where nothing was measured."""
        return self._seconds_curve.at(self.step_flops(size)) if self._measured else None

    @cached_property
    def _measured(self) -> dict[tuple[int, int], float]:
        return self.timings.step_seconds() if self.timings else {}

    @cached_property
    def _seconds_curve(self) -> Curve:
        return Curve.through({self.step_flops(self._sized(hw)): seconds for hw, seconds in self._measured.items()})

    @cached_property
    def _memory_curve(self) -> Curve:
        found = self.timings.step_memory() if self.timings else {}
        return Curve.through({self._sized(hw).tokens: count for hw, count in found.items()})

    @cached_property
    def peak_bytes(self) -> float | None:
        """The peak of a whole run at this size, decoding included: what a card must hold whatever the schedule."""
        if self.timings is None:
            return None
        return by_area(self.timings.peak_bytes, (self.height, self.width))[0]

    def _sized(self, hw: tuple[int, int]) -> LatentSize:
        """A measured latent size, maybe of another full size, as a grid of these frames."""
        stride = self.spec.geometry.stride
        return full_size(self.spec.geometry, hw[0] * stride[1], hw[1] * stride[2], self.frames)

    def _stages(self, schedule: ResolutionSchedule) -> list[tuple[Any, LatentSize]]:
        sizes = stage_sizes(schedule, self.full, self.spec.geometry.patch)
        return list(zip(schedule.stages, sizes, strict=True))

    def _denoise_s(self, schedule: ResolutionSchedule) -> float | None:
        if not self._measured:
            return None
        steps = [stage.steps * self._seconds_curve.at(self.step_flops(size)) for stage, size in self._stages(schedule)]
        return sum(steps) + self.start_s + len(schedule.switch_steps) * (self.switch_s or 0.0)

    def _source(self, sizes: Sequence[LatentSize]) -> Source:
        """Measured: each size was, or lies between two that were. The fixed parts count with the full size."""
        if not self._measured:
            return "none"
        curve = self._seconds_curve
        spanned = all(size.hw in self._measured or curve.spans(self.step_flops(size)) for size in sizes)
        fixed = self.timings is not None and by_area(self.timings.decode, (self.height, self.width))[1]
        return "measured" if spanned and fixed else "estimated"

    def _row(self, rate: float) -> RateCost:
        size, stride = latent_size(self.full, rate, self.spec.geometry.patch), self.spec.geometry.stride
        memory = self._memory_curve.at(size.tokens) if self._memory_curve.spans(size.tokens) else None
        return RateCost(
            rate=rate,
            latent=size.hw,
            pixels=(size.height * stride[1], size.width * stride[2]),
            ratio=size.ratio,
            tokens=size.tokens,
            flops=self.step_flops(size),
            seconds=self.step_seconds(size),
            condition_s=self.condition_s(size),
            memory_bytes=memory,
        )


def context(
    costs: CostModel,
    *,
    shift: float | None,
    max_tracks: int,
    bands: Bands | None = None,
    cache: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """All that the timeline board is told: its `context` prop (docs/architecture.md), plain JSON."""
    native = costs.spec.defaults
    fixed = costs.fixed_s
    return {
        "model": costs.spec.title,
        "max_tracks": max_tracks,
        "native": [native.height, native.width],
        "height": costs.height,
        "width": costs.width,
        "frames": costs.frames,
        "shift": shift,
        "policies": [{"name": policy.name, "summary": policy.summary} for policy in POLICIES.values()],
        "rates": costs.table(),
        "fixed_s": None if fixed is None else fixed + costs.start_s,
        "switch_s": costs.switch_s,
        "peak_bytes": costs.peak_bytes,
        "calibrated": costs.calibrated,
        "calibration_note": calibration_note(costs),
        "bands": None if bands is None else bands.model_dump(mode="json"),
        "cache": None if cache is None else dict(cache),
        "caches": offered(costs.spec),
    }


def calibration_note(costs: CostModel) -> str:
    """Where the seconds come from, for people."""
    runs = costs.timings.runs if costs.timings else 0
    count = f"{runs} run{'' if runs == 1 else 's'} on this machine"
    half = costs.half_width(costs.calibrated)
    within = f"; nine of ten runs are to lie within {math.expm1(half):.0%}" if half else ""
    if costs.calibrated == "measured":
        return f"from {count}{within}"
    if costs.calibrated == "estimated":
        return f"estimated from {count}, by FLOPs where a size was not measured{within}"
    return "nothing measured yet: the first baseline times this machine"
