"""In words, what differences are to be read by: the baseline run twice, and another seed of the prompt."""

from __future__ import annotations

from engine.measuring.squared_error import CEILING_DB
from engine.reports.schema import Report


def noise_floor_words(report: Report) -> str:
    """What two equal runs say, or why nothing is known."""
    if report.noise_floor is None:
        return f"Noise floor not known: {report.noise_floor_reason}."
    if report.noise_floor.psnr.min == CEILING_DB:
        return "The baseline, run twice, came out the same: every difference here is the schedule's."
    return "The baseline, run twice, differs from itself by the noise floor: no smaller difference means anything."


def other_seed_words(report: Report) -> str:
    """What another seed says, or why nothing is known."""
    closeness = report.other_seed.closeness if report.other_seed else None
    if closeness is None or closeness.mean is None:
        return f"Another seed not known: {closeness.reason if closeness else report.other_seed_reason}."
    return f"Another seed of the prompt: {closeness.mean:.1f} dB; a run that is no closer shows another picture."
