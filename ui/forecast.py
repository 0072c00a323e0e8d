"""What an experiment is expected to cost, before it runs: the board's context and one line beside Run."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from engine.errors import ResoluteError
from engine.experiment import checked_number
from engine.jobs.service import Jobs
from engine.predict import CostModel, context
from engine.report import Report
from engine.schedule import flat
from engine.sizes import checked_size
from ui.form import known_model, whole
from ui.timeline.board import MAX_TRACKS, Board


def cost_model(values: Mapping[str, Any], jobs: Jobs) -> CostModel:
    """Costs of the chosen model at the chosen size, from what has been measured on this machine."""
    spec = known_model(values["model"])
    size = checked_size(spec.geometry, *(whole(values[name]) for name in ("height", "width", "frames")))
    guidance = _number(values, "guidance", 0.0)
    return CostModel(spec, jobs.timings(spec, frames=size[2], guidance=guidance), *size, guidance)


def _number(values: Mapping[str, Any], field: str, low: float) -> float:
    """A field that may be emptied, which means the model's own, or hold anything, which is refused."""
    own = getattr(known_model(values["model"]).defaults, field)
    return checked_number(field, own if values[field] is None else values[field], low, 100.0)


def _shift(values: Mapping[str, Any]) -> float | None:
    """The flow's shift, or None for the model's own."""
    own = known_model(values["model"]).defaults.shift
    return None if values["shift"] is None and own is None else _number(values, "shift", 0.01)


def board_context(values: Mapping[str, Any], jobs: Jobs, report: Report | None) -> dict[str, Any]:
    """The board's `context` prop (docs/architecture.md); `report` brings the baseline's settling, if it has any."""
    bands = report.baseline.bands if report else None
    return context(cost_model(values, jobs), shift=_shift(values), max_tracks=MAX_TRACKS, bands=bands)


def forecast_html(values: Mapping[str, Any], board: Board, jobs: Jobs) -> str:
    """One line: how many runs, how long; what is missing where nothing has been measured."""
    try:
        costs = cost_model(values, jobs)
        schedules = [flat(board.infer_steps), *(lane.schedule for lane in board.lanes)]
        predictions = [costs.seconds(schedule) for schedule in schedules]
    except ResoluteError as error:
        return f'<p class="hint error">{html.escape(str(error))}</p>'
    runs = f"{len(schedules)} runs" if len(schedules) > 1 else "1 run"
    times = [prediction.total_s for prediction in predictions]
    if any(time is None for time in times):
        return f'<p class="hint">{runs}; the first baseline measures this machine, then seconds are shown.</p>'
    told = seconds_text(sum(time for time in times if time is not None))
    how = "measured here" if predictions[-1].source == "measured" else "estimated from the baseline"
    if any(lane.cache for lane in board.lanes):
        how += "; what caches skip is not known before"
        return f'<p class="hint"><b>{runs}, at most {told}</b> <span>{how}</span></p>'
    return f'<p class="hint"><b>{runs}, about {told}</b> <span>{how}</span></p>'


def seconds_text(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
