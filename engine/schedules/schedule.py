"""Resolution schedules: which denoising steps run at which fraction of the full latent resolution.

A schedule is what LightX2V writes as `resolution_rate` + `changing_resolution_steps`: N rates and N switch steps make
N + 1 stages, steps count from 1, a switch step is the last one at its rate, and the last stage always has rate 1.0.
Everything here is parsed once and frozen; past this file no code checks a rate or a step again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

from engine.checked import is_integer, is_number
from engine.errors import InvalidInput
from engine.strict_json import shown

MAX_STEPS = 1000
MAX_STAGES = 32

ScheduleKind = Literal["flat", "two-stage", "U-shaped", "multi-stage"]


@dataclass(frozen=True)
class Stage:
    """A run of steps at one rate; `first` and `last` count from 1 and are both inside the stage."""

    index: int
    rate: float
    first: int
    last: int

    @property
    def steps(self) -> int:
        return self.last - self.first + 1

    @property
    def window(self) -> slice:
        """The stage's steps as a 0-based slice of the whole run."""
        return slice(self.first - 1, self.last)


@dataclass(frozen=True)
class ResolutionSchedule:
    """`infer_steps` denoising steps, the first `switch_steps[0]` of them at `rates[0]`, and so on, the rest at 1.0.

    Build it with `parse_schedule` (or `flat`): the fields are checked there.
    """

    infer_steps: int
    rates: tuple[float, ...] = ()
    switch_steps: tuple[int, ...] = ()

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        ends = (*self.switch_steps, self.infer_steps)
        starts = (0, *self.switch_steps)
        rates = (*self.rates, 1.0)
        spans = zip(rates, starts, ends, strict=True)
        return tuple(Stage(k, rate, start + 1, end) for k, (rate, start, end) in enumerate(spans))

    @property
    def kind(self) -> ScheduleKind:
        """The shape of the rate over the steps; neighbouring stages of one rate count as one."""
        levels = [stage.rate for stage in self.stages]
        levels = [rate for k, rate in enumerate(levels) if k == 0 or rate != levels[k - 1]]
        if len(levels) == 1:
            return "flat"
        if len(levels) == 2:
            return "two-stage"
        return "U-shaped" if len(levels) == 3 and levels[0] == 1.0 else "multi-stage"

    @property
    def is_flat(self) -> bool:
        return self.kind == "flat"

    def rate_at(self, step: int) -> float:
        """The rate of a step, counted from 1."""
        return next(stage.rate for stage in self.stages if stage.first <= step <= stage.last)

    def with_steps(self, infer_steps: int) -> ResolutionSchedule:
        """The same shape over another number of steps: switch steps scale and are rounded to the nearest step.

        Raises InvalidInput where two switches would fall onto one step or a stage would vanish.
        """
        checked_steps(infer_steps)
        if infer_steps == self.infer_steps:
            return self
        scaled = [math.floor(step * infer_steps / self.infer_steps + 0.5) for step in self.switch_steps]
        if any(later <= earlier for earlier, later in pairwise([0, *scaled, infer_steps])):
            raise InvalidInput(
                "infer_steps",
                f"{self} does not fit into infer_steps {infer_steps}: its switch steps would become {scaled}; "
                f"use at least {self._fewest_steps()} steps.",
            )
        return ResolutionSchedule(infer_steps, self.rates, tuple(scaled))

    def _fewest_steps(self) -> int:
        shortest = min(stage.steps for stage in self.stages)
        return math.ceil(self.infer_steps / shortest)

    def __str__(self) -> str:
        if not self.switch_steps:
            return f"flat 1.0 over {self.infer_steps}"
        rates = "/".join(f"{stage.rate:g}" for stage in self.stages)
        return f"{self.kind} {rates} @ {'/'.join(map(str, self.switch_steps))} of {self.infer_steps}"


def flat(infer_steps: int) -> ResolutionSchedule:
    """The baseline: every step at full resolution."""
    return ResolutionSchedule(checked_steps(infer_steps))


