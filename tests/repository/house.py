"""The measures of the house: lines of files and functions, attributes of classes. `make house` prints what is over.

What is over a limit for a reason says so: `over the limit: WHY` in a comment on the line of the `class`, `def` or
JavaScript function, or within the first five lines of a file.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("app.py", "engine", "ui", "training", "benchmarks", "tests")
WRITTEN = (".py", ".js", ".css", ".j2")  # by hand; data and documents are not counted
LINES, FUNCTION_LINES, ATTRIBUTES = 350, 60, 12
REASON = "over the limit: "
JAVASCRIPT = re.compile(  # the first line of a function that has more than one
    r"""^(?P<indent>\ *)(?:export\ )?(?:
        (?:async\ )?function\*?\ (?P<declared>\w+)\(
      | (?:const|let)\ (?P<arrow>\w+)\ =\ (?:async\ )?(?:\([^()]*\)|\w+)\ =>
      | (?:(?:async|static|get|set)\ )*(?!(?:if|for|while|switch|catch)\b)(?P<method>\w+)\(.*\)\ \{$
    )(?!.*[;}]$)""",
    re.VERBOSE,
)


def files() -> Iterator[Path]:
    """Every file of ours that is written by hand."""
    for name in FOLDERS:
        place = ROOT / name
        yield from sorted(p for p in ([place] if place.is_file() else place.rglob("*")) if p.suffix in WRITTEN)


def over(path: Path) -> Iterator[str]:
    """What of a file is over a limit without a reason, one sentence each."""
    text = path.read_text("utf-8")
    lines, name = text.splitlines(), path.relative_to(ROOT)
    if len(lines) > LINES and not any(REASON in line for line in lines[:5]):
        yield f"{name}: {len(lines)} lines, at most {LINES}"
    if path.suffix == ".js":
        for number, function, length in javascript_functions(lines):
            if length > FUNCTION_LINES and REASON not in lines[number - 1]:
                yield f"{name}:{number}: {function} has {length} lines, at most {FUNCTION_LINES}"
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(text)):
        if (
            not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            or REASON in lines[node.lineno - 1]
        ):
            continue
        if isinstance(node, ast.ClassDef):
            if (count := len(attributes(node))) > ATTRIBUTES:
                yield f"{name}:{node.lineno}: {node.name} sets {count} attributes, at most {ATTRIBUTES}"
        elif (length := node.end_lineno - node.lineno + 1) > FUNCTION_LINES:  # type: ignore[operator]
            yield f"{name}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES}"


def javascript_functions(lines: list[str]) -> Iterator[tuple[int, str, int]]:
    """Named functions and methods of a script: the line each begins on, counted from 1, its name and its lines.

    The code is formatted, so a function ends where its own indentation comes back.
    """
    for start, line in enumerate(lines):
        if found := JAVASCRIPT.match(line):
            deeper, end = found["indent"] + " ", start + 1
            while end < len(lines) and (
                not lines[end].strip() or lines[end].startswith((deeper, found["indent"] + ")"))
            ):
                end += 1
            yield start + 1, found["declared"] or found["arrow"] or found["method"], end - start + 1


def attributes(node: ast.ClassDef) -> set[str]:
    """The attributes that a class sets on itself in `__init__`."""
    starts = [method for method in node.body if isinstance(method, ast.FunctionDef) and method.name == "__init__"]
    return {
        target.attr
        for start in starts
        for target in ast.walk(start)
        if isinstance(target, ast.Attribute)
        and isinstance(target.ctx, ast.Store)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    }


def main() -> int:
    """Print what is over and how large the house is; 1 where something is over."""
    every = list(files())
    found = [sentence for path in every for sentence in over(path)]
    print(*found, sep="\n", end="\n" if found else "")
    count = sum(len(path.read_text("utf-8").splitlines()) for path in every)
    print(f"{len(every)} files, {count:,} lines; {len(found)} over a limit without a reason")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
