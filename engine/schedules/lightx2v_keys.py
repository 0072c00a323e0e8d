"""LightX2V's config files: read and written exactly, keys that we do not know kept as they are.

Semantics and defaults follow ModelTC/LightX2V, `lightx2v/models/schedulers/wan/changing_resolution/scheduler.py`:
N rates and N switch steps, steps counted from 1, a last stage of 1.0 added; rate `[0.75]` and switch
`[infer_steps // 2]` where a key is missing. Refused here although LightX2V starts them: a switch at `infer_steps` (it
computes the whole run, then crashes) and `infer_steps: 1` (it returns a low-resolution video).

Of its caches TeaCache is read and written: `feature_caching: "Tea"` with `teacache_thresh`, `use_ret_steps` and
`coefficients` (one polynomial for `use_ret_steps` true and one for false, where left out the model's own).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine import strict_json
from engine.errors import InvalidInput
from engine.schedules.schedule import ResolutionSchedule, checked_steps, flat, parse_schedule

SCHEDULE_KEYS = ("infer_steps", "changing_resolution", "resolution_rate", "changing_resolution_steps")


def schedule_of(document: Mapping[str, Any]) -> ResolutionSchedule:
    """The schedule in a LightX2V document, with LightX2V's defaults."""
    if "infer_steps" not in document:
        raise InvalidInput("infer_steps", "infer_steps is missing; it must be an integer in 1..1000.")
    steps = checked_steps(document["infer_steps"])
    changing = document.get("changing_resolution", False)
    if not isinstance(changing, bool):
        raise InvalidInput(
            "changing_resolution",
            f"changing_resolution is {strict_json.shown(changing)}; it must be true or false.",
        )
    if not changing:
        return flat(steps)
    return parse_schedule(
        steps,
        document.get("resolution_rate", [0.75]),
        document.get("changing_resolution_steps", [steps // 2]),
    )


def export(schedule: ResolutionSchedule, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A LightX2V document that carries `schedule`; every other key of `document` is kept untouched.

    Where `document` already means this schedule it is returned as it is, defaults and all.
    """
    result = dict(document or {})
    if result and schedule_of(result) == schedule:
        return result
    result["infer_steps"] = schedule.infer_steps
    result["changing_resolution"] = bool(schedule.switch_steps)
    if schedule.switch_steps:
        result["resolution_rate"] = list(schedule.rates)
        result["changing_resolution_steps"] = list(schedule.switch_steps)
    else:
        result.pop("resolution_rate", None)
        result.pop("changing_resolution_steps", None)
    return result
