"""The rows of the file, asked by cell and figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np

from benchmarks.fidelity.matrix import NONE, STEPS, Cell, resolution
from benchmarks.fidelity.rows import Row
from benchmarks.fidelity.statistics import Interval, Values, interval

CLOSENESS = "psnr_pooled"  # what runs are ranked by
EQUAL_COST = 0.02  # FLOPs may differ by so much
QUESTIONS = ("emoji", "motion", "texture", "color")


class Table:
    """Figures by prompt; a prompt's seeds are averaged."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = [row for row in rows if "refused" not in row]
        self._by_cell: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            self._by_cell[row["cell"]].append(row)

    @cached_property
    def policies(self) -> tuple[str, ...]:
        """Policies in the file, in the order in which they were run, variants of the benchmark left out."""
        from engine.switching.policies import POLICIES

        seen = {key.split("|")[1] for key in self._by_cell}
        return tuple(name for name in POLICIES if name in seen)

    def values(self, cell: Cell | str, figure: str) -> Values:
        """One figure of a cell by prompt; `adherence` in %, or one of the judge's questions."""
        found: dict[str, list[float]] = defaultdict(list)
        for row in self._by_cell.get(cell if isinstance(cell, str) else cell.key, ()):
            value = figure_of(row, figure)
            if value is not None:
                found[row["prompt"]].append(value)
        return {prompt: float(np.mean(values)) for prompt, values in found.items()}

    def well_run(self, names: Iterable[str], *schedules: str) -> list[str]:
        """Of these policies those that were run on all the schedules for half as many prompts as any, or for more."""
        least = {name: min(len(self.values(cell_of(key, name), CLOSENESS)) for key in schedules) for name in names}
        return [name for name, count in least.items() if count > 1 and 2 * count >= max(least.values())]

    def mean(self, cell: Cell | str, figure: str) -> Interval | None:
        """Mean over prompts."""
        return interval(list(self.values(cell, figure).values()))

    def cost(self, cell: Cell) -> float | None:
        """FLOPs over those of the baseline of the same steps, 1 and below."""
        mine, base = self.mean(cell, "flops"), self.mean(Cell("grid", "flat", steps=cell.against), "flops")
        return mine.mean / base.mean if mine and base else None

    def equal_cost(self, a: Cell, b: Cell) -> bool:
        """Whether two cells cost the same within `EQUAL_COST`."""
        x, y = self.cost(a), self.cost(b)
        return x is not None and y is not None and abs(x / y - 1) <= EQUAL_COST


def figure_of(row: Row, figure: str) -> float | None:
    """One figure of a row."""
    if figure == "adherence":
        return 100 * float(np.mean([row["marks"][question] for question in QUESTIONS]))
    if figure in QUESTIONS:
        return 100.0 * row["marks"][figure]
    value = row[figure]
    return None if value is None else float(value)


def cell_of(schedule: str, policy: str = NONE, steps: int = STEPS) -> Cell:
    """A cell of the study, to ask for."""
    return Cell("", schedule, policy, steps=steps, against=steps)


def low_rate(schedule: str) -> float:
    """The lowest rate of a schedule."""
    return min(stage.rate for stage in resolution(schedule).stages)


def by_policy(table: Table, schedule: str, figure: str) -> Mapping[str, Interval]:
    """A figure's mean by policy, of those that ran."""
    found = {name: table.mean(cell_of(schedule, name), figure) for name in table.policies}
    return {name: one for name, one in found.items() if one}
