"""The study's plots, as small PNG on white. Points are means, bars 95 % confidence intervals over prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from benchmarks.fidelity.claims import short
from benchmarks.fidelity.matrix import (
    FEW_STEPS,
    OWN,
    RATES,
    REFERENCE,
    RULES,
    STEPS,
    TWO_75,
    Cell,
    fewer_steps,
    schedules,
)
from benchmarks.fidelity.statistics import Interval, compare
from benchmarks.fidelity.table import CLOSENESS, Table, cell_of

INK, FAINT = "#333333", "#bbbbbb"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c6d31", "#444444")
MARKS = "osD^vPX*h"
STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": "#eeeeee",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.dpi": 120,
    "savefig.facecolor": "white",
}


def draw_all(table: Table, folder: Path) -> dict[str, str]:
    """Draw every plot that the rows suffice for; file names by caption."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        for name, (draw, caption) in PLOTS.items():
            figure = draw(table)
            if figure is not None:
                figure.savefig(folder / f"fidelity-{name}.png", metadata={"Software": None})
                plt.close(figure)
                drawn[caption] = f"fidelity-{name}.png"
    return drawn


def look_of(table: Table, policy: str) -> dict[str, Any]:
    """A policy's colour and marker, the same in every plot."""
    k = table.policies.index(policy)
    return {"color": COLOURS[k % len(COLOURS)], "marker": MARKS[k % len(MARKS)]}


