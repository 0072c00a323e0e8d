"""Where a comparison's memory peaks, and what would lower that: one paragraph, from its report. No torch here."""

from __future__ import annotations

from engine.reports.schema import Report, Run
from engine.wording import gib_text

ALIKE = 0.05  # peaks this close are told as one
PHASES = {"before": "encoding the text", "denoising": "denoising", "decoding": "decoding"}


def peaks_of(run: Run) -> dict[str, int]:
    """Peak bytes of a run by phase, as far as they were measured: "before" its steps, "denoising", "decoding"."""
    steps = [count for count in run.memory.steps_bytes if count is not None]
    found = {
        "before": run.memory.before_bytes,
        "denoising": max(steps, default=None),
        "decoding": run.memory.decode_bytes,
    }
    return {phase: count for phase, count in found.items() if count}


def memory_sentence(report: Report) -> str | None:
    """Where the peak is, that a schedule does not lower it, and what would; None where it was not measured."""
    peaks = peaks_of(report.baseline)
    if "decoding" not in peaks or "denoising" not in peaks:
        return None
    phase = max(peaks, key=lambda name: peaks[name])
    other = "denoising" if phase == "decoding" else "decoding"
    high, low = gib_text(peaks[phase], 1), gib_text(peaks[other], 1)
    told = f"Memory peaks in {PHASES[phase]}: {high}, with {low} in {PHASES[other]}."
    return " ".join(filter(None, (told, _schedules(report), _remedy(report, phase))))


def _schedules(report: Report) -> str | None:
    """What the schedules did to the peak."""
    base = report.baseline.memory.peak_bytes
    others = [(run.name, run.memory.peak_bytes) for run in report.runs[1:] if run.memory.peak_bytes]
    if not base or not others:
        return None
    lower = [(name, peak) for name, peak in others if peak < (1 - ALIKE) * base]
    if lower:
        return "; ".join(f"{name} stays {1 - peak / base:.0%} under it" for name, peak in lower) + "."
    return "The schedules save time, not this peak: their last stage and decoding are at full size."


def _remedy(report: Report, phase: str) -> str:
    loading = " ".join(report.environment.loading)
    smaller = ["a smaller size", *(["fewer frames"] if report.size.frames > 1 else [])]
    if report.environment.device == "cpu":
        tiling = phase == "decoding" and "tiling" not in loading
        return f"{_listed([*(['VAE tiling'] if tiling else []), *smaller])} would lower it."
    found = []
    if phase == "decoding" and "tiling" not in loading:
        found.append("VAE tiling")
    if "offload" not in loading:
        found.append("model offload")
    if phase == "denoising" and "weights" not in loading:
        found.append("quantised weights")
    return f"{_listed([*found, *smaller])} would lower it."


def _listed(words: list[str]) -> str:
    text = " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
    return text[:1].upper() + text[1:]
