"""How like a run is to another, as a report has it: all metrics, beside an uncached twin, band by band."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, FiniteFloat, model_validator

from engine.measuring.similarity import Metric, missing, no_similarity
from engine.reports.report_fields import Count, Name, NotNegative, Part, Positive
from engine.schedules.schedule import MAX_STEPS

MAX_BANDS = 64

NOT_POOLED = missing("not in reports of before it was kept: see the mean over the frames")


class Similarity(Part):
    """Similarity to the baseline, which is not quality. Built by `Similarity(**similarity(...))`."""

    psnr: Metric
    psnr_pooled: Metric = NOT_POOLED
    ssim: Metric
    ms_ssim: Metric
    vmaf: Metric
    xpsnr: Metric
    flicker: Metric
    lpips: Metric

    @classmethod
    def missing(cls, reason: str) -> Similarity:
        """All metrics null for one reason."""
        return cls(**no_similarity(reason))

    @property
    def closeness(self) -> Metric:
        """The PSNR that says how close a run is: of all frames; the mean over frames in reports that hold no other."""
        return self.psnr if self.psnr_pooled.mean is None else self.psnr_pooled

    def metrics(self) -> dict[str, Metric]:
        """The metrics by name, in the order of the schema."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class Uncached(Part):
    """Similarity of a run with a cache to the same schedule without, if that ran: `run` is its name."""

    run: Name | None
    similarity: Similarity


class Bands(Part):
    """At which step each band of spatial detail settled. Bands lie between `edges`, shares of the Nyquist frequency.

    `error[k][i]`: energy of the difference between the guess after step i + 1 and the final latents, in band k, over
    the band's energy in the final latents. `settled[k]`: the step from which it stays at or under `threshold`.
    """

    edges: Annotated[tuple[FiniteFloat, ...], Field(max_length=MAX_BANDS + 1, fail_fast=True)]
    threshold: Positive
    settled: Annotated[tuple[Count, ...], Field(max_length=MAX_BANDS, fail_fast=True)]
    error: Annotated[
        tuple[Annotated[tuple[NotNegative, ...], Field(max_length=MAX_STEPS, fail_fast=True)], ...],
        Field(max_length=MAX_BANDS, fail_fast=True),
    ]

    @model_validator(mode="after")
    def _one_a_band(self) -> Bands:
        if not len(self.edges) - 1 == len(self.settled) == len(self.error):
            raise ValueError("settled and error need one entry for each band between two edges")
        return self
