"""What a run took, as a report has it: its stages, seconds, bytes, evaluations and speed-ups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator

from engine.reports.report_fields import Bytes, Count, Part, Positive, Seconds, Text, Whole
from engine.schedules.schedule import MAX_STAGES, MAX_STEPS

StepSeconds = Annotated[tuple[Seconds, ...], Field(max_length=MAX_STEPS, fail_fast=True)]


class StageEntry(Part):
    """Consecutive steps at one resolution."""

    first_step: Count
    last_step: Count
    rate: Annotated[FiniteFloat, Field(gt=0, le=1)]
    width: Count
    height: Count
    latent_width: Count
    latent_height: Count
    tokens: Count

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> StageEntry:
        if self.last_step < self.first_step:
            raise ValueError(f"last_step {self.last_step} lies before first_step {self.first_step}")
        return self


class Latency(Part):
    """Seconds of one run, part by part; null where a part was not reached.

    `repeat_s`: the steps of the baseline's other run, where it was run twice. `beside_s`: steps of full size timed
    beside a track, where the baseline is of another day. `pace`: what all seconds of such a baseline were multiplied
    by, from those. `waited`: the share of the processor time that the run wanted and did not get.
    """

    total_s: Seconds | None = None
    text_s: Seconds | None = None
    condition_s: Seconds | None = None
    denoise_s: Seconds | None = None
    decode_s: Seconds | None = None
    encode_s: Seconds | None = None
    warm_up_s: Seconds | None = None
    load_s: Seconds | None = None
    steps_s: StepSeconds = ()
    repeat_s: StepSeconds = ()
    beside_s: StepSeconds = ()
    pace: Positive | None = None
    waited: Annotated[FiniteFloat, Field(ge=0, le=1)] | None = None
    conditions_s: StepSeconds = ()


class Memory(Part):
    """Peak memory of one run, labelled by what was measured."""

    kind: Literal["cuda", "rss_above_start"]
    peak_bytes: Bytes | None
    reserved_bytes: Bytes | None = None
    steps_bytes: Annotated[tuple[Bytes | None, ...], Field(max_length=MAX_STEPS, fail_fast=True)] = ()
    before_bytes: Bytes | None = None
    decode_bytes: Bytes | None = None
    reason: Text | None = None

    @model_validator(mode="after")
    def _missing_has_a_reason(self) -> Memory:
        if self.peak_bytes is None and not self.reason:
            raise ValueError("a peak that is null needs a reason")
        return self


class Interval(Part):
    """Where the true value lies with 95 % confidence."""

    low: Positive
    high: Positive

    @model_validator(mode="after")
    def _in_order(self) -> Interval:
        if self.high < self.low:
            raise ValueError(f"high {self.high} lies below low {self.low}")
        return self


class Speedup(Part):
    """How many times faster than the baseline of the same report: its denoising loop, and `whole` from prompt to file.

    An interval is null where the run or the baseline was disturbed, and for the baseline.
    """

    measured: Positive | None = None
    interval: Interval | None = None
    whole: Positive | None = None
    whole_interval: Interval | None = None
    by_flops: Positive | None = None


class StageEvaluations(Part):
    """One stage's part of `Evaluations`."""

    computed: Whole
    skipped: Whole


class EvaluationCounts(Part):
    """Forward passes of the transformer in one run (with guidance two a step), counted as they happened.

    `computed`: every part that a cache could replace was computed. `skipped`: something cached stood in for at least
    one of them.
    """

    computed: Whole
    skipped: Whole
    stages: Annotated[tuple[StageEvaluations, ...], Field(max_length=MAX_STAGES, fail_fast=True)] = ()

    @model_validator(mode="after")
    def _adds_up(self) -> EvaluationCounts:
        for name in ("computed", "skipped"):
            total = sum(getattr(stage, name) for stage in self.stages)
            if self.stages and total != getattr(self, name):
                raise ValueError(f"{name} is {getattr(self, name)}, but its stages have {total}")
        return self
