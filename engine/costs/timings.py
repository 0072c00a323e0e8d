"""What has been measured of one model on one machine: seconds and bytes by size, kept small and robust.

Each figure is a list of recent values, one a run; what is read is their median, so that one bad run moves nothing.
Sizes are written "height x width": latent cells for steps, pixels for decoding and writing.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from engine.models.catalogue import ModelSpec
from engine.reports.run_costs import StageEntry
from engine.reports.schema import Environment, Run

MAX_JITTER = 1.5  # what interrupts a run more than this is not the machine's ordinary noise
KEPT = 9  # recent values a figure: odd, so that the median is one of them
HW = tuple[int, int]
Values = tuple[Annotated[FiniteFloat, Field(ge=0)], ...]
BySize = dict[str, Values]


@dataclass(frozen=True)
class Probe:
    """A few timed steps at a latent size; `first_s` is the one right after a switch to it, not among `seconds`.

    `condition_s` is what came before the stage's loop.
    """

    size: HW
    seconds: tuple[float, ...]
    first_s: float | None = None
    condition_s: float | None = None


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TimingKey(_Frozen):
    """What must be equal for times to be comparable: the workload, and what it runs on."""

    model: str
    frames: int
    guided: bool
    text_tokens: int
    device: str
    dtype: str
    threads: int | None
    conditions: tuple[str, ...] = ()

    @property
    def workload(self) -> str:
        """The part that is known before a device is: model, frames, guidance on or off, text length, conditions."""
        return workload(self.model, self.frames, self.guided, self.text_tokens, self.conditions)

    @property
    def text(self) -> str:
        """The whole key as one line."""
        return f"{self.workload} on {self.device}, {self.dtype}, {self.threads or 'no'} threads"


def workload(model: str, frames: int, guided: bool, text_tokens: int, conditions: Sequence[str] = ()) -> str:
    """What is run, as one line to look timings up by. `conditions` are the roles of pictures and videos."""
    given = f", with {' and '.join(sorted(conditions))}" if conditions else ""
    return f"{model}, {frames} frames, {'guided' if guided else 'unguided'}, {text_tokens} text tokens{given}"


def workload_of(spec: ModelSpec, frames: int, guidance: float, conditions: Sequence[str] = ()) -> str:
    """The workload of a model with its own text length."""
    return workload(spec.id, frames, guidance > 1, spec.defaults.max_sequence_length, conditions)


def timing_key(
    spec: ModelSpec, frames: int, guidance: float, environment: Environment | None, conditions: Sequence[str] = ()
) -> TimingKey:
    """The key of a model's runs in an environment (`Report.environment`); None where it is not known yet."""
    return TimingKey(
        model=spec.id,
        frames=frames,
        guided=guidance > 1,
        text_tokens=spec.defaults.max_sequence_length,
        device=", ".join((environment.device_name or environment.device, *environment.loading))
        if environment
        else "unknown",
        dtype=environment.dtype if environment else "unknown",
        threads=environment.threads if environment else None,
        conditions=tuple(sorted(conditions)),
    )


def _other_levels(run: Run) -> bool:
    """Whether a run by levels was another than the plain one, whose steps are not comparable."""
    if run.levels is None:
        return False
    return run.name != "baseline"


