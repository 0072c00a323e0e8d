"""docs/fidelity.md, written from the rows: template beside this file, figures from the tests."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from benchmarks.fidelity.claims import Claim, claims
from benchmarks.fidelity.matrix import (
    BEST,
    BEST_RULES,
    FEW_STEPS,
    FRESH,
    OWN,
    REFERENCE,
    RULES,
    STEPS,
    TWO_75,
    Cell,
    fewer_steps,
    is_cached,
    schedules,
    title,
)
from benchmarks.fidelity.plots import draw_all
from benchmarks.fidelity.rows import Row
from benchmarks.fidelity.statistics import Interval, compare, holm
from benchmarks.fidelity.table import CLOSENESS, EQUAL_COST, Table, cell_of

TEMPLATE = Path(__file__).with_name("page.md.j2")
FIGURES = ((CLOSENESS, 1), ("psnr", 1), ("ssim", 3), ("adherence", 1), ("cpu_s", 2))
VARIANTS = {FRESH: "fresh noise in place of the predicted and the stored one, at the exact level", **RULES}


@dataclass(frozen=True)
class Section:
    """One schedule's table."""

    title: str
    lines: tuple[Sequence[str], ...]


def write_page(rows: list[Row], page: Path, asked: tuple[int, int], command: str) -> list[Claim]:
    """Write the page, its plots beside it in `images/`, and the summary; the claims as they were settled."""
    table = Table(rows)
    found = claims(table)
    text = (
        Environment(undefined=StrictUndefined, keep_trailing_newline=True)
        .from_string(TEMPLATE.read_text("utf-8"))
        .render(
            claims=found,
            how=how(table, asked),
            command=command,
            weights=weights(rows),
            plots=draw_all(table, page.parent / "images"),
            reference=REFERENCE,
            floor=floor(table),
            tables=sections(table),
            variants=VARIANTS,
            refused=refused(rows),
        )
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, "utf-8")
    write_summary(table, page.with_suffix(".csv"))
    return found


def sections(table: Table) -> list[Section]:
    """A table a schedule, in the study's order."""
    found = []
    for key in schedules():
        lines = [
            line(table, cell_of(key, name), f"`{name}`")
            for name in table.policies
            if table.values(cell_of(key, name), CLOSENESS)
        ]
        deltas = to_reference(table, key)
        if lines:
            compared = [[one[0], one[1], deltas.get(one[0], "–"), *one[2:]] for one in lines]
            found.append(Section(title(key), (*compared, *beside(table, key))))
    for steps in (*FEW_STEPS, STEPS):
        cells = [(name, cell_of(TWO_75, name, steps)) for name in (OWN, *VARIANTS, BEST, *BEST_RULES)]
        lines = [line(table, cell, f"`{name}`") for name, cell in cells if table.values(cell, CLOSENESS)]
        shown = tuple([one[0], one[1], "–", *one[2:]] for one in lines)
        found.append(Section(f"two-stage 0.75 @ 50 %, {steps} steps, rules of the shift and fresh noise", shown))
    found.append(Section(f"flat, {STEPS} steps and fewer, and another seed", tuple(flat_lines(table))))
    return [one for one in found if one.lines]


def beside(table: Table, key: str) -> Iterable[list[str]]:
    """What a schedule's table is read beside: full size with fewer steps at its cost, and another seed."""
    costs = [cost for name in table.policies if not is_cached(key) and (cost := table.cost(cell_of(key, name)))]
    for steps in fewer_steps():
        fewer = Cell("", "flat", steps=steps)
        if costs and (cost := table.cost(fewer)) and abs(cost / min(costs) - 1) <= 2 * EQUAL_COST:
            first, closeness, *rest = line(table, fewer, f"*{steps} full-size steps*")
            yield [first, closeness, "–", *rest]
    other = Cell("", "flat", other_seed=True)
    if table.values(other, CLOSENESS):
        first, closeness, *rest = line(table, other, "*another seed*")
        yield [first, closeness, "–", *rest]


def line(table: Table, cell: Cell, name: str) -> list[str]:
    """Name, the figures, cost, n."""
    shown = [cell_text(table.mean(cell, figure), digits) for figure, digits in FIGURES]
    cost = table.cost(cell)
    n = table.mean(cell, "cpu_s")
    return [name, *shown[:4], "–" if cost is None else f"{cost:.2f}", shown[4], str(n.n if n else 0)]


