"""Docs that cannot rot: what they name must exist, and what exists must be named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from engine.cli.commands import app
from engine.experiments.presets import preset_names
from engine.switching.policies import POLICIES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "weights").glob("*/*.md"))]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_repository_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_is_explained(policy):
    assert f"`{policy}`" in (ROOT / "docs/theory.md").read_text("utf-8")
    assert f"`{policy}`" in README


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_listed_in_the_readme(preset):
    assert f"`{preset}`" in README


def test_every_option_of_compare_is_listed_in_the_readme():
    command = typer.main.get_command(app).commands["compare"]
    for parameter in command.params:
        assert any(f"`{option}" in README for option in parameter.opts), parameter.opts


@pytest.mark.parametrize("target", ["make demo", "make test", "make setup", "make train"])
def test_every_make_target_of_the_readme_exists(target):
    assert target in README
    assert re.search(rf"^{target.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
