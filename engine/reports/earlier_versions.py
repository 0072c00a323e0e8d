"""Reports of earlier versions as ones of today: what is known to be wrong in them is null, with the reason.

Version 1: run and baseline were exchanged when XPSNR was computed, so that errors were weighed by the run's own
texture. Nothing else differs: version 2 only adds fields that may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

EXCHANGED = (
    "this report is of version 1: run and baseline were exchanged when its XPSNR was computed; a new run has it right"
)


def brought_up(data: bytes, document: dict[str, Any]) -> bytes:
    """The JSON text of a report, `document` once it is read, as version 2 where it is of version 1; else as it is."""
    if type(version := document.get("version")) is not int or version != 1:
        return data
    for block in _similarities(document):
        if isinstance(figure := block.get("xpsnr"), dict) and figure.get("mean") is not None:
            figure |= {"mean": None, "min": None, "frames": None, "reason": EXCHANGED}
    try:
        return json.dumps(document | {"version": 2}, ensure_ascii=False).encode()
    except ValueError:  # half a surrogate pair
        return data


def _similarities(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every block of metrics of a report, whatever else it may hold."""
    runs = document.get("runs")
    owners = [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []
    blocks = [document.get("noise_floor"), *(run.get("similarity") for run in owners)]
    cached = (run.get("uncached") for run in owners)
    blocks += [block.get("similarity") for block in cached if isinstance(block, dict)]
    return (block for block in blocks if isinstance(block, dict))