def flat_lines(table: Table) -> Iterable[list[str]]:
    """The baseline and the controls."""
    cells = {"baseline": cell_of("flat"), "another seed": Cell("", "flat", other_seed=True)}
    cells |= {f"{n} steps": Cell("", "flat", steps=n) for n in (15, 12)}
    for name, cell in cells.items():
        if table.values(cell, "cpu_s"):
            first, psnr, *rest = line(table, cell, name)
            yield [first, psnr, "–", *rest]


def to_reference(table: Table, key: str) -> dict[str, str]:
    """Each policy's paired difference, as it stands in the table."""
    base = table.values(cell_of(key, REFERENCE), CLOSENESS)
    others = [name for name in table.policies if name != REFERENCE]
    tested = holm({f"`{name}`": compare(table.values(cell_of(key, name), CLOSENESS), base) for name in others})
    found = {}
    for name, one in tested.items():
        text = f"{one.difference.mean:+.1f} ± {one.difference.high - one.difference.mean:.1f}"
        found[name] = f"**{text}**" if one.decided else text
    return found


def cell_text(found: Interval | None, digits: int) -> str:
    """A mean and half of its interval."""
    if found is None:
        return "–"
    half = "" if found.n < 2 else f" ± {found.high - found.mean:.{digits}f}"
    return f"{found.mean:.{digits}f}{half}"


def how(table: Table, asked: tuple[int, int]) -> str:
    """Hardware, date, numbers."""
    pairs = {(row["prompt"], row["seed"]) for row in table.rows}
    prompts, days = {prompt for prompt, _ in pairs}, sorted({row["when"][:10] for row in table.rows})
    setup = table.rows[0]["setup"]
    kind = "" if "prompts" not in setup else f"{setup['prompts']} "
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    whole = asked[0] * asked[1]
    short = (
        ""
        if len(pairs) >= whole
        else f" The {whole} pairs of {asked[0]} prompts and {asked[1]} seeds did not fit the time that there was."
    )
    return (
        f"{len(prompts)} {kind}prompts, {len(pairs)} pairs of prompt and seed, {len(table.rows)} runs; {STEPS} steps, "
        f"guidance {setup['guidance']:g}, shift {setup['shift']:g}, {setup['dtype']}, {setup['model']}. "
        f"{when}, {os.cpu_count()} processor cores ({processor()}), one thread a process.{short} What the headline "
        "claims rest on is run for every pair first, side questions last: n says how many prompts a figure has."
    )


def weights(rows: list[Row]) -> str:
    """What the rows were made with, to be found again."""
    setup = rows[0]["setup"]
    code = len({row["setup"].get("code") for row in rows})
    changed = f" The engine's files had {code} states while they were made; delete rows to make them anew." * (code > 1)
    return (
        f"Rows are of weights `{setup['weights']}` and judge `{setup['judge']}`; those of others are refused.{changed}"
    )


def floor(table: Table) -> str:
    """What a run that has no noise in common with the baseline scores."""
    other = table.mean(Cell("", "flat", other_seed=True), CLOSENESS)
    return (
        f"Another seed of the same prompt, which shares no noise with the baseline, is at {cell_text(other, 1)} dB."
        if other
        else ""
    )


def refused(rows: Iterable[Row]) -> list[str]:
    """Cells that a policy or a cache refused, with the reason, each once."""
    return sorted({f"`{row['cell'].rpartition('|')[0]}`: {row['refused']}" for row in rows if "refused" in row})


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((one.partition(":")[2].strip() for one in lines if one.startswith("model name")), platform.machine())


def write_summary(table: Table, path: Path) -> None:
    """Every cell's means and intervals, as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["cell", "figure", "mean", "low", "high", "prompts"])
        for key in dict.fromkeys(row["cell"] for row in table.rows):
            for figure in (*(name for name, _ in FIGURES), "contrast", "flops", "emoji", "motion", "texture", "color"):
                if one := table.mean(key, figure):
                    out.writerow([key, figure, *(f"{x:.6g}" for x in (one.mean, one.low, one.high)), one.n])
