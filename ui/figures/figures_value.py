"""The value of the figures widget: a report as table, points and footnotes, ready to be shown.

What is unknown is a dash with its reason, never 0. Numbers that are compared or sorted stand beside their text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.checked import checked_integer
from engine.errors import InvalidInput
from engine.experiments.experiment import MAX_TRACKS
from engine.measuring.similarity import KINDS
from engine.reports.closeness import Similarity
from engine.reports.memory_advice import memory_sentence
from engine.reports.report_tables import Footnotes
from engine.reports.run_display import (
    HEADLINE_METRICS,
    colour_of,
    disturbed_text,
    evaluations_text,
    glyph,
    ratio_text,
    shows_conditions,
    stages_text,
)
from engine.reports.scale_words import noise_floor_words, other_seed_words
from engine.reports.schema import Report, Run
from ui.figures.plot_value import Axis, Point, across, gone, largest, point, up

COST = "Cost"
INTERVAL = "In brackets where the true ratio lies with 95 % confidence."
TIMED = ("total", "denoise", "whole", "speedup", "share")  # columns that say nothing where a run was disturbed
SIMILARITY = "Similarity to the baseline (not quality)"
UNCACHED = "To the same without its cache"
CONDITIONS = "What comes before the steps of every stage, at its size: pictures and videos encoded, latents prepared."
GIB, MIB = 2**30, 2**20


@dataclass(frozen=True, slots=True)
class Column:
    """One column of figures. `group` and `head` are the headings above its `label`; `note` a footnote of `head`."""

    id: str
    group: str
    head: str
    label: str
    title: str
    note: int | None = None
    bar: bool = False


@dataclass(frozen=True, slots=True)
class TableCell:
    """One figure: its text, the number it is sorted by, and why it is missing. A dash has neither number nor bar."""

    text: str
    number: float | None
    note: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One run. `glyph` are bars in a box of 100 x 24; `remark` is what else is to be known of the run.

    The baseline has no cells of its own similarity: nothing of it is unknown.
    """

    number: int
    name: str
    colour: int
    policy: str
    status: str
    stages: str
    glyph: tuple[dict[str, float], ...]
    remark: str | None
    cells: dict[str, TableCell]


