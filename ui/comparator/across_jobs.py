"""Runs of several jobs side by side in the comparator: what they share is said, and what they do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine.checked import checked_integer
from engine.errors import InvalidInput
from engine.jobs.job_view import JobView
from engine.jobs.service import Jobs
from engine.reports.run_display import colour_of
from engine.reports.schema import Report
from engine.strict_json import shown
from engine.wording import steps_text
from ui.comparator.comparator_value import MAX_NUMBER, ComparatorValue, Fact, MetricCurve, Tile, comparison_of_report
from ui.shared.event_data import checked_job
from ui.shared.words import model_title, shortened

MIN_RUNS, MAX_RUNS = 2, 8  # that stand side by side
SHORT = 40  # characters of a prompt in a run's name
OWN_BASELINE = "Each run is measured against the baseline of its own comparison."
INCOMPARABLE = "Not comparable: the baselines that these runs were measured against are of different models or sizes."
ABSOLUTE = ("Time",)  # facts that mean the same whatever a run was measured against


@dataclass(frozen=True, slots=True)
class Pick:
    """One run of one job; number 0 is the baseline."""

    job: str
    number: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """A run that was chosen, with all that is known of its job."""

    view: JobView
    report: Report
    shown: ComparatorValue
    tile: Tile

    @property
    def steps(self) -> int:
        """The run's own number of steps, or that of its comparison."""
        return self.report.steps_of(next(run for run in self.report.runs if run.name == self.tile.name))

    @property
    def curves(self) -> dict[str, MetricCurve]:
        return {curve.id: curve for curve in self.shown.curves}


def parse_picks(data: object) -> tuple[Pick, ...]:
    """The runs of a comparison across jobs, as [job, number] pairs, each once. Raises InvalidInput."""
    if not isinstance(data, list) or not MIN_RUNS <= len(data) <= MAX_RUNS:
        raise InvalidInput("runs", f"{MIN_RUNS} to {MAX_RUNS} runs can stand side by side; choose so many.")
    picks = []
    for item in data:
        if not isinstance(item, list) or len(item) != 2:
            raise InvalidInput("runs", f"runs holds {shown(item)}; a run is its job's id and its number.")
        picks.append(Pick(checked_job(item[0]), checked_integer("number", item[1], 0, MAX_NUMBER)))
    if len(set(picks)) < len(picks):
        raise InvalidInput("runs", "a run was chosen twice; choose each once.")
    return tuple(picks)


def picks_of(text: str) -> tuple[Pick, ...]:
    """The runs that an address names, as `ID.NUMBER,ID.NUMBER`. Raises InvalidInput."""
    pairs = [part.rpartition(".") for part in text[:1000].split(",")]
    return parse_picks(
        [[job, int(number) if number.isascii() and number.isdigit() else -1] for job, _, number in pairs]
    )


def compare_runs(jobs: Jobs, picks: Sequence[Pick]) -> ComparatorValue:
    """The comparator's value for runs of any jobs, in the order chosen.

    Sizes and rates are those of the first; the note says where others differ. Raises InvalidInput for a run without
    a video, NotFound for a job that is gone.
    """
    chosen = [_chosen(jobs, pick) for pick in picks]
    first = chosen[0].view
    same = len({one.view.prompt for one in chosen}) == 1
    tiles = tuple(_tile(chosen, index) for index in range(len(chosen)))
    return ComparatorValue(
        key="compare:" + ",".join(f"{pick.job}.{pick.number}" for pick in picks),
        title=first.prompt if same else f"{len(chosen)} runs with different prompts",
        note=" ".join(_notes(chosen)),
        status="done",
        fps=first.fps,
        frames=min(one.view.frames for one in chosen),
        width=first.width,
        height=first.height,
        gain=chosen[0].report.heatmap_gain,
        tiles=tiles,
        curves=_curves(chosen),
    )


def _chosen(jobs: Jobs, pick: Pick) -> Chosen:
    view, report = jobs.view(pick.job), jobs.report(pick.job)
    prompt = shortened(view.prompt, SHORT)
    run = next((run for run in view.runs if run.number == pick.number), None)
    if view.deleted is not None or run is None or report is None or run.status != "done" or not run.video:
        raise InvalidInput("runs", f"a run of “{prompt}” has no video to compare; choose another.")
    shown = comparison_of_report(report, lambda name: f"media/{view.id}/{name}", view.id)
    tile = next((tile for tile in shown.tiles if tile.name == run.name and tile.video), None)
    if tile is None:
        raise InvalidInput("runs", f"the report of “{prompt}” lacks {run.name}; choose another run.")
    return Chosen(view, report, shown, tile)


