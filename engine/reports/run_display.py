"""What the page of a report and the studio show of a run alike: its colour, its stages and evaluations in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from engine.reports.run_costs import Interval, StageEntry
from engine.reports.schema import Report, Run

PSNR_KINDS = ("psnr_pooled", "psnr")  # what runs are ranked by, and what stands in for it in reports of before
COLOURS = 8  # accents in report.css: one for the baseline, seven for the runs, then over again
HEADLINE_METRICS = ("psnr", "ssim", "vmaf")


def colour_of(index: int) -> int:
    """The accent of a run by its place in the report: 0 the baseline, 1..7 the others, then over again."""
    return 1 + (index - 1) % (COLOURS - 1) if index else 0


def ratio_text(ratio: float, interval: Interval | None) -> str:
    """A speed-up with what is known of it: 1.24× (1.21 to 1.27), or 1.24× alone."""
    known = f" ({interval.low:.2f} to {interval.high:.2f})" if interval else ""
    return f"{ratio:.2f}×{known}"


def disturbed_text(run: Run, baseline: Run | None = None) -> str | None:
    """Why the seconds of a run are not to be trusted, or those of the baseline that it is held against; else None."""
    if run.disturbed:
        return f"Disturbed while it was timed: {run.disturbed}."
    if baseline and baseline.disturbed:
        return f"The baseline was disturbed while it was timed: {baseline.disturbed}."
    return None


def ranked_by(runs: Sequence[Run]) -> str:
    """The metric that tells which of these runs is closest: PSNR of all frames, where all that have a PSNR have it."""
    pooled, by_frame = PSNR_KINDS
    measured = [run.similarity for run in runs if run.similarity.psnr.mean is not None]
    return by_frame if any(similar.psnr_pooled.mean is None for similar in measured) else pooled


def evaluations_text(run: Run) -> str | None:
    """Computed evaluations, and of how many where a cache skipped some; None where they were not counted."""
    found = run.evaluations
    if found is None:
        return None
    return f"{found.computed} of {found.computed + found.skipped}" if found.skipped else str(found.computed)


def shows_conditions(found: Report) -> bool:
    """Whether what the conditions took is told beside the denoising: something was given, and its time is known."""
    given = (found.image, found.last_image, found.video)
    return any(given) and any(run.latency.condition_s is not None for run in found.runs)


def stages_text(stages: tuple[StageEntry, ...]) -> str:
    """The stages in words: 96×96 for 15 steps, 128×128 for 15."""
    parts = [f"{stage.width}×{stage.height} for {stage.last_step - stage.first_step + 1}" for stage in stages]
    return ", ".join([parts[0] + (" steps" if stages[0].last_step > 1 else " step"), *parts[1:]]) if parts else ""


def experts_text(run: Run) -> str | None:
    """Which expert ran for how many steps: 1 for 26 steps, 2 for 14; None for models of one, and where not known."""
    parts = [f"{expert} for {len(list(steps))}" for expert, steps in groupby(run.experts)]
    return ", ".join([f"{parts[0]} steps", *parts[1:]]) if parts else None


def glyph(run: Run) -> list[dict[str, float]]:
    """The schedule as bars in a box of 100 x 24: one a stage, as high as its true rate."""
    if not run.stages:
        return []
    steps, full = run.stages[-1].last_step, max(stage.height for stage in run.stages)
    return [
        {
            "x": 100 * (stage.first_step - 1) / steps,
            "width": 100 * (stage.last_step - stage.first_step + 1) / steps,
            "height": 24 * stage.height / full,
        }
        for stage in run.stages
    ]
