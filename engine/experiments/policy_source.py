"""A policy's source with all that it calls, cut out of `engine/switching` as text: nothing is imported for it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SWITCHING = Path(__file__).parents[1] / "switching"
_FILES = ("noise_field.py", "resample.py", "anchor.py", "sigma_tables.py", "switches.py")
Import = tuple[str, str, str]  # module, name or "" for the module itself, and what a script calls it


@dataclass(frozen=True)
class _Definition:
    """A function, class or constant. `members` are a class's own definitions, which may be left out."""

    name: str  # as others mention it: a member's begins with a dot
    lines: tuple[str, ...]  # of the file
    node: ast.stmt
    members: tuple[_Definition, ...] = ()

    def words(self, named: set[str]) -> set[str]:
        """All names that it mentions, those of unneeded members left out."""
        inside = {id(part) for member in self.members if not member.needed(named) for part in ast.walk(member.node)}
        return set(_words(part for part in ast.walk(self.node) if id(part) not in inside))

    def needed(self, named: set[str]) -> bool:
        return self.name in named or self.name.startswith(".__")

    def text(self, named: set[str]) -> str:
        """Its lines, unneeded members cut out with the blank lines before them."""
        first, last = _span(self.node)
        left_out: set[int] = set()
        for member in self.members:
            if not member.needed(named):
                start, end = _span(member.node)
                while not self.lines[start - 1].strip():
                    start -= 1
                left_out |= set(range(start, end))
        return "\n".join(self.lines[k] for k in range(first, last) if k not in left_out)


def fields_used(policy: str) -> list[str]:
    """What of a `Switch` a policy reads: the fields that a script has to give it, in their order."""
    named = _named({policy})
    switch = next(one for one in _definitions() if one.name == "Switch")
    fields = (member for member in switch.members if isinstance(member.node, ast.AnnAssign))
    return [field.name[1:] for field in fields if field.needed(named)]


def definitions(script: str) -> str:
    """The definitions of `engine/switching` that a script's lines need, in the order of the files."""
    named = _named(set(_words(ast.walk(ast.parse(script)))))
    return "\n\n\n".join(one.text(named) for one in _definitions() if one.needed(named))


def import_lines(script: str, own: Iterable[Import]) -> list[str]:
    """Import statements, sorted, for a script's own modules and for those that the definitions in it need."""
    words = set(_words(ast.walk(ast.parse(script))))
    wanted = {*own, *(one for one in _imports() if one[2] in words)}
    groups = (
        [one for one in wanted if (one[0].split(".")[0] in sys.stdlib_module_names) is own] for own in (True, False)
    )
    return [line for group in groups for line in [*_written(group), ""]][:-1]


def _written(group: list[Import]) -> Iterator[str]:
    """`import` before `from`, as isort has it."""
    for module, name, called in sorted(group):
        if not name:
            yield f"import {module}" + ("" if called == module else f" as {called}")
    for module in sorted({module for module, name, _ in group if name}):
        names = sorted(name for source, name, _ in group if source == module and name)
        yield f"from {module} import {', '.join(names)}"


def _named(named: set[str]) -> set[str]:
    """Names with all that the definitions behind them mention in turn."""
    while True:
        more = named.union(*(one.words(named) for one in _definitions() if one.needed(named)))
        if more == named:
            return named
        named = more


def _words(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield f".{node.attr}"


@cache
def _definitions() -> tuple[_Definition, ...]:
    return tuple(one for file in _FILES for one in _defined(*_read(file)))


@cache
def _imports() -> tuple[Import, ...]:
    """What the files import from elsewhere."""
    found: list[Import] = []
    for file in _FILES:
        for node in _read(file)[0].body:
            if isinstance(node, ast.Import):
                found += [(one.name, "", one.asname or one.name) for one in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] != "engine":
                found += [(node.module, one.name, one.name) for one in node.names]
    return tuple(found)


def _read(file: str) -> tuple[ast.Module, tuple[str, ...]]:
    text = (_SWITCHING / file).read_text("utf-8")
    return ast.parse(text), tuple(text.splitlines())


def _defined(owner: ast.Module | ast.ClassDef, lines: tuple[str, ...]) -> Iterator[_Definition]:
    dot = "." * isinstance(owner, ast.ClassDef)
    for node in owner.body:
        if isinstance(node, ast.ClassDef):
            yield _Definition(dot + node.name, lines, node, tuple(_defined(node, lines)))
        elif isinstance(node, ast.FunctionDef):
            yield _Definition(dot + node.name, lines, node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            yield _Definition(dot + ast.unparse(target), lines, node)


def _span(node: ast.stmt) -> tuple[int, int]:
    """First line, decorators included, and the one after the last, counted from 0."""
    above = [decorator.lineno for decorator in getattr(node, "decorator_list", [])]
    assert node.end_lineno is not None
    return min([node.lineno, *above]) - 1, node.end_lineno