def closeness(table: Table) -> Any:
    """PSNR of every policy on every schedule: one panel a schedule."""
    keys = [key for key in schedules() if any(table.mean(cell_of(key, name), CLOSENESS) for name in table.policies)]
    if not keys:
        return None
    other = table.mean(Cell("", "flat", other_seed=True), CLOSENESS)
    columns, rows = min(4, len(keys)), -(-len(keys) // 4)
    height = 0.6 + rows * (0.5 + 0.17 * len(table.policies))
    figure, axes = plt.subplots(
        rows, columns, figsize=(7.6, height), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axis, key in zip(axes.flat, keys, strict=False):
        for y, name in enumerate(table.policies):
            bar(axis, y, table.mean(cell_of(key, name), CLOSENESS), look_of(table, name))
        if other:
            axis.axvline(other.mean, color=FAINT, linestyle="--", lw=1)
        axis.set_title(short(key).partition(":")[0].replace("three-stage ", "").replace("LightX2V ", ""))
    for axis in list(axes.flat)[len(keys) :]:
        axis.set_visible(False)
    axes[0, 0].set_yticks(range(len(table.policies)), table.policies)
    axes[0, 0].set_ylim(len(table.policies) - 0.5, -0.5)
    figure.supxlabel("PSNR to the baseline, dB, all frames", fontsize=8)
    return figure


def cost(table: Table) -> Any:
    """PSNR against FLOPs: every policy, flat runs of fewer steps, and another seed."""
    figure, axis = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    found = False
    for name in table.policies:
        cells = [cell_of(key, name) for key in schedules()]
        points = sorted((c, m.mean) for cell in cells if (c := table.cost(cell)) and (m := table.mean(cell, CLOSENESS)))
        found = found or bool(points)
        axis.plot(*zip(*points, strict=True), linestyle="", ms=5, label=name, alpha=0.85, **look_of(table, name))
    if not found:
        plt.close(figure)
        return None
    fewer = [Cell("", "flat", steps=n) for n in fewer_steps()]
    points = sorted((c, m.mean) for cell in fewer if (c := table.cost(cell)) and (m := table.mean(cell, CLOSENESS)))
    if points:
        axis.plot(*zip(*points, strict=True), color=INK, marker="_", ms=12, linestyle="", label="fewer full-size steps")
    other = table.mean(Cell("", "flat", other_seed=True), CLOSENESS)
    if other:
        axis.axhline(other.mean, color=FAINT, linestyle="--", label="another seed")
    axis.set(xlabel="FLOPs of the loop / baseline", ylabel="PSNR to the baseline, dB, all frames")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def window(table: Table) -> Any:
    """PSNR against the place of ten steps at 0.75: two-stage on the left, ever later U to the right."""
    figure, axis = plt.subplots(figsize=(5.2, 2.9), layout="constrained")
    keys = {0: TWO_75, 1: "1/0.75@1/11", 3: "wan_i2v_U", 4: "1/0.75@20%/70%", 8: "1/0.75@8/18"}
    for name in (OWN, REFERENCE):
        points = {float(x): m for x, key in keys.items() if (m := table.mean(cell_of(key, name), CLOSENESS))}
        if name in table.policies and points:
            line(axis, points, label=name, **look_of(table, name))
    return finished(
        figure, axis, xlabel="full-size steps before the ten at 0.75", ylabel="PSNR to the baseline, dB, all frames"
    )


def sigma(table: Table) -> Any:
    """What the exact sigma gains over each other rule, against the number of steps."""
    figure, axis = plt.subplots(figsize=(5.2, 2.9), layout="constrained")
    for k, variant in enumerate(RULES):
        points: dict[float, Interval] = {}
        for n in (*FEW_STEPS, STEPS):
            ours, theirs = (table.values(cell_of(TWO_75, name, n), CLOSENESS) for name in (OWN, variant))
            if gain := compare(ours, theirs):
                points[n + 0.12 * (k - 1)] = gain.difference
        if points:
            line(axis, points, label=variant, color=COLOURS[k], marker=MARKS[k])
    axis.axhline(0, color=INK, lw=0.8)
    return finished(figure, axis, xlabel="steps", ylabel="gain of the exact sigma, dB")


def adherence(table: Table) -> Any:
    """What the judge finds against the rate, of whole videos and of two-stage runs."""
    figure, axis = plt.subplots(figsize=(5.2, 2.9), layout="constrained")
    kinds: dict[str, Callable[[float], Cell]] = {
        "first half of the steps": lambda rate: cell_of(f"{rate:g}@50%", OWN),
        "whole video": lambda rate: Cell("", "flat", size=rate),
    }
    base = table.mean(cell_of("flat"), "adherence")
    for k, (name, cell) in enumerate(kinds.items()):
        points = {r + 0.002 * k: m for r in RATES if (m := table.mean(cell(r), "adherence"))}
        if base and points:
            line(axis, {1 + 0.002 * k: base, **points}, label=name, color=COLOURS[k], marker=MARKS[k])
    axis.invert_xaxis()
    return finished(figure, axis, xlabel="rate", ylabel="adherence, %")


def line(axis: Any, points: dict[float, Interval], **look: Any) -> None:
    """Means with their intervals, joined."""
    found: Sequence[Interval] = list(points.values())
    reach = [[m.mean - m.low for m in found], [m.high - m.mean for m in found]] if all(m.n > 1 for m in found) else None
    axis.errorbar(list(points), [m.mean for m in found], reach, lw=1.2, ms=4, capsize=2, **look)


def bar(axis: Any, place: float, found: Interval | None, look: dict[str, Any]) -> None:
    """One mean with its interval."""
    if found is None:
        return
    reach = [[found.mean - found.low], [found.high - found.mean]] if found.n > 1 else None
    axis.errorbar(found.mean, place, xerr=reach, ms=4, capsize=2, linestyle="", **look)


def finished(figure: Any, axis: Any, **labels: str) -> Any:
    """The figure with its labels and legend; None where nothing was drawn."""
    if not axis.get_legend_handles_labels()[0]:
        plt.close(figure)
        return None
    axis.set(**labels)
    axis.legend()
    return figure


PLOTS: dict[str, tuple[Callable[[Table], Any], str]] = {
    "closeness": (closeness, "Closeness to the baseline by schedule and policy; dashed: another seed"),
    "cost": (cost, "Closeness against cost"),
    "window": (window, "The same ten steps at 0.75, at different places"),
    "sigma": (sigma, "What the exact sigma gains over other rules of the shift, by steps"),
    "adherence": (adherence, "Adherence against the rate"),
}
