"""The tables of a report's page: figures as cells, and footnotes that say why one is missing."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.measuring import similarity
from engine.measuring.similarity import KINDS, Metric
from engine.reports.closeness import Similarity
from engine.reports.run_display import disturbed_text, evaluations_text, ratio_text
from engine.reports.schema import Report, Run
from engine.wording import gib_text


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of a table: its text, and the footnote and reason of what is missing or to be known."""

    text: str
    note: int | None = None
    reason: str | None = None


@dataclass(slots=True)
class Footnotes:
    """Reasons in the order they are met, each once; footnotes count from 1."""

    reasons: list[str] = field(default_factory=list)

    def cell(self, text: str | None, reason: str | None) -> Cell:
        """A cell with the text, or a dash where there is none, and the reason's footnote."""
        shown = "–" if text is None else text
        if not reason:
            return Cell(shown)
        if reason not in self.reasons:
            self.reasons.append(reason)
        return Cell(shown, self.reasons.index(reason) + 1, reason)


def cost_cells(run: Run, baseline: Run, notes: Footnotes, conditions: bool = False) -> dict[str, Cell]:
    """Time, speed-ups and memory of a run as cells; with `conditions` also what these took.

    Seconds of a disturbed run say so, and what depends on them.
    """
    gone = run.error or (f"The run was {run.status}." if run.status != "done" else "Not measured.")

    def cell(value: float | None, text: str, reason: str | None = None) -> Cell:
        return notes.cell(None, reason or gone) if value is None else notes.cell(text, None)

    def timed(value: float | None, text: str, against: Run | None = None) -> Cell:
        return cell(None, "") if value is None else notes.cell(text, disturbed_text(run, against))

    def seconds(value: float | None) -> Cell:
        return timed(value, f"{value or 0:.2f}" if (value or 0) < 10 else f"{value:.1f}")

    speedup = run.speedup
    told = {"conditions": seconds(run.latency.condition_s)} if conditions else {}
    return told | {
        "total": seconds(run.latency.total_s),
        "loop": seconds(run.latency.denoise_s),
        "measured": timed(speedup.measured, ratio_text(speedup.measured or 0, speedup.interval), baseline),
        "whole": timed(speedup.whole, ratio_text(speedup.whole or 0, speedup.whole_interval), baseline),
        "by_flops": cell(speedup.by_flops, f"{speedup.by_flops or 0:.2f}×"),
        "memory": cell(run.memory.peak_bytes, gib_text(run.memory.peak_bytes or 0), run.memory.reason),
    }


def caching_cells(run: Run, notes: Footnotes) -> dict[str, Cell]:
    """Computed evaluations, and how like a cached run is to the same without its cache."""
    told = evaluations_text(run)
    cells = {"evaluations": notes.cell(told, None if told else run.error or "Not counted.")}
    if run.uncached:
        metric = run.uncached.similarity.closeness
        return cells | {"psnr": notes.cell(_number("psnr", metric.mean), metric.reason)}
    return cells | {"psnr": Cell("")}


def metric_cells(block: Similarity, notes: Footnotes) -> dict[str, dict[str, Cell]]:
    """Mean and worst of each metric; a caveat of a value that is there stands in the table's head.

    A metric of all frames at once has no worst one.
    """

    def worst(name: str, metric: Metric) -> Cell:
        return cell(name, metric, similarity.worst(name, metric)) if KINDS[name].by_frame else Cell("")

    def cell(name: str, metric: Metric, value: float | None) -> Cell:
        return notes.cell(_number(name, value), metric.reason if value is None else None)

    return {
        name: {"mean": cell(name, metric, metric.mean), "worst": worst(name, metric)}
        for name, metric in block.metrics().items()
    }


def metric_heads(found: Report, notes: Footnotes) -> dict[str, Cell]:
    """The label of each metric, with what is to be known when reading its values."""
    blocks = [run.similarity.metrics() for run in found.runs]
    caveats = {
        name: next((block[name].reason for block in blocks if block[name].mean is not None), None) for name in KINDS
    }
    return {
        name: notes.cell(f"{kind.label}, {kind.unit}" if kind.unit else kind.label, caveats[name])
        for name, kind in KINDS.items()
    }


def _number(name: str, value: float | None) -> str | None:
    return None if value is None else f"{value:.{KINDS[name].decimals}f}"


def floor_cells(found: Report, notes: Footnotes) -> dict[str, dict[str, Cell]] | None:
    """The noise floor's cells; None where there is none."""
    return None if found.noise_floor is None else metric_cells(found.noise_floor, notes)
