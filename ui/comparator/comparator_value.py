"""What the comparator shows, as frozen data: tiles, similarity curves, and how a finished report becomes them.

`Comparison.to_json()` is the widget's value, as docs/architecture.md gives it. What is unknown is a dash with its
reason, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from engine.checked import checked_integer
from engine.errors import InvalidInput
from engine.measuring.similarity import KINDS
from engine.reports.run_display import colour_of, disturbed_text, evaluations_text, ratio_text
from engine.reports.schema import Report, Run
from engine.strict_json import shown
from ui.shared.event_data import checked_word

Status = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
ActionName = Literal["skip", "retry", "select"]

MAX_NUMBER = 64  # the baseline and 64 runs
CURVES = ("psnr", "ssim", "vmaf")
IS_BASELINE = "The baseline is what the others are compared with."


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure under a tile; `reason` says why it is a dash, or what to know when reading it."""

    label: str
    text: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """Consecutive steps at one rate; `first` and `last` count from 1 and are both inside."""

    first: int
    last: int
    rate: float


@dataclass(frozen=True, slots=True)
class Tile:
    """One run: where it stands while it runs, its video and figures when it is done.

    `number` is 0 for the baseline and counts the tracks from 1; `colour` is 0 for the baseline and 1..7 else.
    `step` and `stage` count from 1. `preview` is a data URI; `video` and `heatmap` are URLs of an mp4 or WebP file.
    `disturbed`: its seconds are not to be trusted, and can be measured again.
    """

    number: int
    name: str
    colour: int
    status: Status
    policy: str | None = None
    phase: str | None = None
    step: int | None = None
    steps: int | None = None
    stage: int | None = None
    stages: int | None = None
    rate: float | None = None
    seconds_left: float | None = None
    preview: str | None = None
    error: str | None = None
    stages_plan: tuple[PlannedStage, ...] = ()
    video: str | None = None
    heatmap: str | None = None
    reused: str | None = None
    disturbed: bool = False
    facts: tuple[Fact, ...] = ()

    def to_json(self) -> dict[str, Any]:
        facts = [[fact.label, fact.text] + ([fact.reason] if fact.reason else []) for fact in self.facts]
        return asdict(self) | {"stages_plan": [asdict(stage) for stage in self.stages_plan], "facts": facts}


@dataclass(frozen=True, slots=True)
class MetricCurve:
    """One metric by frame: `values` by the run's number; a frame without a value is None.

    With no values at all, `reason` says why; with values it says what to know when reading them.
    """

    id: str
    label: str
    unit: str
    better: Literal["higher", "lower"]
    values: Mapping[int, tuple[float | None, ...]]
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        own = {"id": self.id, "label": self.label, "unit": self.unit, "better": self.better, "reason": self.reason}
        return own | {"values": {str(number): list(values) for number, values in self.values.items()}}


@dataclass(frozen=True, slots=True)
class ComparatorValue:
    """All that the comparator shows of one job or example. Another `key` starts the player over.

    `gain` is that of the heat-maps: a difference of 255/gain has the last colour; None where unknown.
    """

    key: str
    title: str
    status: Status
    fps: float
    frames: int
    width: int
    height: int
    tiles: tuple[Tile, ...]
    curves: tuple[MetricCurve, ...] = ()
    gain: float | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, as the widget's script reads them."""
        plain = {name: getattr(self, name) for name in ("key", "title", "note", "status", "fps", "frames")}
        plain |= {name: getattr(self, name) for name in ("width", "height", "gain")}
        return plain | {
            "tiles": [tile.to_json() for tile in self.tiles],
            "curves": [curve.to_json() for curve in self.curves],
        }


@dataclass(frozen=True, slots=True)
class Action:
    """What a person asked of the comparator: skip a run, run again, or bring a run up elsewhere too."""

    action: ActionName
    number: int


def parse_action(value: object) -> Action:
    """The data of an `.input` event, checked. Raises InvalidInput naming the field, the value and the legal ones."""
    if not isinstance(value, Mapping) or set(value) != {"action", "number"}:
        raise InvalidInput("action", f"the comparator's event is {shown(value)}; it needs an action and a number.")
    action = checked_word("action", value["action"], get_args(ActionName))
    return Action(action, checked_integer("number", value["number"], 0, MAX_NUMBER))  # type: ignore[arg-type]


