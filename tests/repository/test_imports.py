"""What must never be imported where."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize("module", ["engine.cli.commands", "engine.comparing.comparison", "engine.sampling.bare_loop"])
def test_engine_does_not_pull_gradio_or_torchvision_in(module):
    code = f"import {module}, sys; print([m for m in ('gradio', 'torchvision', 'torchaudio') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert out.stdout.strip() == "[]"


TORCH_FREE = (
    "errors", "strict_json", "schedule", "sizes", "policies", "experiment", "lightx2v", "presets", "reproduce", "share",
    "arithmetic", "curve", "timings", "predict", "snippet",
    "report", "page", "metrics", "video", "models.catalogue",
)  # fmt: skip
HEAVY = ("torch", "diffusers", "transformers", "skimage", "scipy", "plotly", "gradio")


@pytest.mark.parametrize("module", TORCH_FREE)
def test_what_the_page_process_needs_loads_neither_torch_nor_anything_heavy(module):
    code = f"import engine.{module}, sys; print([m for m in {HEAVY} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["torchvision", "torchaudio"])
def test_requirements_do_not_name_packages_that_break_transformers(name):
    for file in ("requirements.txt", "requirements-dev.txt"):
        lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
        assert not [line for line in lines if line.startswith(name)]
