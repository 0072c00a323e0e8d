"""What the charts of a report's page draw, as plain JSON types."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from engine.measuring.heatmap import HEAT
from engine.measuring.similarity import KINDS, Metric
from engine.reports.run_display import COLOURS, colour_of
from engine.reports.schema import Report, Run


def chart_data(found: Report) -> dict[str, Any]:
    """What the charts and the player need, as plain JSON types."""
    return {
        "frames": found.size.frames,
        "fps": found.fps,
        "kinds": {name: {"label": kind.label, "unit": kind.unit} for name, kind in KINDS.items()},
        "bands": _bands(found),
        "runs": [
            {
                "name": run.name,
                "colour": colour_of(index),
                "seconds": list(run.latency.steps_s),
                "memory": [None if count is None else count / 2**20 for count in run.memory.steps_bytes],
                "sigma": list(run.sigmas),
                **_by_step(run),
                "similarity": {name: _frames(metric) for name, metric in run.similarity.metrics().items()},
            }
            for index, run in enumerate(found.runs)
        ],
    }


def _bands(found: Report) -> dict[str, Any] | None:
    """How the baseline's bands of detail settled."""
    bands = found.runs[0].bands
    if bands is None:
        return None
    names = [f"rate {low:g} to {high:g}" for low, high in pairwise(bands.edges)]
    curves = [
        {"name": f"{name}, settled by step {step}", "colour": 1 + number % (COLOURS - 1), "error": list(error)}
        for number, (name, step, error) in enumerate(zip(names, bands.settled, bands.error, strict=True))
    ]
    return {"threshold": bands.threshold, "curves": curves}


def _by_step(run: Run) -> dict[str, list[Any]]:
    stages = [stage for stage in run.stages for _ in range(stage.first_step, stage.last_step + 1)]
    sizes = [f"{stage.width}×{stage.height} px, {stage.tokens} tokens" for stage in stages]
    return {"resolution": [stage.height for stage in stages], "sizes": sizes}


def _frames(metric: Metric) -> list[float | None]:
    return list(metric.frames or ())


def heat_gradient() -> str:
    """The heat-map's colours as CSS colour stops."""
    stops = HEAT[[0, 32, 64, 96, 128, 160, 192, 224, 255]] * 255
    return ", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in stops)