@dataclass(frozen=True, slots=True)
class Figures:
    """All that the widget shows of one report; `floor` is the table's last row, or None."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    floor: dict[str, TableCell] | None
    floor_remark: str
    memory_remark: str | None
    notes: tuple[str, ...]
    across: tuple[Axis, ...]
    up: tuple[Axis, ...]
    points: tuple[Point, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, as the widget takes them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Select:
    """A person asks for a run, by its place in the report (0 the baseline)."""

    number: int


def parse_action(data: object, runs: int = MAX_TRACKS + 1) -> Select:
    """What the widget's `.input` brings, from a client that may send anything. Raises InvalidInput.

    `runs` is how many runs there are to choose from.
    """
    if not isinstance(data, Mapping) or set(data) != {"action", "number"} or data["action"] != "select":
        raise InvalidInput("action", 'action is not known here; it must be {"action": "select", "number": a run}.')
    return Select(checked_integer("number", data["number"], 0, runs - 1))


def figures_of(report: Report) -> Figures:
    """A report as the figures widget shows it."""
    notes = Footnotes()
    columns = _columns(report, notes)
    costs = [_costs(run, shows_conditions(report)) for run in report.runs]
    texts = {column: _texts(column, [cost[column] for cost in costs]) for column in costs[0]}
    for name, part in (("speedup", "interval"), ("whole", "whole_interval")):
        ratios = [(cost[name], getattr(run.speedup, part)) for cost, run in zip(costs, report.runs, strict=True)]
        texts[name] = [ratio_text(ratio, known) if ratio else None for ratio, known in ratios]
    rows = tuple(
        _row(report, number, run, {name: texts[name][number] for name in costs[number]}, notes)
        for number, run in enumerate(report.runs)
    )
    pooled = _pooled(report)
    floor = None if report.noise_floor is None else _similarity_cells(report.noise_floor, notes, pooled)
    return Figures(
        columns=columns,
        rows=rows,
        floor=floor,
        floor_remark=f"{noise_floor_words(report)} {other_seed_words(report)}",
        memory_remark=memory_sentence(report),
        notes=tuple(notes.reasons),
        across=across(report),
        up=tuple(up(report, name) for name in HEADLINE_METRICS),
        points=tuple(point(report, number, run) for number, run in enumerate(report.runs)),
    )


def _columns(report: Report, notes: Footnotes) -> tuple[Column, ...]:
    memory = report.baseline.memory.kind
    unit = _memory_unit(report.runs)[1]
    if memory == "cuda":
        peak = ("VRAM peak", "The most that torch had allocated on the GPU during the run.")
    else:
        peak = ("Resident peak", "Resident memory above its level before the run, sampled: a rough figure.")
    cost: tuple[Column, ...] = (
        Column("total", COST, "Time, s", "total", "Text, conditions, denoising, decoding and writing the video."),
        *((Column("conditions", COST, "Time, s", "conditions", CONDITIONS),) if shows_conditions(report) else ()),
        Column("denoise", COST, "Time, s", "denoising", "The denoising steps alone.", bar=True),
        Column(
            "whole", COST, "Speed-up", "whole", f"From prompt to file, over the baseline of this report. {INTERVAL}"
        ),
        Column("speedup", COST, "Speed-up", "steps", f"Of the denoising steps alone. {INTERVAL}"),
        Column("bound", COST, "Speed-up", "by FLOPs", "What arithmetic alone would give of the denoising: the bound."),
        Column("share", COST, "Speed-up", "reached", "Speed-up of the denoising as a share of the bound by FLOPs."),
        Column("memory", COST, peak[0], unit, peak[1]),
    )
    similar, caching = [], any(run.cache for run in report.runs)
    if caching:
        told = "Forward passes of the model that were computed whole; a cache stood in for parts of the others."
        cost = (*cost, Column("evaluations", COST, "Evaluations", "computed", told))
    for name in HEADLINE_METRICS:
        kind = KINDS[name]
        head = f"{kind.label}, {kind.unit}" if kind.unit else kind.label
        note = notes.cell("", _caveat(report, name)).note
        if name == "psnr" and _pooled(report):
            told = "PSNR of the mean squared error of all frames: runs are ranked by it."
            similar.append(Column("psnr_pooled", SIMILARITY, head, "all", told, note))
        similar += [
            Column(f"{name}_mean", SIMILARITY, head, "mean", f"{kind.label}: mean over the frames.", note),
            Column(f"{name}_min", SIMILARITY, head, "min", f"{kind.label}: the frame that differs most.", note),
        ]
    if caching:
        told = "PSNR to the run of the same schedule and policy without a cache: mean over the frames."
        similar.append(Column("uncached", UNCACHED, "PSNR, dB", "mean", told))
    return (*cost, *similar)


def _caveat(report: Report, name: str) -> str | None:
    """What is to be known when reading values of a metric that are there."""
    found = (run.similarity.metrics()[name] for run in report.runs)
    return next((metric.reason for metric in found if metric.mean is not None), None)


def _row(report: Report, number: int, run: Run, costs: Mapping[str, str | None], notes: Footnotes) -> Row:
    numbers, why = _costs(run, shows_conditions(report)), gone(run)
    cells = _cache_cells(run, notes) if any(each.cache for each in report.runs) else {}
    for name, text in costs.items():
        if number == 0 and name == "share":
            continue
        reason = run.memory.reason if name == "memory" and run.status == "done" else None
        caveat = disturbed_text(run, report.baseline if name in ("whole", "speedup", "share") else None)
        if text is not None and name in TIMED and caveat:
            cells[name] = _noted(text, numbers[name], caveat, notes)
        else:
            cells[name] = _cell(text, numbers[name], reason or why, notes)
    if number:
        cells |= _similarity_cells(run.similarity, notes, _pooled(report), None if run.status == "done" else why)
    return Row(
        number=number,
        name=run.name,
        colour=colour_of(number),
        policy=run.told_policy or ("full size" if number == 0 else ""),
        status=run.status,
        stages=stages_text(run.stages),
        glyph=tuple(glyph(run)),
        remark=getattr(run, "reused", None),
        cells=cells,
    )


def _cache_cells(run: Run, notes: Footnotes) -> dict[str, TableCell]:
    """Computed evaluations, and likeness to the run without the cache; a run without one has nothing to say there."""
    found = run.evaluations
    text = evaluations_text(run)
    cells = {"evaluations": _cell(text, found.computed if found else None, gone(run), notes)}
    if run.cache:
        metric = run.uncached.similarity.closeness if run.uncached else None
        value, reason = (metric.mean, metric.reason) if metric else (None, gone(run))
        text = None if value is None else f"{value:.{KINDS['psnr'].decimals}f}"
        cells["uncached"] = _cell(text, value, reason or "", notes)
    return cells


def _costs(run: Run, conditions: bool) -> dict[str, float | None]:
    measured, bound = run.speedup.measured, run.speedup.by_flops
    told = {"conditions": run.latency.condition_s} if conditions else {}
    return told | {
        "total": run.latency.total_s,
        "denoise": run.latency.denoise_s,
        "whole": run.speedup.whole,
        "speedup": measured,
        "bound": bound,
        "share": measured / bound if measured and bound else None,
        "memory": run.memory.peak_bytes,
    }


def _texts(column: str, numbers: Sequence[float | None]) -> list[str | None]:
    """A column's texts with equally many decimals, so that figures stand under each other."""
    if column in ("total", "conditions", "denoise"):
        least = min((number for number in numbers if number is not None), default=0)
        return _each(numbers, lambda number: f"{number:.{2 if least < 10 else 1 if least < 100 else 0}f}")
    if column == "bound":
        return _each(numbers, lambda number: f"{number:.2f}×")
    if column == "share":
        return _each(numbers, lambda number: f"{100 * number:.0f} %")
    size = GIB if largest(numbers) >= GIB else MIB
    return _each(numbers, lambda number: f"{number / size:.{2 if size == GIB else 0}f}")


