"""Docs that cannot rot: what they name must exist, and what exists must be named."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import typer

from engine.cli.commands import app
from engine.experiments.presets import preset_names
from engine.switching.policies import POLICIES

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "weights").glob("*/*.md")),
]
README = (ROOT / "README.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text("utf-8")
FOLDERS = "engine|ui|tests|benchmarks|training|presets|weights|docs"
PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w./*-]*\w")  # a file or folder of the repository; * stands for any
MODULE = re.compile(r"(?<![\w./-])(?:engine|ui|tests|benchmarks|training)(?:\.(?!md\b)\w+)+")  # or a name in one
LOOSE = ("ui/NAME/NAME",)  # patterns, not paths
OF_OTHERS = ("wan_t2v_", "wan_i2v_")  # files of Wan's own repository


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_repository_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_of_the_repository_that_a_page_names_exists(page):
    """Also outside of links: `engine/x/y.py`, `presets/`."""
    places = (ROOT, ROOT / "tests") if page.name == "faults.md" else (ROOT,)
    found = {path for path in PATH.findall(page.read_text("utf-8")) if not path.startswith(LOOSE)}
    assert [path for path in sorted(found) if not any(any(place.glob(path)) for place in places)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "moved.md"], ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page):
    assert [name for name in sorted(set(MODULE.findall(page.read_text("utf-8")))) if not is_there(name)] == []


def test_every_module_that_things_moved_to_exists():
    rows = re.findall(r"^\| `[\w.]+` \| (.*) \|$", (ROOT / "docs/moved.md").read_text("utf-8"), re.MULTILINE)
    modules = [name for row in rows for name in MODULE.findall(row)]
    assert len(modules) > 100
    assert [name for name in modules if not is_there(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_code_on_a_page_imports_exists(page):
    lines = re.findall(r"^from ((?:engine|ui)\b[\w.]*) import ([\w, ]+)", page.read_text("utf-8"), re.MULTILINE)
    names = [f"{module}.{name.split(' as ')[0].strip()}" for module, some in lines for name in some.split(",")]
    assert [name for name in names if not is_there(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_without_its_folder_is_somewhere(page):
    ours = {path.name for folder in FOLDERS.split("|") for path in (ROOT / folder).rglob("*.py")} | {"app.py"}
    named = set(re.findall(r"`(\w+\.py)`", page.read_text("utf-8")))
    assert [name for name in sorted(named - ours) if not name.startswith(OF_OTHERS)] == []


def is_there(name: str) -> bool:
    """Whether a dotted name is a package or a module, or a name that stands in one."""
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        place = ROOT.joinpath(*parts[:length])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if file.is_file():
            return all(re.search(rf"\b{part}\b", file.read_text("utf-8")) for part in parts[length:])
    return False


def test_twenty_questions_are_answered_by_files():
    rows = re.findall(r"^\| ([^|]+\?) \| (.*) \|$", ARCHITECTURE, re.MULTILINE)
    assert len(rows) >= 20
    assert [question for question, answer in rows if not PATH.search(answer)] == []


def test_every_package_is_in_the_picture():
    picture = ARCHITECTURE.split("## ")[0]
    for place in sorted((ROOT / "engine").iterdir()):
        if (place / "__init__.py").is_file():
            assert f"{place.name}/" in picture, place.name


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_is_explained(policy):
    assert f"`{policy}`" in (ROOT / "docs/theory.md").read_text("utf-8")
    assert f"`{policy}`" in README


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_listed_in_the_readme(preset):
    assert f"`{preset}`" in README


STUDIED = [  # cells whose mean PSNR the readme gives
    "0.75@50%|anchored|20|1",
    "0.5@50%|anchored|20|1",
    "1/0.75@20%/70%|anchored|20|1",
    "flat|-|20|1|other seed",
    "flat|-|15|1",
    "flat|-|12|1",
]


@pytest.mark.parametrize("cell", STUDIED)
def test_the_readmes_closeness_is_what_the_study_found_on_at_least_forty_prompts(cell):
    with (ROOT / "docs/fidelity.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["cell"], row["figure"]) == (cell, "psnr_pooled")]
    (row,) = rows
    assert int(row["prompts"]) >= 40
    assert f"{float(row['mean']):.1f}" in README.split("## How a switch is made")[1].split("## From Python")[0]


def test_every_option_of_compare_is_listed_in_the_readme():
    command = typer.main.get_command(app).commands["compare"]
    for parameter in command.params:
        assert any(f"`{option}" in README for option in parameter.opts), parameter.opts


@pytest.mark.parametrize("target", ["make demo", "make test", "make setup", "make train"])
def test_every_make_target_of_the_readme_exists(target):
    assert target in README
    assert re.search(rf"^{target.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_test_and_every_case_that_the_page_on_security_names_exists():
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"(test_\w+?)(?:\[([^\]`]+)\])?`", page)
    assert len(named) > 10
    for name, case in named:
        assert f"def {name}(" in tests, name
        assert not case or f'"{case}": (' in tests, case
