"""The plot of cost against closeness: its axes, and every run's place on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.measuring.similarity import KINDS
from engine.measuring.squared_error import CEILING_DB
from engine.reports.run_display import HEADLINE_METRICS, colour_of, ranked_by
from engine.reports.schema import Report, Run

CEILINGS = {"psnr": CEILING_DB, "ssim": 1.0, "vmaf": 100.0}


@dataclass(frozen=True, slots=True)
class Axis:
    """A choice of the plot. `ceiling` is the metric's highest value, `floor` that of the baseline run twice."""

    id: str
    label: str
    unit: str
    decimals: int
    ceiling: float | None = None
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One run in the plot: its place on every axis, and why it has none."""

    number: int
    name: str
    colour: int
    at: dict[str, float | None]
    reasons: dict[str, str]


def across(report: Report) -> tuple[Axis, ...]:
    """What costs: the plot's axis from left to right, to choose from."""
    unit = _flops_unit(report)[1]
    return (
        Axis("denoise", "Denoising time", "s", 2),
        Axis("total", "Total time", "s", 2),
        Axis("flops", "Arithmetic", unit, 2),
    )


def _flops_unit(report: Report) -> tuple[float, str]:
    most = largest(run.flops for run in report.runs)
    units = ((1e18, "EFLOP"), (1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"))
    return next(((size, name) for size, name in units if most >= size), (1e6, "MFLOP"))


def up(report: Report, name: str) -> Axis:
    """A metric as the plot's other axis. The floor of two equal runs is no line: nothing can be above it."""
    kind, floor = KINDS[name], None
    if report.noise_floor is not None and report.noise_floor.psnr.min != CEILING_DB:
        floor = report.noise_floor.metrics()[_plotted(report, name)].mean
    return Axis(name, kind.label, kind.unit, kind.decimals, CEILINGS[name], floor)


def _plotted(report: Report, name: str) -> str:
    """The metric behind an axis: PSNR is that of all frames where the runs have it."""
    return ranked_by(report.runs) if name == "psnr" else name


def point(report: Report, number: int, run: Run) -> Point:
    """A run's place in the plot."""
    flops = None if run.flops is None else run.flops / _flops_unit(report)[0]
    at: dict[str, float | None] = {"denoise": run.latency.denoise_s, "total": run.latency.total_s, "flops": flops}
    reasons = {name: gone(run) for name, value in at.items() if value is None}
    for name in HEADLINE_METRICS:
        metric = run.similarity.metrics()[_plotted(report, name)]
        at[name] = metric.mean
        if metric.mean is None:
            reasons[name] = gone(run) if run.status != "done" else metric.reason or ""
    return Point(number, run.name, colour_of(number), at, reasons)


def gone(run: Run) -> str:
    """Why a figure of a run is not there."""
    return run.error or (f"the run was {run.status}" if run.status != "done" else "not measured")


def largest(numbers: Iterable[float | None]) -> float:
    """The largest of what is known; 0 of nothing."""
    return max((number for number in numbers if number is not None), default=0)
