"""What an experiment is expected to cost, before it runs: the board's context and one line beside Run."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from engine.checked import checked_number
from engine.costs.level_prediction import LevelCosts, level_context
from engine.costs.prediction import CostModel, Prediction, context
from engine.errors import ResoluteError
from engine.experiments.conditions import roles_of
from engine.experiments.experiment import Track, baseline_of
from engine.jobs.service import Jobs
from engine.reports.schema import Report
from engine.schedules.latent_sizes import checked_size
from ui.studio.form import known_model, whole
from ui.timeline.board import MAX_TRACKS, Board


def cost_model(values: Mapping[str, Any], jobs: Jobs) -> CostModel:
    """Costs of the chosen model at the chosen size, from what has been measured on this machine."""
    spec = known_model(values["model"])
    size = checked_size(spec.geometry, *(whole(values[name]) for name in ("height", "width", "frames")))
    guidance = _number(values, "guidance", 0.0)
    given = tuple(role for role in roles_of(spec) if values.get(role) or role in spec.family.needs)
    timings = jobs.timings(spec, frames=size[2], guidance=guidance, conditions=given)
    return CostModel(spec, timings, *size, guidance, conditions=given)


def level_costs(values: Mapping[str, Any], jobs: Jobs) -> LevelCosts:
    """The same of a model by levels, which has one size."""
    spec = known_model(values["model"])
    guidance = _number(values, "guidance", 0.0)
    return LevelCosts(spec, jobs.timings(spec, frames=spec.defaults.frames, guidance=guidance), guidance)


def predictions(
    values: Mapping[str, Any], tracks: Iterable[Track], jobs: Jobs, baseline_steps: int | None = None
) -> list[Prediction]:
    """What the runs of these tracks will take, beside a baseline of `baseline_steps` steps, or of as many as each."""
    if known_model(values["model"]).levels:
        by_levels = level_costs(values, jobs)
        return [by_levels.seconds(track.schedule, track.levels) for track in tracks]
    costs = cost_model(values, jobs)
    return [costs.seconds(track.schedule, baseline_steps) for track in tracks]


def _number(values: Mapping[str, Any], field: str, low: float) -> float:
    """A field that may be emptied, which means the model's own, or hold anything, which is refused."""
    own = getattr(known_model(values["model"]).defaults, field)
    high = known_model(values["model"]).most_guidance if field == "guidance" else 100.0
    return checked_number(field, own if values[field] is None else values[field], low, high)


def _shift(values: Mapping[str, Any]) -> float | None:
    """The flow's shift, or None for the model's own."""
    own = known_model(values["model"]).defaults.shift
    return None if values["shift"] is None and own is None else _number(values, "shift", 0.01)


def board_context(values: Mapping[str, Any], jobs: Jobs, report: Report | None) -> dict[str, Any]:
    """The board's `context` prop (docs/architecture.md); `report` brings what settled when, if it is of this model."""
    if known_model(values["model"]).levels:
        return level_context(level_costs(values, jobs), max_tracks=MAX_TRACKS)
    bands = report.baseline.bands if report and report.model == values["model"] else None
    return context(cost_model(values, jobs), shift=_shift(values), max_tracks=MAX_TRACKS, bands=bands)


def forecast_html(values: Mapping[str, Any], board: Board, jobs: Jobs) -> str:
    """One line: how many runs, how long; what is missing where nothing has been measured."""
    try:
        tracks = [baseline_of(known_model(values["model"]), board.infer_steps), *board.tracks()]
        found = predictions(values, tracks, jobs, board.infer_steps)
    except ResoluteError as error:
        return f'<p class="hint error">{html.escape(str(error))}</p>'
    runs = f"{len(tracks)} runs" if len(tracks) > 1 else "1 run"
    times = [prediction.total_s for prediction in found]
    if any(time is None for time in times):
        return f'<p class="hint">{runs}; the first baseline measures this machine, then seconds are shown.</p>'
    total = sum(time for time in times if time is not None)
    told, around = seconds_text(total), found[-1].interval(total)
    how = "measured here" if found[-1].source == "measured" else "estimated from the baseline"
    if any(lane.cache for lane in board.lanes):
        how += "; what caches skip is not known before"
        return f'<p class="hint"><b>{runs}, at most {told}</b> <span>{how}</span></p>'
    if around:
        how = f"{seconds_text(around[0])} to {seconds_text(around[1])}, {how}"
    return f'<p class="hint"><b>{runs}, about {told}</b> <span>{how}</span></p>'


def seconds_text(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