def comparison_of_report(
    report: Report, url: Callable[[str], str], key: str, title: str | None = None, note: str | None = None
) -> ComparatorValue:
    """A finished report as the comparator shows it; `url` gives the address of a file beside the report.

    `title` is the prompt unless another is given. The job counts as done when its runs are; a failed baseline
    does not hide the others.
    """
    ended: set[Status] = {run.status for run in report.runs}
    return ComparatorValue(
        key=key,
        title=report.prompt if title is None else title,
        status="done" if "done" in ended else "failed" if "failed" in ended else "cancelled",
        fps=report.fps,
        frames=report.size.frames,
        width=report.size.width,
        height=report.size.height,
        gain=report.heatmap_gain,
        note=note,
        tiles=tuple(_tile(run, number, report.baseline, url) for number, run in enumerate(report.runs)),
        curves=tuple(curve for name in CURVES if (curve := _curve(name, report))),
    )


def facts_of_run(run: Run, number: int, baseline: Run | None) -> tuple[Fact, ...]:
    """Time, speed-up and PSNR of a run of a report, each with its reason where it is not known."""
    gone = run.error or (f"The run was {run.status}." if run.status != "done" else "It was not measured.")
    total = run.latency.total_s
    time = Fact("Time", seconds_text(total), disturbed_text(run)) if total is not None else Fact("Time", "–", gone)
    if number == 0:
        return time, Fact("Speed-up", "1×", IS_BASELINE), Fact("PSNR", "–", IS_BASELINE)
    return time, _speedup_fact(run, baseline, gone), *_cache_facts(run), _closeness_fact(run)


def _speedup_fact(run: Run, baseline: Run | None, gone: str) -> Fact:
    """The ratio of the seconds beside it; of the steps alone in reports of before, which have no other."""
    found, disturbed = run.speedup, disturbed_text(run, baseline)
    ratio, interval = (found.whole, found.whole_interval) if found.whole else (found.measured, found.interval)
    if ratio is None:
        return Fact("Speed-up", "–", gone)
    told = [disturbed] if disturbed else []
    told.append("Of the whole run, from prompt to file." if found.whole else "Of the denoising steps alone.")
    if found.whole and found.measured:
        told.append(f"Of the denoising steps {ratio_text(found.measured, found.interval)}.")
    if found.by_flops:
        told.append(f"By FLOPs {found.by_flops:.2f}×.")
    return Fact("Speed-up", ratio_text(ratio, interval) + (", disturbed" if disturbed else ""), " ".join(told))


def _cache_facts(run: Run) -> tuple[Fact, ...]:
    """What a cache left out, and how like the run is to the same without it."""
    text = evaluations_text(run)
    if run.cache is None or text is None:
        return ()
    told = "Model evaluations that were computed whole; something cached stood in for parts of the others."
    if run.uncached and run.uncached.similarity.closeness.mean is not None:
        told += (
            f" PSNR {run.uncached.similarity.closeness.mean:.1f} dB to {run.uncached.run}, the same without its cache."
        )
    return (Fact("Evaluations", text, told),)


def seconds_text(seconds: float) -> str:
    """Seconds as a person says them: 0.84 s, 12.3 s, 4 min 10 s, 1 h 05 min; as ui/shared/shared.js writes them."""
    if seconds < 99.5:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _closeness_fact(run: Run) -> Fact:
    kind, metric = KINDS["psnr"], run.similarity.closeness
    if metric.mean is None:
        return Fact(kind.label, "–", metric.reason)
    text = f"{metric.mean:.{kind.decimals - 1}f} {kind.unit}"  # a tile is read at a glance: one decimal less
    over = "Mean over the frames" if metric.frames else "Of all frames"
    return Fact(kind.label, text, f"{over}: similarity, not quality.")


def _tile(run: Run, number: int, baseline: Run, url: Callable[[str], str]) -> Tile:
    return Tile(
        number=number,
        name=run.name,
        colour=colour_of(number),
        status=run.status,
        policy=run.told_policy,
        error=run.error,
        stages_plan=tuple(PlannedStage(stage.first_step, stage.last_step, stage.rate) for stage in run.stages),
        video=url(run.video) if run.video else None,
        heatmap=url(run.heatmap) if run.heatmap else None,
        facts=facts_of_run(run, number, baseline),
    )


def _curve(name: str, report: Report) -> MetricCurve | None:
    """A metric of all runs but the baseline; None in a report of the baseline alone."""
    found = {number: getattr(run.similarity, name) for number, run in enumerate(report.runs) if number}
    if not found:
        return None
    kind = KINDS[name]
    values = {number: metric.frames for number, metric in found.items() if metric.frames}
    reason = next(
        (metric.reason for metric in found.values() if metric.reason and bool(metric.frames) == bool(values)), None
    )
    return MetricCurve(name, kind.label, kind.unit, "higher" if kind.higher_is_better else "lower", values, reason)