def parse_schedule(
    infer_steps: object, resolution_rate: object = (), changing_resolution_steps: object = ()
) -> ResolutionSchedule:
    """Check untrusted values and make a schedule of them.

    Ranges: `infer_steps` an integer in 1..1000; every rate a number above 0 and at most 1; switch steps strictly
    increasing integers in 1..infer_steps-1; equally many of both, at most 31. Raises InvalidInput naming the field,
    the value and the legal range.
    """
    steps = checked_steps(infer_steps)
    rates = _sequence("resolution_rate", resolution_rate)
    switches = _sequence("changing_resolution_steps", changing_resolution_steps)
    if len(rates) != len(switches):
        raise InvalidInput(
            "changing_resolution_steps",
            f"resolution_rate has {len(rates)} entries and changing_resolution_steps has {len(switches)}; "
            "they need equally many: one switch step for every rate (the last stage, 1.0, is not listed).",
        )
    parsed_rates = tuple(checked_rate(rate, f"resolution_rate[{k}]") for k, rate in enumerate(rates))
    parsed_switches: list[int] = []
    for k, step in enumerate(switches):
        parsed_switches.append(_checked_switch(step, k, steps, parsed_switches))
    return ResolutionSchedule(steps, parsed_rates, tuple(parsed_switches))


def checked_steps(value: object) -> int:
    """An `infer_steps` from outside: an integer in 1..1000."""
    if not is_integer(value):
        raise InvalidInput("infer_steps", f"infer_steps is {_named(value)}; it must be an integer in 1..{MAX_STEPS}.")
    if not 1 <= value <= MAX_STEPS:
        raise InvalidInput("infer_steps", f"infer_steps is {_named(value)}; the legal range is 1..{MAX_STEPS}.")
    return value


def own_steps(value: object) -> int | None:
    """The number of steps that a track has of its own, from outside: an integer in 1..1000, or None for none."""
    if value is None:
        return None
    if not is_integer(value) or not 1 <= value <= MAX_STEPS:
        raise InvalidInput(
            "steps", f"steps of a track is {_named(value)}; leave it out, or give an integer in 1..{MAX_STEPS}."
        )
    return value


def checked_rate(value: object, field: str) -> float:
    """A resolution rate from outside: a number above 0 and at most 1 (booleans, strings, NaN and inf are refused)."""
    if not is_number(value):
        raise InvalidInput(field, f"{field} is {_named(value)}; it must be a number above 0 and at most 1.")
    if not 0 < value <= 1:  # NaN fails both comparisons
        nearest = "; the nearest legal value is 1.0" if value > 1 else ""
        raise InvalidInput(field, f"{field} is {_named(value)}; it must be above 0 and at most 1{nearest}.")
    return float(value)


def _checked_switch(value: object, k: int, infer_steps: int, earlier: Sequence[int]) -> int:
    field = f"changing_resolution_steps[{k}]"
    if infer_steps == 1:
        raise InvalidInput(
            field,
            f"{field} is {_named(value)}, but infer_steps 1 leaves no room for a switch; use at least 2 steps.",
        )
    legal = f"an integer in 1..{infer_steps - 1} (infer_steps - 1)"
    if not is_integer(value):
        raise InvalidInput(field, f"{field} is {_named(value)}; it must be {legal}.")
    if not 1 <= value < infer_steps:
        nearest = 1 if value < 1 else infer_steps - 1
        raise InvalidInput(field, f"{field} is {_named(value)}; it must be {legal}, the nearest is {nearest}.")
    if earlier and value <= earlier[-1]:
        said = "repeats" if value == earlier[-1] else "comes before"
        raise InvalidInput(
            field,
            f"{field} is {value}, which {said} the switch at {earlier[-1]}; switch steps must increase.",
        )
    return value


def _sequence(field: str, value: object) -> Sequence[object]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InvalidInput(field, f"{field} is {_named(value)}; it must be a list.")
    if len(value) >= MAX_STAGES:
        raise InvalidInput(field, f"{field} has {len(value)} entries; at most {MAX_STAGES - 1} are allowed.")
    return value


def _named(value: object) -> str:
    """A refused value as it stands in a message: what it is, and its type where that is the fault."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f'the string "{shown(value)}"'
    if isinstance(value, list | tuple | dict):
        return f"a {'list' if not isinstance(value, dict) else 'dict'} ({shown(value)})"
    return shown(value)
