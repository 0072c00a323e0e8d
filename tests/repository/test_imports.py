"""What may import what: the packages form the order that docs/architecture.md states, and the page loads no torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text("utf-8")
WIDGETS = ("comparator", "figures", "picture", "pyramid", "timeline")
VIEWS = ("library", "studio")
HEAVY = ("torch", "diffusers", "transformers", "skimage", "scipy", "plotly", "gradio")


def stated_order() -> list[str]:
    """The packages of the engine from the lowest to the highest, as the page on architecture writes them."""
    return re.search(r"^    (root( < \w+)+)$", ARCHITECTURE, re.MULTILINE)[1].split(" < ")


def stated_free_of_torch() -> dict[str, set[str]]:
    """Packages that are said to be free of torch, with the modules that are said to be excepted."""
    rows = re.findall(r"^\| `engine/(\w+)/` \| (.*?) \|", ARCHITECTURE, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", said)) for name, said in rows if said.startswith("no torch")}


def modules(folder: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imports(path: Path) -> Iterator[str]:
    """All that a file imports, inside of functions too: dotted names, `from package import module` as one."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / "engine" / parts[1]).is_dir() else "root"


def test_packages_of_the_engine_import_only_downwards():
    order = stated_order()
    there = {path.name for path in (ROOT / "engine").iterdir() if (path / "__init__.py").is_file()}
    assert set(order) == there | {"root"}
    upward = [
        f"{name} imports {found}"
        for name, path in modules("engine")
        if name != "engine.__main__"
        for found in imports(path)
        if found.startswith("engine.") and order.index(package(found)) > order.index(package(name))
    ]
    assert upward == []


def test_engine_never_imports_gradio_or_the_ui():
    tops = {found.split(".")[0] for _, path in modules("engine") for found in imports(path)}
    assert not tops & {"gradio", "ui", "training", "benchmarks", "tests"}


def test_ui_never_imports_torch():
    tops = {found.split(".")[0] for _, path in modules("ui") for found in imports(path)}
    assert not tops & {"torch", "diffusers", "transformers"}


def test_widgets_of_the_page_share_nothing_but_what_is_in_shared_and_views_know_no_other_view():
    legal = {"shared": {"shared"}, "server": {"server", "shared", "studio", "page"}}
    legal |= {widget: {"shared", widget} for widget in WIDGETS}
    legal |= {view: {"shared", *WIDGETS, view} for view in VIEWS}
    there = {path.name for path in (ROOT / "ui").iterdir() if (path / "__init__.py").is_file()}
    assert set(legal) == there
    for name, path in modules("ui"):
        own = path.relative_to(ROOT / "ui").parts[0]
        if own in legal:
            found = {found.split(".")[1] for found in imports(path) if found.startswith("ui.")}
            assert found <= legal[own], name


def test_scripts_of_a_widget_lie_in_its_own_folder_or_in_shared():
    for _, path in modules("ui"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("../"):
                assert node.value.startswith("../shared/"), path


def test_no_file_name_of_the_engine_and_the_page_stands_twice():
    stems = [path.stem for folder in ("engine", "ui") for _, path in modules(folder) if not path.stem.startswith("__")]
    assert sorted({stem for stem in stems if stems.count(stem) > 1}) == []


def loaded(names: list[str], watched: tuple[str, ...]) -> list[str]:
    """Which of `watched` a new process has loaded once it has imported `names`."""
    code = f"""import importlib, sys
for name in {names}:
    importlib.import_module(name)
print(*[name for name in {watched} if name in sys.modules])"""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout.split()


def test_what_is_said_to_be_free_of_torch_loads_neither_torch_nor_anything_heavy():
    said = stated_free_of_torch()
    assert {"schedules", "reports", "experiments", "costs"} <= set(said)
    names = [
        name
        for name, path in modules("engine")
        if (package(name) == "root" or package(name) in said)
        and path.stem not in said.get(package(name), ())
        and path.stem not in ("__init__", "__main__")
    ]
    assert loaded(names, HEAVY) == []


@pytest.mark.parametrize("module", ["engine.cli.commands", "engine.comparing.comparison", "engine.sampling.bare_loop"])
def test_engine_does_not_pull_gradio_or_torchvision_in(module):
    assert loaded([module], ("gradio", "torchvision", "torchaudio")) == []


@pytest.mark.parametrize("name", ["torchvision", "torchaudio"])
def test_requirements_do_not_name_packages_that_break_transformers(name):
    for file in ("requirements.txt", "requirements-dev.txt"):
        lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
        assert not [line for line in lines if line.startswith(name)]
