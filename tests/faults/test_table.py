"""The table of faults cannot rot: the tests it names exist, and those of this folder are named."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in (TESTS.parent / "docs/faults.md").read_text("utf-8").splitlines()
    if re.match(r"\| \d+ \|", line)
]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


@cache
def names_in(file: str) -> set[str]:
    """The names of the tests of a file."""
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {node.name for node in functions if node.name.startswith("test_")}


def test_every_fault_has_its_row():
    assert [row[0] for row in ROWS] == [str(number) for number in range(1, 27)]
    assert {len(row) for row in ROWS} == {4}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_test_that_the_table_names_exists(row):
    named = NAMED.findall(row[3])
    assert len(named) == row[3].count("::") >= 1
    for file, name in named:
        assert name in names_in(file), f"{file} has no {name}"


def test_every_test_of_a_fault_is_named_in_the_table():
    named = {name for row in ROWS for _, name in NAMED.findall(row[3])}
    for path in Path(__file__).parent.glob("test_*.py"):
        if path != Path(__file__):
            assert names_in(f"faults/{path.name}") <= named, path.name
