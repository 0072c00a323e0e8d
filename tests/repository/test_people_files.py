"""Files for those who carry the project on: what a hosting platform reads is readable, and NOTICE is complete.

A broken form is no error there: it silently is not offered.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from engine import __version__
from tests.browser.install import AXE

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / ".github/ISSUE_TEMPLATE"
FORMS = [path for path in sorted(TEMPLATES.glob("*.yml")) if path.name != "config.yml"]
NOTICE = (ROOT / "NOTICE").read_text("utf-8")
CREDITS = sorted((ROOT / "weights").glob("*/CREDITS.md"))
OF_OTHERS = [
    p for p in sorted((ROOT / "presets").glob("*.json")) if "resolute_preset" not in json.loads(p.read_bytes())
]
FIELDS = {"textarea", "input", "dropdown", "checkboxes"}  # what a form may hold beside markdown


def words(text: str) -> str:
    """A text without line breaks and heavy spaces, in small letters."""
    return " ".join(text.split()).lower()


def test_the_citation_has_what_cff_requires_and_agrees_with_the_program():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert cited["cff-version"] == "1.2.0"
    assert cited["message"]
    assert cited["title"] == "Resolute"
    assert str(cited["version"]) == __version__ == project["version"]
    assert cited["license"] == project["license"]
    assert [author["name"] for author in cited["authors"]] == [author["name"] for author in project["authors"]]
    for reference in cited["references"]:
        assert {"type", "title", "authors", "year"} <= reference.keys(), reference
        authors = [tuple(author.items()) for author in reference["authors"]]
        assert authors
        assert len(set(authors)) == len(authors), f"{reference['title']}: CFF refuses two equal authors"


def test_the_citation_names_the_papers_of_the_theory():
    cited = (ROOT / "CITATION.cff").read_text("utf-8")
    papers = set(re.findall(r"arXiv (\d{4}\.\d{5})", (ROOT / "docs/theory.md").read_text("utf-8")))
    assert papers
    assert not {paper for paper in papers if f"arXiv:{paper}" not in cited}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one_that_the_platform_takes(path):
    form = yaml.safe_load(path.read_text("utf-8"))
    assert form["name"]
    assert form["description"]
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert asked, "a form must ask something"
    assert all(part["attributes"]["value"] for part in form["body"] if part["type"] == "markdown")
    for part in asked:
        assert part["type"] in FIELDS
        assert re.fullmatch(r"[\w-]+", part["id"])
        assert part["attributes"]["label"]
        if part["type"] in ("dropdown", "checkboxes"):
            assert part["attributes"]["options"]
        assert isinstance(part.get("validations", {}).get("required", False), bool)
    for unique in ([part["id"] for part in asked], [part["attributes"]["label"] for part in asked]):
        assert len(set(unique)) == len(unique)


def test_the_bug_form_requires_what_a_bug_needs():
    form = yaml.safe_load((TEMPLATES / "bug.yml").read_text("utf-8"))
    parts = {part["id"]: part for part in form["body"] if "id" in part}
    assert all(parts[name]["validations"]["required"] for name in ("happened", "steps", "doctor"))
    assert "python -m engine doctor" in parts["doctor"]["attributes"]["label"]
    assert "report.json" in parts["report"]["attributes"]["label"]


def test_the_chooser_of_issues_is_readable():
    chooser = yaml.safe_load((TEMPLATES / "config.yml").read_text("utf-8"))
    assert chooser == {"blank_issues_enabled": False}
    assert {form.stem for form in FORMS} == {"bug", "idea", "wrong-figure"}


@pytest.mark.parametrize("path", CREDITS, ids=lambda path: path.parent.name)
def test_the_notice_names_all_that_credits_name(path):
    text = path.read_text("utf-8")
    sources = re.findall(r"https://[^\s)]+", text) + re.findall(r"`(@[\w/-]+)`", text)
    packages = re.findall(r"`([a-z]+)` package", text)
    assert sources
    assert packages
    assert not [name for name in sources if name not in NOTICE]
    assert not [name for name in packages if f"package {name} " not in words(NOTICE)]
    assert not [name for name in ("MIT", "BSD-3-Clause", "Apache-2.0") if name in text and name not in NOTICE]
    licence = re.search(r"MIT License.*", text, re.DOTALL)
    assert licence
    assert words(licence[0].partition("\n## ")[0]) in words(NOTICE), "the licence must be there word for word"


@pytest.mark.parametrize("path", OF_OTHERS, ids=lambda path: path.stem)
def test_the_notice_names_where_a_preset_comes_from(path):
    project = path.stem.partition("-")[0]
    assert re.search(rf"(?m)^{project} \([\w.-]+\)$", NOTICE, re.IGNORECASE), f"no section on {project}"
    if json.loads(path.read_bytes()).get("feature_caching") == "Tea":
        assert re.search(r"(?m)^TeaCache \([\w.-]+\)$", NOTICE)


def test_the_notice_names_what_tests_fetch():
    assert re.search(rf"(?m)^{AXE.partition('@')[0]} \(MPL-2\.0\)$", NOTICE)


def test_folders_and_files_that_the_notice_names_exist():
    named = re.findall(r"\b(?:engine|training|presets|weights|tests|docs|ui)/[\w./*-]*[\w*]", NOTICE)
    assert len(named) > 10
    assert not [name for name in named if not list(ROOT.glob(name))]


def test_there_are_presets_of_others():
    assert OF_OTHERS
    assert CREDITS