def _tile(chosen: Sequence[Chosen], index: int) -> Tile:
    """The tile as in its own job, with a number of its own and what tells it from the others in its name."""
    one = chosen[index]
    several = len({other.view.id for other in chosen}) > 1
    told = " · ".join((one.tile.name, *(tell(one) for tell in _TELLING if _differs(chosen, tell))))
    if several and sum(_told(other, chosen) == _told(one, chosen) for other in chosen) > 1:
        told += f" ({1 + [other.view.id for other in chosen].index(one.view.id)})"
    colour = colour_of(index + 1) if one.tile.number else 0
    policy = one.tile.policy or "full resolution"
    facts = one.tile.facts if _one_ground(chosen) else tuple(_relative_to_nothing(fact) for fact in one.tile.facts)
    return replace(one.tile, number=index, name=told, colour=colour, policy=policy, facts=facts)


def _one_ground(chosen: Sequence[Chosen]) -> bool:
    """Whether all were measured against baselines of one model at one size, so that their scores can be compared."""
    return len({(one.view.model, one.view.width, one.view.height, one.view.frames) for one in chosen}) == 1


def _relative_to_nothing(fact: Fact) -> Fact:
    """A figure that says how a run stands to a baseline which the others do not share."""
    return fact if fact.label in ABSOLUTE else Fact(fact.label, "–", INCOMPARABLE)


def _told(one: Chosen, chosen: Sequence[Chosen]) -> tuple[str, ...]:
    return one.tile.name, *(tell(one) for tell in _TELLING if _differs(chosen, tell))


_TELLING: tuple[Callable[[Chosen], str], ...] = (
    lambda one: f"“{shortened(one.view.prompt, SHORT)}”",
    lambda one: f"seed {one.view.seed}",
    lambda one: model_title(one.view.model),
    lambda one: steps_text(one.steps),
    lambda one: f"{one.view.width}×{one.view.height}×{one.view.frames}",
)


def _differs(chosen: Sequence[Chosen], tell: Callable[[Chosen], str]) -> bool:
    return len({tell(one) for one in chosen}) > 1


def _notes(chosen: Sequence[Chosen]) -> list[str]:
    """Whether the runs can be compared at all, in words."""
    views = [one.view for one in chosen]
    prompts, seeds = len({view.prompt for view in views}) == 1, len({view.seed for view in views}) == 1
    notes = [
        "Same prompt and seed."
        if prompts and seeds
        else "Same prompt, different seeds: what differs is not the schedule alone."
        if prompts
        else "Same seed, different prompts: look at each for itself."
        if seeds
        else "Different prompts and seeds: look at each for itself."
    ]
    if len({view.model for view in views}) > 1:
        titles = " and ".join(dict.fromkeys(model_title(view.model) for view in views))
        notes.append(f"The models differ ({titles}).")
    if len({(view.width, view.height) for view in views}) > 1:
        sizes = ", ".join(dict.fromkeys(f"{view.width}×{view.height}" for view in views))
        notes.append(f"The frame sizes differ ({sizes}): all are drawn as large as the first.")
    if len({view.frames for view in views}) > 1:
        counts = ", ".join(dict.fromkeys(str(view.frames) for view in views))
        notes.append(f"The numbers of frames differ ({counts}): the first {min(v.frames for v in views)} are shown.")
    if len({view.fps for view in views}) > 1:
        rates = ", ".join(dict.fromkeys(f"{view.fps:g}" for view in views))
        notes.append(f"The frame rates differ ({rates} a second): the runs meet in time, not frame by frame.")
    if not _one_ground(chosen):
        notes.append("Speed-ups and similarities of different models or sizes are not comparable: none is shown.")
    return notes


def _curves(chosen: Sequence[Chosen]) -> tuple[MetricCurve, ...]:
    """The curves of all jobs under the new numbers; baselines have none."""
    names = list(dict.fromkeys(name for one in chosen for name in one.curves))
    return tuple(_curve(name, chosen) for name in names)


def _curve(name: str, chosen: Sequence[Chosen]) -> MetricCurve:
    like = next(one.curves[name] for one in chosen if name in one.curves)
    if not _one_ground(chosen):
        return replace(like, values={}, reason=INCOMPARABLE)
    frames = min(one.view.frames for one in chosen)
    values = {
        index: one.curves[name].values[one.tile.number][:frames]
        for index, one in enumerate(chosen)
        if name in one.curves and one.tile.number in one.curves[name].values
    }
    several = len({one.view.id for one in chosen}) > 1
    return replace(like, values=values, reason=OWN_BASELINE if values and several else like.reason)
