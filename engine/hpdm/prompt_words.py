"""Prompts to labels: the model knows words, not sentences. Free of torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Understood:
    """What a prompt says to the model: a label for each condition, 0 for "not said", and the words they came from."""

    labels: tuple[int, ...]
    words: Mapping[str, str]


def understand(prompt: str, conditions: Mapping[str, tuple[str, ...]]) -> Understood:
    """Find the known names in a prompt, the first condition's first; the empty prompt asks for nothing in particular.

    The last word of a name will do where no other name of that condition ends so ("heart" for "red heart"). Raises
    InvalidInput for a prompt that has words but none of the first condition's names.
    """
    left = " ".join(prompt.lower().split())
    labels, words = [], {}
    for condition, names in conditions.items():
        found = _first(left, names)
        labels.append(names.index(found[1]) + 1 if found else 0)
        if found:
            words[condition] = found[1]
            left = re.sub(rf"\b{re.escape(found[0])}\b", " ", left, count=1)
    subject = next(iter(conditions), None)
    if left.strip() and subject is not None and subject not in words:
        known = ", ".join(conditions[subject])
        raise InvalidInput("prompt", f"The prompt {prompt[:60]!r} names no {subject} that this model knows: {known}.")
    return Understood(tuple(labels), words)


def _first(text: str, names: tuple[str, ...]) -> tuple[str, str] | None:
    """The words in the text and the name they stand for: whole names, longest first, then unambiguous last words."""
    ends = [name.split()[-1] for name in names]
    spoken = [(name, name) for name in names]
    spoken += [(end, name) for end, name in zip(ends, names, strict=True) if ends.count(end) == 1]
    for said, name in sorted(spoken, key=lambda pair: -len(pair[0])):
        if re.search(rf"\b{re.escape(said)}\b", text):
            return said, name
    return None
