"""The figures widget: the table of all runs, and the Pareto plot whose points bring up a run.

Value: `figures_of(report).to_json()`, or None while there is nothing to show.
`.input` brings what `parse_action` reads.
"""

from __future__ import annotations

from typing import Any

from ui.figures.figures_value import Figures, Select, figures_of, parse_action
from ui.shared.widget import Widget

__all__ = ["Figures", "FiguresPanel", "Select", "figures_of", "parse_action"]


class FiguresPanel(Widget):
    """Table and Pareto plot of one report. `selected` is the number of the run that is brought up, or None."""

    scripts = ("table.js", "pareto.js", "names.js")

    def __init__(self, value: dict[str, Any] | None = None, selected: int | None = None, **options: Any) -> None:
        self.selected = selected
        super().__init__(value, selected=selected, **options)

    def api_info(self) -> dict[str, Any]:
        return {"type": "object", "description": "The figures of one comparison."}
