"""The studio's plotly charts: seconds, resolution and memory by step, similarity by frame, settling of bands.

A plot does not know the page's theme, so everything in it is readable on light and on dark paper: transparent
backgrounds, mid-grey ink, accents between those of both themes. What is unknown leaves a gap, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.errors import InvalidInput
from engine.measuring.similarity import KINDS
from engine.reports.run_display import colour_of
from engine.reports.schema import Report, Run

INK = "#7b7f88"  # 3.6:1 on light paper, 4.6:1 on dark; ui/shared/style.css gives texts the ink of the page instead
RULE = "rgba(127, 131, 140, 0.25)"
ACCENTS = ("#7b7f88", "#dd5829", "#3c86dd", "#0d9380", "#bb5ec0", "#a97a12", "#dd4f7d", "#5f9430")  # by colour_of
DASHES = ("dot", "solid", "solid", "solid", "solid", "solid", "solid", "solid")
SYMBOLS = ("circle", "circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "star")
FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
MIB = 2**20
TALL = (340, 470)  # pixels of one panel and of two
BY_FRAME = tuple(name for name, kind in KINDS.items() if kind.by_frame)
MARKED = 60  # points a line may have and still carry a mark for each


def steps_chart(report: Report) -> go.Figure:
    """Seconds of every step above, the resolution that it ran at below, over one axis of steps."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.18, row_heights=[0.66, 0.34])
    for number, run in enumerate(report.runs):
        if run.latency.steps_s:
            line = _line(number, run, run.latency.steps_s, "%{y:.3~f} s")
            figure.add_trace(line, row=1, col=1)
        if run.stages:
            figure.add_trace(_resolution(number, run, legend=not run.latency.steps_s), row=2, col=1)
    _dress(figure, report.most_steps)
    _scale(figure, "seconds by step", row=1)
    heights = sorted({stage.height for run in report.runs for stage in run.stages})
    _scale(
        figure,
        "height in pixels, by step",
        row=2,
        tickvals=[0, *_apart(heights)],
        range=[0, 1.15 * max(heights, default=1)],
    )
    figure.update_layout(height=TALL[1] + _legend_room(figure))
    return figure


def memory_chart(report: Report) -> go.Figure:
    """Memory after every step in MiB: allocated VRAM, or resident memory above its level before the run."""
    figure = go.Figure()
    for number, run in enumerate(report.runs):
        values = [None if count is None else count / MIB for count in run.memory.steps_bytes]
        if any(value is not None for value in values):
            figure.add_trace(_line(number, run, values, "%{y:.0f} MiB"))
    cuda = report.baseline.memory.kind == "cuda"
    _dress(figure, report.most_steps)
    _scale(figure, "allocated VRAM in MiB, by step" if cuda else "resident MiB above the start, by step")
    return figure


def similarity_chart(report: Report, metric: str = "psnr") -> go.Figure:
    """Similarity to the baseline, which is not quality, of every frame. Raises InvalidInput for an unknown metric."""
    if not isinstance(metric, str) or metric not in BY_FRAME:
        raise InvalidInput("metric", f"metric is {str(metric)[:40]!r}; it must be one of {', '.join(BY_FRAME)}.")
    kind = KINDS[metric]
    unit = f" {kind.unit}" if kind.unit else ""
    figure = go.Figure()
    for number, run in enumerate(report.runs):
        frames = run.similarity.metrics()[metric].frames
        if frames:
            figure.add_trace(_line(number, run, frames, f"%{{y:.{kind.decimals}f}}{unit}"))
    _dress(figure, report.size.frames)
    side = "higher" if kind.higher_is_better else "lower"
    _scale(figure, f"{kind.label}{' in' if unit else ''}{unit} by frame, {side} is closer", tozero=False)
    figure.update_layout(height=TALL[1] + _legend_room(figure))
    return figure


def bands_chart(report: Report) -> go.Figure | None:
    """How far each spatial frequency band of the baseline still is from its end, by step; None where not measured.

    A band has settled where its line has fallen below the threshold: before that step its detail is still open, and
    after it a lower resolution would lose it.
    """
    bands = report.baseline.bands
    if bands is None:
        return None
    figure = go.Figure()
    names = _band_names(bands.edges)
    for number, (name, error) in enumerate(zip(names, bands.error, strict=True)):
        line = _line(number + 1, None, error, "%{y:.3f}")
        figure.add_trace(line.update(name=name))
    _dress(figure, report.steps)
    _scale(figure, "share of a band's energy that still changes, by step", range=[0, 1.05])
    figure.add_hline(y=bands.threshold, line={"color": INK, "width": 1, "dash": "dot"})
    figure.add_annotation(
        x=1, xref="paper", y=bands.threshold, yshift=9, text="settled below", showarrow=False, xanchor="right"
    )
    return figure


