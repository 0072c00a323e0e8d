"""What must never be imported where."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def imported(folder: str) -> set[str]:
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names


def test_engine_never_imports_gradio_or_the_ui():
    assert not imported("engine") & {"gradio", "ui", "training", "tests"}


def test_ui_never_imports_torch():
    assert not imported("ui") & {"torch", "diffusers", "transformers"}


LOADED = """
import importlib, json, sys
modules, unwanted = json.loads(sys.argv[1])
found = {}
for module in modules:
    before = {*sys.modules}
    importlib.import_module(module)
    found[module] = [name for name in unwanted if name in sys.modules and name not in before]
print(json.dumps(found))
"""


def loaded(modules: Sequence[str], unwanted: Sequence[str]) -> dict[str, list[str]]:
    """What of the unwanted each module is the first to load, one after the other in one fresh process."""
    command = [sys.executable, "-c", LOADED, json.dumps([modules, unwanted])]
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return json.loads(out.stdout)


ENGINE = ("engine.cli", "engine.compare", "engine.sampler")


@pytest.fixture(scope="module")
def by_engine():
    return loaded(ENGINE, ("gradio", "torchvision", "torchaudio"))


@pytest.mark.parametrize("module", ENGINE)
def test_engine_does_not_pull_gradio_or_torchvision_in(by_engine, module):
    assert by_engine[module] == []


TORCH_FREE = (
    "errors", "strict_json", "schedule", "sizes", "policies", "experiment", "lightx2v", "presets", "reproduce", "share",
    "arithmetic", "curve", "timings", "predict", "snippet",
    "report", "page", "metrics", "video", "models.catalogue",
)  # fmt: skip
HEAVY = ("torch", "diffusers", "transformers", "skimage", "scipy", "plotly", "gradio")


@pytest.fixture(scope="module")
def by_torch_free():
    return loaded([f"engine.{module}" for module in TORCH_FREE], HEAVY)


@pytest.mark.parametrize("module", TORCH_FREE)
def test_what_the_page_process_needs_loads_neither_torch_nor_anything_heavy(by_torch_free, module):
    assert by_torch_free[f"engine.{module}"] == []


@pytest.mark.parametrize("name", ["torchvision", "torchaudio"])
def test_requirements_do_not_name_packages_that_break_transformers(name):
    for file in ("requirements.txt", "requirements-dev.txt"):
        lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
        assert not [line for line in lines if line.startswith(name)]
