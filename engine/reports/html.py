"""One self-contained page of a comparison, `index.html`: videos in lockstep, the table, the charts.

Videos, styles and scripts stand inside the file; its content security policy lets it ask nobody for
anything and run no script but its own two. All texts from people are escaped by Jinja2.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from engine.measuring.similarity import KINDS
from engine.measuring.video import whole_file
from engine.reports import report_file
from engine.reports.report_charts import chart_data, heat_gradient
from engine.reports.report_tables import Footnotes, caching_cells, cost_cells, floor_cells, metric_cells, metric_heads
from engine.reports.run_display import (
    HEADLINE_METRICS,
    colour_of,
    experts_text,
    glyph,
    ranked_by,
    ratio_text,
    shows_conditions,
    stages_text,
)
from engine.reports.scale_words import noise_floor_words, other_seed_words
from engine.reports.schema import VERSION, Report

MARK = f"Resolute report {VERSION}"  # in the page's head: what it was made from
PLACE = b"<script></script>"  # of the charts' library in the template
_TEMPLATES = Path(__file__).with_name("templates")
_TYPES = {".mp4": "video/mp4", ".webp": "image/webp", ".png": "image/png"}


def write_index(found: Report, folder: str | Path) -> Path:
    """Write `index.html` beside the videos of the report in `folder`. Raises RunFailed when the disk fails."""
    path = Path(folder) / "index.html"
    pieces = _pieces(found, folder)
    with whole_file(path) as part, part.open("wb") as file:
        file.writelines(pieces)
    return path


def outdated(page: Path) -> bool:
    """Whether an `index.html` is a page of ours that shows figures as reports of an earlier version had them."""
    try:
        with page.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    return " · Resolute</title>".encode() in head and MARK.encode() not in head


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
    heads = metric_heads(found, notes)
    runs = [_run(found, index, Path(folder), notes) for index in range(len(found.runs))]
    floor = floor_cells(found, notes)
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
            scale=(noise_floor_words(found), other_seed_words(found)),
            summary=_summary(found),
            mark=MARK,
            caching=any(run.cache for run in found.runs),
            conditions=shows_conditions(found),
            settings=_settings(found),
            kinds=KINDS,
            heads=heads,
            headline=HEADLINE_METRICS,
            ranked_by=ranked_by(found.runs),
            notes=notes.reasons,
            data=chart_data(found),
            json=base64.b64encode(report_file.dumps(found).encode()).decode(),
            policy=policy,
            heat=heat_gradient(),
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
        "experts": experts_text(run),
        "costs": cost_cells(run, found.baseline, notes, shows_conditions(found)),
        "caching": caching_cells(run, notes) if any(each.cache for each in found.runs) else None,
        "bar": round(90 * (run.latency.denoise_s or 0) / longest) if longest else None,
        "metrics": metric_cells(run.similarity, notes),
    }


def _inline(name: str | None, folder: Path) -> dict[str, str] | None:
    """A file beside the report as a data URI with its kind; None where it is missing or elsewhere."""
    mime = _TYPES.get(Path(name or "").suffix)
    path = (folder / (name or "")).resolve()  # a link could lead out of the folder
    if mime is None or path.parent != folder.resolve() or not path.is_file():
        return None
    return {"kind": mime.split("/")[0], "uri": f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"}


def _summary(found: Report) -> list[dict[str, str]]:
    """The fastest run, the closest one, and how many did not finish."""
    done = [run for run in found.runs[1:] if run.status == "done"]
    summary = []
    if timed := [run for run in done if run.speedup.measured]:
        best = max(timed, key=lambda run: run.speedup.measured or 0)
        summary.append(
            {
                "label": "Fastest",
                "name": best.name,
                "value": ratio_text(best.speedup.measured or 0, best.speedup.interval),
            }
        )
    kind = ranked_by(found.runs)
    known = [(value, run) for run in done if (value := run.similarity.metrics()[kind].mean) is not None]
    if known:
        value, best = max(known, key=lambda pair: pair[0])
        summary.append({"label": "Closest to baseline", "name": best.name, "value": f"{value:.1f} dB"})
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
        "Steps": f"{found.steps}{', but of their own where a run says so' * any(run.steps for run in found.runs)}",
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