def _each(numbers: Sequence[float | None], text: Callable[[float], str]) -> list[str | None]:
    return [None if number is None else text(number) for number in numbers]


def _memory_unit(runs: Sequence[Run]) -> tuple[int, str]:
    return (GIB, "GiB") if largest(run.memory.peak_bytes for run in runs) >= GIB else (MIB, "MiB")


def _pooled(report: Report) -> bool:
    """Whether anything here has a PSNR of all frames: reports of before have none."""
    return any(run.similarity.psnr_pooled.mean is not None for run in report.runs)


def _similarity_cells(
    block: Similarity, notes: Footnotes, pooled: bool, gone: str | None = None
) -> dict[str, TableCell]:
    """Mean and minimum (the worst frame) of PSNR, SSIM and VMAF; `gone` says why there is none.

    With `pooled` the PSNR of all frames too.
    """
    shown = {"psnr_pooled": (block.psnr_pooled, "psnr", block.psnr_pooled.mean)} if pooled else {}
    for name in HEADLINE_METRICS:
        metric = block.metrics()[name]
        shown |= {f"{name}_mean": (metric, name, metric.mean), f"{name}_min": (metric, name, metric.min)}
    cells = {}
    for column, (metric, name, value) in shown.items():
        text = None if value is None else f"{value:.{KINDS[name].decimals}f}"
        cells[column] = _cell(text, value, gone or metric.reason or "", notes)
    return cells


def _noted(text: str | None, number: float | None, caveat: str, notes: Footnotes) -> TableCell:
    """A figure with what is to be known when reading it."""
    noted = notes.cell(text, caveat)
    return TableCell(noted.text, number, noted.note, noted.reason)


def _cell(text: str | None, number: float | None, reason: str, notes: Footnotes) -> TableCell:
    """A figure, or a dash with its reason's footnote."""
    if text is not None:
        return TableCell(text, number)
    noted = notes.cell(None, reason)
    return TableCell(noted.text, None, noted.note, noted.reason)
