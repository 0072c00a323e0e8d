"""One self-contained page of a comparison, `index.html`: videos in lockstep, the table, the charts.

Videos, styles and scripts stand inside the file; its content security policy lets it ask nobody for
anything and run no script but its own two. All texts from people are escaped by Jinja2.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from engine.measuring import similarity
from engine.measuring.heatmap import HEAT
from engine.measuring.similarity import KINDS, Metric
from engine.measuring.video import whole_file
from engine.reports import schema
from engine.reports.schema import Report, Run, Similarity, StageEntry

COLOURS = 8  # accents in report.css: one for the baseline, seven for the runs, then over again
PLACE = b"<script></script>"  # of the charts' library in the template
HEADLINE_METRICS = ("psnr", "ssim", "vmaf")
_TEMPLATES = Path(__file__).with_name("templates")
_TYPES = {".mp4": "video/mp4", ".webp": "image/webp", ".png": "image/png"}


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


def write_index(found: Report, folder: str | Path) -> Path:
    """Write `index.html` beside the videos of the report in `folder`. Raises RunFailed when the disk fails."""
    path = Path(folder) / "index.html"
    pieces = _pieces(found, folder)
    with whole_file(path) as part, part.open("wb") as file:
        file.writelines(pieces)
    return path


def render(found: Report, folder: str | Path) -> str:
    """The page as HTML text. Videos are read from `folder`; one that is missing is said to be missing."""
    return b"".join(_pieces(found, folder)).decode()


def _pieces(found: Report, folder: str | Path) -> tuple[bytes, bytes, bytes]:
    """The page until the charts' library, the library itself, nine tenths of the page, and what follows it."""
    library, _ = _plotly()
    before, after = _own_html(found, folder).encode().split(PLACE)  # texts from people hold no bare "<"
    return before + b"<script>", library, b"</script>" + after


def _own_html(found: Report, folder: str | Path) -> str:
    notes = Footnotes()
    heads = _heads(found, notes)
    runs = [_run(found, index, Path(folder), notes) for index in range(len(found.runs))]
    floor = _floor(found, notes)
    assets = _assets()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_plotly()[1]} {_script_hash(assets['script'].encode())}",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "media-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=found,
            runs=runs,
            floor=floor,
            summary=_summary(found),
            caching=any(run.cache for run in found.runs),
            settings=_settings(found),
            kinds=KINDS,
            heads=heads,
            headline=HEADLINE_METRICS,
            notes=notes.reasons,
            data=_chart_data(found),
            json=base64.b64encode(schema.dumps(found).encode()).decode(),
            policy=policy,
            heat=_heat_gradient(),
            **{name: Markup(text) for name, text in assets.items()},  # our own files, not texts from people
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    return environment


@lru_cache(maxsize=1)
def _assets() -> dict[str, str]:
    style, script = ((_TEMPLATES / name).read_text("utf-8") for name in ("report.css", "report.js"))
    return {"style": style, "script": script}


@lru_cache(maxsize=1)
def _plotly() -> tuple[bytes, str]:
    """The charts' library, and its hash for the policy."""
    from plotly.offline import get_plotlyjs

    library = get_plotlyjs().encode()
    return library, _script_hash(library)


