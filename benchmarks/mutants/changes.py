"""The changes: what cosmic-ray's operators make of a file, and the wrong variants that are written down by hand."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from benchmarks.mutants.listed import Listed, Subject

# One of cosmic-ray's eleven replacements an operator: the others mostly raise, and die without a test's merit.
_ARITHMETIC = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "FloorDiv_Div")
_COMPARISON = (
    "Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE",
    "GtE_Gt", "GtE_Lt",
)  # fmt: skip
_OTHER = (
    "NumberReplacer", "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
    "ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Not", "RemoveDecorator", "ExceptionReplacer",
    "ZeroIterationForLoop", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak",
)  # fmt: skip
OPERATORS = (
    *(f"ReplaceBinaryOperator_{pair}" for pair in _ARITHMETIC),
    *(f"ReplaceComparisonOperator_{pair}" for pair in _COMPARISON),
    *_OTHER,
)


@dataclass(frozen=True)
class Mutant:
    """One changed file: its subject, the text as it is and as it would be."""

    subject: Subject
    original: str
    text: str
    wrong: str = ""  # what is wrong about one that was written down by hand

    @cached_property
    def lines(self) -> tuple[str, str]:
        """The lines that the change takes out and those it puts in, without indentation and empty ones."""
        changed = list(difflib.ndiff(self.original.splitlines(), self.text.splitlines()))
        removed, added = ([line[2:].strip() for line in changed if line.startswith(sign)] for sign in "-+")
        return "\n".join(filter(None, removed)), "\n".join(filter(None, added))

    @property
    def name(self) -> str:
        return f"{self.subject.name}: {self.lines[0]} -> {self.lines[1] or 'nothing'}"

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.subject.name}\0{self.text}".encode()).hexdigest()


def mutants_of(subject: Subject, root: Path, listed: Listed) -> list[Mutant]:
    """All changes of one file, each text once. Raises ValueError for one by hand that does not fit exactly once."""
    original = (root / subject.path).read_text("utf-8")
    found: dict[str, Mutant] = {}
    for wrong in listed.wrong:
        if wrong.file == subject.name:
            if original.count(wrong.line) != 1:
                raise ValueError(f"{subject.path} holds {original.count(wrong.line)} times {wrong.line!r}")
            text = original.replace(wrong.line, wrong.becomes)
            found[text] = Mutant(subject, original, text, wrong.what)
    if subject.by_hand_only:
        return list(found.values())
    for text in _by_operators(original):
        found.setdefault(text, Mutant(subject, original, text))
    return list(found.values())


def _by_operators(original: str) -> Iterator[str]:
    """The text with each operator at each place where it fits."""
    nodes: list[Any] = list(ast_nodes(get_ast(original)))
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        for occurrence in range(sum(len(list(operator.mutation_positions(node))) for node in nodes)):
            text = mutate_code(original, operator, occurrence)
            if text is not None and text != original:
                yield text
