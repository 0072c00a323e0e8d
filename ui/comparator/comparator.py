"""The comparator as a Gradio component."""

from __future__ import annotations

from typing import Any

from engine.measuring.heatmap import HEAT
from ui.comparator.comparator_value import ComparatorValue
from ui.shared.widget import PLAYING, Display


class Comparator(Display):
    """Runs side by side in lockstep: grid, wipe, flip, difference, heat-map, with live previews of what still runs.

    The value is a `Comparison`; updates of the same key change the page in place and never restart a video. A person's
    wishes come as data of `.input`: read them with `ui.comparator.comparator_value.parse_action(event._data)`.
    """

    scripts = (
        *PLAYING,
        "tiles.js",
        "zoom.js",
        "timebar.js",
        "toolbar.js",
        "chosen.js",
        "actions.js",
        "columns.js",
        "keys.js",
    )

    def __init__(
        self, value: ComparatorValue | None = None, *, selected: list[int] | None = None, **options: Any
    ) -> None:
        self.selected = selected
        super().__init__(value, selected=selected, heat=_heat_colours(), **options)


def _heat_colours() -> list[str]:
    """Colours of the heat-maps from equal to most different, as CSS writes them."""
    return [f"rgb({r} {g} {b})" for r, g, b in (HEAT[::32] * 255).round().astype(int)]
