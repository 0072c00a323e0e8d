"""The errors that people see, as a tree.

ResoluteError            anything this project refuses or fails at, with one sentence for a person
├─ InvalidInput          a value from a person, a file or a link is not usable (exit code 2)
├─ ModelNotFound         a model is not where it was looked for, or not fit to be loaded (exit code 2)
├─ UnsupportedPipeline   a pipeline or scheduler cannot follow a resolution schedule
├─ RunFailed             a run stopped by itself: out of memory, not finite
└─ Cancelled             a run was stopped by its owner
   └─ Skipped            ... and the other runs of the comparison go on
"""

from __future__ import annotations


class ResoluteError(Exception):
    """Base of all errors whose text is meant for a person."""


class InvalidInput(ResoluteError):
    """A value is not usable: the sentence names the field, the value and the remedy.

    `field` is the name the person used (a JSON key, an option), for interfaces that mark fields.
    """

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class ModelNotFound(ResoluteError):
    """A model is not where it was looked for, or cannot be loaded from there; the sentence says what was tried."""


class UnsupportedPipeline(ResoluteError):
    """A pipeline or scheduler cannot follow a schedule without silent errors; the sentence says why."""


class RunFailed(ResoluteError):
    """A run stopped by itself; `step` is the 1-based step that failed, None outside the loop."""

    def __init__(self, sentence: str, step: int | None = None) -> None:
        super().__init__(sentence)
        self.step = step


class Cancelled(ResoluteError):
    """A run was stopped by its owner."""


class Skipped(Cancelled):
    """One run of a comparison was stopped by its owner; the others go on."""