def _band_names(edges: Sequence[float]) -> list[str]:
    """Bands in words: their edges as shares of the highest frequency."""
    parts = [f"{low:.0%} to {high:.0%}" for low, high in pairwise(edges)]
    ends = {0: " (coarse)", len(parts) - 1: " (fine)"}
    return [part + ends.get(k, "") for k, part in enumerate(parts)]


def _line(number: int, run: Run | None, values: Sequence[float | None], hover: str) -> go.Scatter:
    """One run over its steps or frames, counted from 1."""
    colour = colour_of(number)
    marked = len(values) <= MARKED
    return go.Scatter(
        x=list(range(1, len(values) + 1)),
        y=list(values),
        name=_short(run.name) if run else "",
        legendgroup=str(number),
        mode="lines+markers" if marked else "lines",
        connectgaps=False,
        line={"color": ACCENTS[colour], "width": 1.5 if number == 0 else 2, "dash": DASHES[colour]},
        marker={"color": ACCENTS[colour], "size": 5, "symbol": SYMBOLS[colour]},
        hovertemplate=hover,
    )


def _resolution(number: int, run: Run, *, legend: bool) -> go.Scatter:
    """The height of a run's picture as stairs: every step a tread that is one step wide."""
    x, y, texts = [], [], []
    for stage in run.stages:
        x += [stage.first_step - 0.5, stage.last_step + 0.5]
        y += [stage.height] * 2
        texts += [f"{stage.width}×{stage.height} px, {stage.tokens} tokens"] * 2
    colour = colour_of(number)
    return go.Scatter(
        x=x,
        y=y,
        text=texts,
        name=_short(run.name),
        legendgroup=str(number),
        showlegend=legend,
        mode="lines",
        line={"color": ACCENTS[colour], "width": 1.5 if number == 0 else 2.5, "dash": DASHES[colour]},
        hovertemplate="%{text}",
    )


def _short(name: str) -> str:
    """A name as plotly shows it: at most 40 characters, and no markup, which plotly would obey."""
    shown = name if len(name) <= 40 else f"{name[:39]}…"
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _apart(heights: Sequence[int]) -> list[int]:
    """Heights that have room for a tick each: at least an eighth of the axis between them, the largest always."""
    kept: list[int] = []
    for height in sorted(heights, reverse=True):
        if all(abs(height - other) >= heights[-1] / 6 for other in kept) and height >= heights[-1] / 6:
            kept.append(height)
    return sorted(kept)


def _dress(figure: go.Figure, count: int) -> None:
    """What all charts share: ink, paper, legend, hover, and one axis of whole numbers."""
    figure.update_layout(
        template="none",
        showlegend=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 12, "color": INK},
        margin={"l": 40, "r": 12, "t": 58, "b": 32},
        height=TALL[0] + _legend_room(figure),
        hovermode="x unified",
        hoverlabel={"bgcolor": "rgba(32, 34, 39, 0.94)", "bordercolor": "rgba(0,0,0,0)", "font": {"color": "#f2f0ea"}},
        dragmode=False,
        modebar={"remove": _BUTTONS},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 0,
            "yanchor": "top",
            "font": {"size": 11.5},
            # An unseen line above the names, where the axis has its ticks.
            "title": {"text": "ticks", "side": "top", "font": {"size": 14, "color": "rgba(0,0,0,0)"}},
        },
    )
    if not figure.data:
        figure.add_annotation(text="not measured", showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
    figure.update_xaxes(
        range=[0.5, count + 0.5],
        tick0=1,
        dtick=max(1, -(-count // 12)),
        hoverformat="d",
        tickangle=0,
        showgrid=False,
        zeroline=False,
        linecolor=INK,
        showline=True,
        ticks="outside",
        tickcolor=INK,
        fixedrange=True,
    )


_BUTTONS = ["zoom", "pan", "select", "lasso", "zoomIn", "zoomOut", "autoScale", "resetScale", "toImage"]


def _legend_room(figure: go.Figure) -> int:
    """Pixels that a narrow screen needs for names under each other, past the few that every chart has room for."""
    return 24 * max(0, sum(trace.showlegend is not False for trace in figure.data) - 3)


def _scale(figure: go.Figure, title: str, *, row: int = 1, tozero: bool = True, **axis: Any) -> None:
    """The axis of figures of one panel; its title lies above it, where it needs no turned letters."""
    panel = "" if row == 1 else str(row)
    figure.update_layout(
        {
            f"yaxis{panel}": {
                "gridcolor": RULE,
                "zeroline": False,
                "rangemode": "tozero" if tozero else "normal",
                "fixedrange": True,
                "automargin": True,
                "nticks": 6,
                **axis,
            }
        }
    )
    figure.add_annotation(
        text=title, showarrow=False, x=0, xref="paper", xanchor="left", y=1, yref=f"y{panel} domain", yshift=14
    )
