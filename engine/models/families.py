"""The families: every diffusers pipeline that can follow a schedule, one short entry each, and why others cannot.

An entry says only in what a family differs: how its latents lie in memory, what its calls need beside the prompt. What
depends on the picture's size the pipeline computes itself, as it is called anew at every stage's size. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.errors import InvalidInput

Layout = Literal["video", "frames_first", "channels_last", "image", "packed", "tokens"]
Condition = Literal["image", "last_image", "video"]
Sized = Callable[[tuple[int, int], tuple[int, int]], Mapping[str, Any]]


@dataclass(frozen=True)
class Family:
    """One pipeline class of diffusers, as a run needs to know it."""

    pipeline: str
    layout: Layout = "video"  # of the latents that the pipeline prepares; see engine.layouts
    holds_first: bool = False  # the first frame is a condition's, and the scheduler steps the others alone
    denoisers: tuple[str, ...] = ("transformer",)  # components, the one with the config first
    call: Mapping[str, Any] = field(default_factory=dict)  # arguments of every call
    sized: Sized | None = None  # more of them, from the stage's (height, width) in pixels and the full one
    guidance: str = "guidance_scale"  # what the argument is called
    negative: bool = True  # takes a negative prompt
    text_length: str | None = "max_sequence_length"  # what the argument is called, if there is one
    frames: str = "num_frames"  # what the argument is called; stills take none
    conditions: tuple[Condition, ...] = ()  # images or videos that a call takes beside the prompt
    needs: tuple[Condition, ...] = ()  # those of them that it cannot do without

    @property
    def output(self) -> Literal["video", "image"]:
        return "image" if self.layout in ("image", "packed") else "video"


FAMILIES: Mapping[str, Family] = {
    family.pipeline: family
    for family in (
        Family("WanPipeline", denoisers=("transformer", "transformer_2")),
    )
}  # fmt: skip

# Pipelines that would run along a schedule and be wrong, or cannot at all: the reason, as the end of a sentence.
REFUSED: Mapping[str, str] = {
    "LTXConditionPipeline": "it does not step the latents that it prepares",
}


def family_of(pipeline: object) -> Family:
    """The family of a pipeline class by its name; raises InvalidInput with the reason for one that is refused."""
    name = str(pipeline)[:80]
    if name in FAMILIES:
        return FAMILIES[name]
    why = REFUSED.get(name, "nobody has checked it; docs/models.md says how a family is added")
    raise InvalidInput("model", f"{name} cannot follow a resolution schedule: {why}.")