class Timings(_Frozen):
    """Measured values of one key. JSON: `model_dump_json` and `model_validate_json`; new ones by the `with_` methods.

    `steps`: seconds of an undisturbed denoising step, guidance included, the first of each stage left out. `jitter`:
    how many times longer a run's steps took together than undisturbed ones would have. `starts` and `switches`: by how
    much the first step of a run, and of a stage after a switch, is longer than its stage's others (0 or more).
    `conditions`: seconds of what a stage takes before its steps.
    `step_bytes` and `peak_bytes`: memory peaks of a step and of a whole run, as the report measures them.
    """

    key: TimingKey
    steps: BySize = {}
    jitter: Values = ()
    starts: Values = ()
    switches: Values = ()
    text: Values = ()
    conditions: BySize = {}
    decode: BySize = {}
    encode: BySize = {}
    step_bytes: BySize = {}
    peak_bytes: BySize = {}
    runs: int = 0

    def with_run(self, run: Run) -> Timings:
        """These and a finished run's of the same key; itself where it is not done, was disturbed, or had a cache."""
        latency, full = run.latency, run.stages[-1] if run.stages else None
        if (
            run.status != "done"
            or run.disturbed
            or run.cache is not None
            or _other_levels(run)
            or full is None
            or len(latency.steps_s) != full.last_step
        ):
            return self
        pixels = hw_text((full.height, full.width))
        found: dict[str, object] = {"runs": self.runs + 1}
        if latency.text_s is not None:
            found["text"] = _kept(self.text, latency.text_s)
        for name, value in (
            ("decode", latency.decode_s),
            ("encode", latency.encode_s),
            ("peak_bytes", run.memory.peak_bytes),
        ):
            if value is not None:
                found[name] = _with(getattr(self, name), pixels, float(value))
        result = self.model_copy(update=found)
        for stage, seconds in zip(run.stages, latency.conditions_s, strict=False):  # reports of before have none
            result = result._with_conditions((stage.latent_height, stage.latent_width), seconds)
        largest, spent, undisturbed = 0, 0.0, 0.0
        for stage in run.stages:
            window = slice(stage.first_step - 1, stage.last_step)
            result = result._with_stage(stage, latency.steps_s[window])
            rest = latency.steps_s[window][1:]
            spent, undisturbed = spent + sum(rest), undisturbed + len(rest) * (undisturbed_s(rest) if rest else 0)
            # A process keeps what a larger stage took: its resident set says nothing of a smaller one after it.
            if run.memory.kind == "cuda" or stage.tokens >= largest:
                result = result._with_bytes(stage, run.memory.steps_bytes[window])
            largest = max(largest, stage.tokens)
        if undisturbed:
            jitter = min(spent / undisturbed, MAX_JITTER)
            result = result.model_copy(update={"jitter": _kept(self.jitter, jitter)})
        return result

    def with_probe(
        self, size: HW, seconds: Sequence[float], first_s: float | None = None, condition_s: float | None = None
    ) -> Timings:
        """These and a probe's steps at a latent size; `first_s` is the step right after a switch to it.

        One step alone says too little of a size: it only weighs the switch.
        """
        if condition_s is not None:
            return self._with_conditions(size, condition_s).with_probe(size, seconds, first_s)
        if not seconds:
            return self
        typical, found = undisturbed_s(seconds), dict[str, object]()
        if len(seconds) > 1:
            found["steps"] = _with(self.steps, hw_text(size), typical)
        if first_s is not None:
            found["switches"] = _kept(self.switches, max(0.0, first_s - typical))
        return self.model_copy(update=found)

    def with_probes(self, probes: Sequence[Probe]) -> Timings:
        """These and all probes of a calibration."""
        result = self
        for probe in probes:
            result = result.with_probe(probe.size, probe.seconds, probe.first_s, probe.condition_s)
        return result

    def has(self, size: HW) -> bool:
        """Whether a latent size has been measured."""
        return hw_text(size) in self.steps

    def step_seconds(self) -> dict[HW, float]:
        """Seconds that a step takes in a run, on average, by latent (height, width): interruptions included."""
        jitter = statistics.median(self.jitter) if self.jitter else 1.0
        return {size: seconds * jitter for size, seconds in _medians(self.steps).items()}

    def step_memory(self) -> dict[HW, float]:
        """Median peak bytes of a step by latent (height, width)."""
        return _medians(self.step_bytes)

    def condition_seconds(self, size: HW) -> float:
        """What a stage of a latent size takes before its steps; 0 where no run has said it."""
        return by_area(self.conditions, size)[0] or 0.0

    def _with_conditions(self, size: HW, seconds: float) -> Timings:
        return self.model_copy(update={"conditions": _with(self.conditions, hw_text(size), seconds)})

    def _with_stage(self, stage: StageEntry, seconds: Sequence[float]) -> Timings:
        if len(seconds) < 2:  # a first step alone says nothing of the others
            return self
        typical = undisturbed_s(seconds[1:])
        name = "switches" if stage.first_step > 1 else "starts"
        return self.model_copy(
            update={
                "steps": _with(self.steps, hw_text((stage.latent_height, stage.latent_width)), typical),
                name: _kept(getattr(self, name), max(0.0, seconds[0] - typical)),
            }
        )

    def _with_bytes(self, stage: StageEntry, counts: Sequence[int | None]) -> Timings:
        known = [float(count) for count in counts if count is not None]
        if not known:
            return self
        size = hw_text((stage.latent_height, stage.latent_width))
        return self.model_copy(update={"step_bytes": _with(self.step_bytes, size, max(known))})


def undisturbed_s(seconds: Sequence[float]) -> float:
    """What a step takes when nothing interrupts it: a quarter up from the fastest, of three or fewer the fastest."""
    return sorted(seconds)[len(seconds) // 4]


def hw_text(size: HW) -> str:
    """(height, width) as the key of a mapping."""
    return f"{size[0]}x{size[1]}"


def _medians(values: BySize) -> dict[HW, float]:
    return {_hw(size): statistics.median(found) for size, found in values.items()}


def by_area(values: Mapping[str, Values], size: HW) -> tuple[float | None, bool]:
    """The median at a size, and whether it was measured there; else scaled by area from the nearest size."""
    area = size[0] * size[1]
    exact = values.get(hw_text(size))
    if exact:
        return statistics.median(exact), True
    areas = {key: _hw(key)[0] * _hw(key)[1] for key, found in values.items() if found}
    if not areas:
        return None, False
    near = min(areas, key=lambda key: abs(areas[key] - area))
    return statistics.median(values[near]) * area / areas[near], False


def _hw(text: str) -> HW:
    height, width = text.split("x")
    return int(height), int(width)


def _kept(values: Values, value: float) -> Values:
    return (*values, value)[-KEPT:]


def _with(values: BySize, size: str, value: float) -> BySize:
    return {**values, size: _kept(values.get(size, ()), value)}
