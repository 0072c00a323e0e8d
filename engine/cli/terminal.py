"""What the command line shows: live progress on standard error, tables on standard output."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from rich import box, progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.costs.flops_count import Cost
from engine.errors import Cancelled
from engine.experiments.experiment import Experiment
from engine.experiments.presets import Preset
from engine.measuring.similarity import Metric
from engine.measuring.step_event import StepEvent
from engine.models.availability import Availability
from engine.models.catalogue import ModelSpec
from engine.reports.memory_advice import memory_sentence
from engine.reports.run_display import (
    disturbed_text,
    evaluations_text,
    experts_text,
    ranked_by,
    ratio_text,
    shows_conditions,
)
from engine.reports.scale_words import other_seed_words
from engine.reports.schema import Report, Run
from engine.texts import escaped
from engine.wording import gb_text


class ProgressLines:
    """A bar a run: step, stage, latent size. Ctrl-C cancels within one step; what is finished is kept."""

    def __init__(self, quiet: bool = False) -> None:
        self._bars = progress.Progress(
            progress.TextColumn("{task.description:<26.26}"),
            progress.BarColumn(bar_width=24),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[state]}", markup=False),
            console=Console(stderr=True),
            disable=quiet,
        )
        self._tasks: dict[str, progress.TaskID] = {}
        self._cancelled = False
        self._before: Any = None

    def __enter__(self) -> ProgressLines:
        self._before = signal.signal(signal.SIGINT, self._interrupted)
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bars.stop()
        signal.signal(signal.SIGINT, self._before)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self._cancelled:
            raise KeyboardInterrupt
        self._cancelled = True

    def run_started(self, name: str, number: int, runs: int) -> None:
        self._check()
        self._tasks[name] = self._bars.add_task(_cell(name), total=None, state="starting")

    def step(self, name: str, event: StepEvent) -> None:
        self._check()
        state = f"rate {event.rate:g}, latent {event.latent_height}x{event.latent_width}, sigma {event.sigma:.3f}"
        self._bars.update(self._task(name), total=event.steps, completed=event.step, state=state)

    def phase(self, name: str, phase: str) -> None:
        self._check()
        self._bars.update(self._task(name), state=escaped(phase, lines=False))

    def run_ended(self, run: Run) -> None:
        self._bars.update(
            self._task(run.name), state=run.status if run.error is None else escaped(run.error, lines=False)
        )
        self._bars.stop_task(self._task(run.name))

    def _task(self, name: str) -> progress.TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(f"{_cell(name)} (warm-up)", total=None, state="")
        return self._tasks[name]

    def _check(self) -> None:
        if self._cancelled:
            raise Cancelled("cancelled")


class Fetching:
    """A bar of bytes while a model is fetched; nothing where it is here already."""

    def __init__(self, quiet: bool = False) -> None:
        self._bars = progress.Progress(
            progress.TextColumn("fetching the model"),
            progress.BarColumn(bar_width=24),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )
        self._task: progress.TaskID | None = None

    def __enter__(self) -> Fetching:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._task is not None:
            self._bars.stop()

    def __call__(self, here: int, total: int) -> None:
        if self._task is None:
            self._bars.start()
            self._task = self._bars.add_task("", total=total)
        self._bars.update(self._task, completed=here, total=total)


def print_report(report: Report, out: Path) -> None:
    """The comparison as a table, and where its files are."""
    table = Table(box=box.SIMPLE_HEAD, title=f"{_cell(report.model)}, seed {report.seed}, {report.steps} steps")
    for column in (
        "run",
        "policy",
        *(("conditions s",) if shows_conditions(report) else ()),
        "denoise s",
        "total s",
        "speed-up",
        "by FLOPs",
        "evaluations",
        "memory MB",
        "PSNR",
        "SSIM",
        "VMAF",
    ):
        table.add_column(column, justify="left" if column in ("run", "policy") else "right", no_wrap=True)
    for run in report.runs:
        table.add_row(*_row(run, ranked_by(report.runs), shows_conditions(report)))
    console = _console()
    console.print(table)
    for run in report.runs:
        if run.error:
            _say(console, f"{run.name}: {run.status}: {run.error}")
    for run in report.runs:
        if told := disturbed_text(run):
            _say(console, f"{run.name}: {told}")
        if told := experts_text(run):
            _say(console, f"{run.name}: expert {told}.")
    for run in report.runs:
        if run.uncached and run.uncached.run:
            like = (
                f"PSNR {_mean(run.uncached.similarity.closeness)} dB to {run.uncached.run}, the same without its cache"
            )
            _say(console, f"{run.name}: {like}.")
    if report.noise_floor:
        _say(console, f"Two equal baseline runs: PSNR {_mean(report.noise_floor.closeness)} dB.")
    if report.other_seed:
        _say(console, other_seed_words(report))
    if sentence := memory_sentence(report):
        _say(console, sentence)
    _say(console, f"Report: {out / 'index.html'}  ({out / 'report.json'})", soft_wrap=True)


def _row(run: Run, kind: str, conditions: bool) -> tuple[str, ...]:
    latency, similar = run.latency, run.similarity
    peak = run.memory.peak_bytes
    return (
        _cell(run.name),
        _cell(run.told_policy or ""),
        *((_number(latency.condition_s, ".2f"),) if conditions else ()),
        _number(latency.denoise_s, ".2f"),
        _number(latency.total_s, ".2f"),
        ratio_text(run.speedup.measured, run.speedup.interval) if run.speedup.measured else "–",
        _number(run.speedup.by_flops, ".2f"),
        evaluations_text(run) or "–",
        _number(None if peak is None else peak / 1e6, ".0f"),
        _mean(similar.metrics()[kind]),
        _mean(similar.ssim, ".3f"),
        _mean(similar.vmaf),
    )


def print_models(found: Sequence[Availability], json_only: bool) -> None:
    if json_only:
        rows = [{"id": one.spec.id, "title": one.spec.title, "hub": _hub(one), **one.document()} for one in found]
        print(json.dumps(rows, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("model", "size", "steps", "shift", "guidance", "memory", "where"):
        table.add_column(column, no_wrap=True)
    for one in found:
        spec, own = one.spec, one.spec.defaults
        size = f"{own.width}x{own.height}" + (f"x{own.frames}" if spec.family.output == "video" else "")
        shift = "own" if own.shift is None else f"{own.shift:g}"
        memory = "" if one.peak_bytes is None else gb_text(one.peak_bytes, 1) + (" !" if one.too_large else "")
        guidance = f"{own.guidance:g}" + ("" if own.guidance_2 is None else f" / {own.guidance_2:g}")
        table.add_row(_cell(spec.id), size, str(own.steps), shift, guidance, memory, _cell(one.told))
    console = _console()
    console.print(table)
    for one in found:
        if one.too_large:
            _say(console, f"! {one.spec.id}: {one.too_large}", highlight=False)


def _hub(one: Availability) -> str | None:
    return None if one.spec.is_local else one.spec.location


def print_costs(spec: ModelSpec, size: Mapping[str, int], costs: Mapping[str, Cost], json_only: bool) -> None:
    if json_only:
        rows = {
            name: {
                "flops": cost.flops,
                "baseline_flops": cost.baseline_flops,
                "speedup_by_flops": cost.speedup,
                "stages": [
                    {
                        "first_step": part.stage.first,
                        "last_step": part.stage.last,
                        "rate": part.stage.rate,
                        "latent_height": part.size.height,
                        "latent_width": part.size.width,
                        "tokens": part.size.tokens,
                        "flops_per_step": part.flops_per_step,
                    }
                    for part in cost.stages
                ],
            }
            for name, cost in costs.items()
        }
        print(json.dumps({"model": spec.id, "size": dict(size), "schedules": rows}, indent=2))
        return
    table = Table(
        box=box.SIMPLE_HEAD, title=f"{_cell(spec.title)} at {size['width']}x{size['height']}x{size['frames']}"
    )
    for column in ("schedule", "TFLOP", "baseline", "speed-up by FLOPs", "tokens by stage"):
        table.add_column(column, justify="left" if column == "schedule" else "right")
    for name, cost in costs.items():
        tokens = " / ".join(f"{part.size.tokens} x{part.stage.steps}" for part in cost.stages)
        table.add_row(
            _cell(name),
            f"{cost.flops / 1e12:,.3f}",
            f"{cost.baseline_flops / 1e12:,.3f}",
            f"{cost.speedup:.2f}",
            tokens,
        )
    _console().print(table)


def print_schedule(preset: Preset, fitting: Experiment | None) -> None:
    schedule = preset.schedule
    console = Console()
    cache = f", {preset.cache}" if preset.cache else ""
    steps = f"{schedule.infer_steps} steps{'' if preset.steps is None else ' of its own'}"
    _say(console, f"{preset.name}: {schedule.kind}, {steps}{cache}")
    sizes = fitting.sizes(schedule) if fitting else ()
    for stage in schedule.stages:
        line = f"  steps {stage.first:>4}..{stage.last:<4} rate {stage.rate:g}"
        if fitting:
            size = sizes[stage.index]
            line += f"  latent {size.height}x{size.width}, true rate {size.ratio:.4f}, {size.tokens} tokens"
        _say(console, line, highlight=False)


def _cell(text: str) -> str:
    """A text in a table or a bar: as rich shows it, and nothing in it that a terminal obeys."""
    return escape(escaped(text, lines=False))


def _say(console: Console, text: str | None, **options: Any) -> None:
    """Print a sentence, and nothing in it that a terminal obeys."""
    console.print(escaped(text), markup=False, **options)


def _console() -> Console:
    """Standard output; as wide as the tables need where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=150)


def _number(value: float | None, spec: str) -> str:
    return "–" if value is None else format(value, spec)


def _mean(metric: Metric, spec: str = ".1f") -> str:
    return _number(metric.mean, spec)
