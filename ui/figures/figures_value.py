"""The value of the figures widget: a report as table, points and footnotes, ready to be shown.

What is unknown is a dash with its reason, never 0. Numbers that are compared or sorted stand beside their text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.checked import checked_integer
from engine.errors import InvalidInput
from engine.experiments.experiment import MAX_TRACKS
from engine.measuring.similarity import KINDS
from engine.measuring.squared_error import CEILING_DB
from engine.reports.closeness import Similarity
from engine.reports.memory_advice import memory_sentence
from engine.reports.report_tables import Footnotes
from engine.reports.run_display import HEADLINE_METRICS, colour_of, evaluations_text, glyph, ranked_by, stages_text
from engine.reports.scale_words import noise_floor_words, other_seed_words
from engine.reports.schema import Report, Run

COST = "Cost"
SIMILARITY = "Similarity to the baseline (not quality)"
UNCACHED = "To the same without its cache"
GIB, MIB = 2**30, 2**20
CEILINGS = {"psnr": CEILING_DB, "ssim": 1.0, "vmaf": 100.0}


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
    costs = [_costs(run) for run in report.runs]
    texts = {column: _texts(column, [cost[column] for cost in costs]) for column in costs[0]}
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
        across=_across(report),
        up=tuple(_up(report, name) for name in HEADLINE_METRICS),
        points=tuple(_point(report, number, run) for number, run in enumerate(report.runs)),
    )


def _columns(report: Report, notes: Footnotes) -> tuple[Column, ...]:
    memory = report.baseline.memory.kind
    unit = _memory_unit(report.runs)[1]
    if memory == "cuda":
        peak = ("VRAM peak", "The most that torch had allocated on the GPU during the run.")
    else:
        peak = ("Resident peak", "Resident memory above its level before the run, sampled: a rough figure.")
    cost: tuple[Column, ...] = (
        Column("total", COST, "Time, s", "total", "Text, denoising, decoding and writing the video."),
        Column("denoise", COST, "Time, s", "denoising", "The denoising steps alone.", bar=True),
        Column("speedup", COST, "Speed-up", "measured", "Of the denoising steps, over the baseline of this report."),
        Column("bound", COST, "Speed-up", "by FLOPs", "What arithmetic alone would give: the bound."),
        Column("share", COST, "Speed-up", "reached", "Measured speed-up as a share of the bound by FLOPs."),
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
    numbers, gone = _costs(run), _gone(run)
    cells = _cache_cells(run, notes) if any(each.cache for each in report.runs) else {}
    for name, text in costs.items():
        if number == 0 and name == "share":
            continue
        reason = run.memory.reason if name == "memory" and run.status == "done" else None
        cells[name] = _cell(text, numbers[name], reason or gone, notes)
    if number:
        cells |= _similarity_cells(run.similarity, notes, _pooled(report), None if run.status == "done" else gone)
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
    cells = {"evaluations": _cell(text, found.computed if found else None, _gone(run), notes)}
    if run.cache:
        metric = run.uncached.similarity.closeness if run.uncached else None
        value, reason = (metric.mean, metric.reason) if metric else (None, _gone(run))
        text = None if value is None else f"{value:.{KINDS['psnr'].decimals}f}"
        cells["uncached"] = _cell(text, value, reason or "", notes)
    return cells


def _gone(run: Run) -> str:
    return run.error or (f"the run was {run.status}" if run.status != "done" else "not measured")


def _costs(run: Run) -> dict[str, float | None]:
    measured, bound = run.speedup.measured, run.speedup.by_flops
    return {
        "total": run.latency.total_s,
        "denoise": run.latency.denoise_s,
        "speedup": measured,
        "bound": bound,
        "share": measured / bound if measured and bound else None,
        "memory": run.memory.peak_bytes,
    }


def _texts(column: str, numbers: Sequence[float | None]) -> list[str | None]:
    """A column's texts with equally many decimals, so that figures stand under each other."""
    if column in ("total", "denoise"):
        least = min((number for number in numbers if number is not None), default=0)
        return _each(numbers, lambda number: f"{number:.{2 if least < 10 else 1 if least < 100 else 0}f}")
    if column in ("speedup", "bound"):
        return _each(numbers, lambda number: f"{number:.2f}×")
    if column == "share":
        return _each(numbers, lambda number: f"{100 * number:.0f} %")
    size = GIB if _largest(numbers) >= GIB else MIB
    return _each(numbers, lambda number: f"{number / size:.{2 if size == GIB else 0}f}")


def _each(numbers: Sequence[float | None], text: Callable[[float], str]) -> list[str | None]:
    return [None if number is None else text(number) for number in numbers]


def _largest(numbers: Iterable[float | None]) -> float:
    return max((number for number in numbers if number is not None), default=0)


def _memory_unit(runs: Sequence[Run]) -> tuple[int, str]:
    return (GIB, "GiB") if _largest(run.memory.peak_bytes for run in runs) >= GIB else (MIB, "MiB")


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


def _cell(text: str | None, number: float | None, reason: str, notes: Footnotes) -> TableCell:
    """A figure, or a dash with its reason's footnote."""
    if text is not None:
        return TableCell(text, number)
    noted = notes.cell(None, reason)
    return TableCell(noted.text, None, noted.note, noted.reason)


def _across(report: Report) -> tuple[Axis, ...]:
    unit = _flops_unit(report)[1]
    return (
        Axis("denoise", "Denoising time", "s", 2),
        Axis("total", "Total time", "s", 2),
        Axis("flops", "Arithmetic", unit, 2),
    )


def _flops_unit(report: Report) -> tuple[float, str]:
    largest = _largest(run.flops for run in report.runs)
    units = ((1e18, "EFLOP"), (1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"))
    return next(((size, name) for size, name in units if largest >= size), (1e6, "MFLOP"))


def _up(report: Report, name: str) -> Axis:
    """A metric as the plot's other axis. The floor of two equal runs is no line: nothing can be above it."""
    kind, floor = KINDS[name], None
    if report.noise_floor is not None and report.noise_floor.psnr.min != CEILING_DB:
        floor = report.noise_floor.metrics()[_plotted(report, name)].mean
    return Axis(name, kind.label, kind.unit, kind.decimals, CEILINGS[name], floor)


def _plotted(report: Report, name: str) -> str:
    """The metric behind an axis: PSNR is that of all frames where the runs have it."""
    return ranked_by(report.runs) if name == "psnr" else name


def _point(report: Report, number: int, run: Run) -> Point:
    flops = None if run.flops is None else run.flops / _flops_unit(report)[0]
    at: dict[str, float | None] = {"denoise": run.latency.denoise_s, "total": run.latency.total_s, "flops": flops}
    reasons = {name: _gone(run) for name, value in at.items() if value is None}
    for name in HEADLINE_METRICS:
        metric = run.similarity.metrics()[_plotted(report, name)]
        at[name] = metric.mean
        if metric.mean is None:
            reasons[name] = _gone(run) if run.status != "done" else metric.reason or ""
    return Point(number, run.name, colour_of(number), at, reasons)