def _script_hash(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


def _run(found: Report, index: int, folder: Path, notes: Footnotes) -> dict[str, Any]:
    """What the template shows of one run."""
    run = found.runs[index]
    longest = max(other.latency.denoise_s or 0 for other in found.runs)
    return {
        "run": run,
        "colour": colour_of(index),
        "video": _inline(run.video, folder),
        "heatmap": _inline(run.heatmap, folder),
        "levels": [(level, _inline(level.video, folder)) for level in run.pyramid],
        "glyph": glyph(run),
        "stages": stages_text(run.stages),
        "costs": _costs(run, notes),
        "caching": _caching(run, notes) if any(each.cache for each in found.runs) else None,
        "bar": round(90 * (run.latency.denoise_s or 0) / longest) if longest else None,
        "metrics": _metric_cells(run.similarity, notes),
    }


def colour_of(index: int) -> int:
    """The accent of a run by its place in the report: 0 the baseline, 1..7 the others, then over again."""
    return 1 + (index - 1) % (COLOURS - 1) if index else 0


def _inline(name: str | None, folder: Path) -> dict[str, str] | None:
    """A file beside the report as a data URI with its kind; None where it is missing or elsewhere."""
    mime = _TYPES.get(Path(name or "").suffix)
    path = (folder / (name or "")).resolve()  # a link could lead out of the folder
    if mime is None or path.parent != folder.resolve() or not path.is_file():
        return None
    return {"kind": mime.split("/")[0], "uri": f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"}


def _costs(run: Run, notes: Footnotes) -> dict[str, Cell]:
    """Time, speed-ups and memory of a run as cells."""
    gone = run.error or (f"The run was {run.status}." if run.status != "done" else "Not measured.")

    def cell(value: float | None, text: str, reason: str | None = None) -> Cell:
        return notes.cell(None, reason or gone) if value is None else notes.cell(text, None)

    def seconds(value: float | None) -> Cell:
        return cell(value, f"{value or 0:.2f}" if (value or 0) < 10 else f"{value:.1f}")

    return {
        "total": seconds(run.latency.total_s),
        "loop": seconds(run.latency.denoise_s),
        "measured": cell(run.speedup.measured, f"{run.speedup.measured or 0:.2f}×"),
        "by_flops": cell(run.speedup.by_flops, f"{run.speedup.by_flops or 0:.2f}×"),
        "memory": cell(run.memory.peak_bytes, bytes_text(run.memory.peak_bytes or 0), run.memory.reason),
    }


def evaluations_text(run: Run) -> str | None:
    """Computed evaluations, and of how many where a cache skipped some; None where they were not counted."""
    found = run.evaluations
    if found is None:
        return None
    return f"{found.computed} of {found.computed + found.skipped}" if found.skipped else str(found.computed)


def _caching(run: Run, notes: Footnotes) -> dict[str, Cell]:
    """Computed evaluations, and how like a cached run is to the same without its cache."""
    told = evaluations_text(run)
    cells = {"evaluations": notes.cell(told, None if told else run.error or "Not counted.")}
    if run.uncached:
        metric = run.uncached.similarity.psnr
        return cells | {"psnr": notes.cell(_number("psnr", metric.mean), metric.reason)}
    return cells | {"psnr": Cell("")}


def _metric_cells(block: Similarity, notes: Footnotes) -> dict[str, dict[str, Cell]]:
    """Mean and worst of each metric; a caveat of a value that is there stands in the table's head."""

    def cell(name: str, metric: Metric, value: float | None) -> Cell:
        return notes.cell(_number(name, value), metric.reason if value is None else None)

    return {
        name: {"mean": cell(name, metric, metric.mean), "worst": cell(name, metric, similarity.worst(name, metric))}
        for name, metric in block.metrics().items()
    }


def _heads(found: Report, notes: Footnotes) -> dict[str, Cell]:
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


def bytes_text(count: int) -> str:
    """A count of bytes in MiB or GiB."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _floor(found: Report, notes: Footnotes) -> dict[str, Any]:
    """The noise floor's cells, or why there is none, and whether the two runs were equal."""
    if found.noise_floor is None:
        return {"cells": None, "reason": found.noise_floor_reason, "equal": False}
    equal = found.noise_floor.psnr.min == similarity.CEILING_DB
    return {"cells": _metric_cells(found.noise_floor, notes), "reason": None, "equal": equal}


def _summary(found: Report) -> list[dict[str, str]]:
    """The fastest run, the closest one, and how many did not finish."""
    done = [run for run in found.runs[1:] if run.status == "done"]
    summary = []
    if timed := [run for run in done if run.speedup.measured]:
        best = max(timed, key=lambda run: run.speedup.measured or 0)
        summary.append({"label": "Fastest", "name": best.name, "value": f"{best.speedup.measured:.2f}×"})
    if compared := [run for run in done if run.similarity.psnr.mean is not None]:
        best = max(compared, key=lambda run: run.similarity.psnr.mean or 0)
        summary.append(
            {"label": "Closest to baseline", "name": best.name, "value": f"{best.similarity.psnr.mean:.1f} dB"}
        )
    if lost := [run for run in found.runs if run.status != "done"]:
        names = ", ".join(run.name for run in lost)
        summary.append({"label": "Not finished", "name": names, "value": f"{len(lost)} of {len(found.runs)}"})
    return summary


def _settings(found: Report) -> dict[str, str]:
    """All that was the same for every run, as label and text."""
    own, size = found.environment, found.size
    second = "" if found.guidance_2 is None else f", of the second expert {found.guidance_2:g}"
    shown = {
        "Model": found.model,
        "Seed": str(found.seed),
        "Size": f"{size.width}×{size.height}, {size.frames} frames at {found.fps:g} fps",
        "Steps": str(found.steps),
        "Solver": found.solver,
        "Guidance": f"{found.guidance:g}{second}",
        "Shift": "the model's own" if found.shift is None else f"{found.shift:g}",
        "Negative prompt": found.negative_prompt or "none",
        "Device": own.device_name or own.device,
        "Precision": own.dtype,
        "Loading": ", ".join(own.loading) or "plain",
        "Threads": "unknown" if own.threads is None else str(own.threads),
        "Software": f"Resolute {own.resolute}, torch {own.torch}, Python {own.python}",
        "Platform": own.platform,
        "Created": found.created.strftime("%Y-%m-%d %H:%M %Z"),
    }
    return shown | ({"diffusers": own.diffusers} if own.diffusers else {})


def stages_text(stages: tuple[StageEntry, ...]) -> str:
    """The stages in words: 96×96 for 15 steps, 128×128 for 15."""
    parts = [f"{stage.width}×{stage.height} for {stage.last_step - stage.first_step + 1}" for stage in stages]
    return ", ".join([parts[0] + (" steps" if stages[0].last_step > 1 else " step"), *parts[1:]]) if parts else ""


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


def _chart_data(found: Report) -> dict[str, Any]:
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


def _heat_gradient() -> str:
    """The heat-map's colours as CSS colour stops."""
    stops = HEAT[[0, 32, 64, 96, 128, 160, 192, 224, 255]] * 255
    return ", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in stops)
