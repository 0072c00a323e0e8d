"""The scripts are run, and what comes out is what this engine makes of the same track."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.level_tracks import level_track
from engine.experiments.script import diffusers_snippet
from engine.experiments.settings import Settings
from engine.hpdm.level_choice import LevelChoice
from engine.hpdm.pyramid_run import run_hpdm
from engine.hpdm.sampling_request import make_request
from engine.hpdm.weights_folder import load_hpdm
from engine.models.catalogue import ROOT, find_model, spec_of_folder
from engine.models.loading import load_model, scheduler_for
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest
from engine.schedules.schedule import flat, parse_schedule
from engine.switching.policies import POLICIES, policy_named
from tests.tiny import saved_tiny_wan

HOSTILE = 'a """ \'\'\' red\\ apple \u2028 \r\n"; import os  # {x} $y @SWITCH@ \\N{DASH} ✓'
SCHEDULES = {
    "U": parse_schedule(6, [1.0, 0.5], [2, 4]),
    "two-stage": parse_schedule(6, [0.5], [3]),
    "three sizes": parse_schedule(6, [0.5, 0.75], [2, 4]),
    "flat": flat(6),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_tiny_wan(tmp_path_factory.mktemp("tiny"))


def experiment_of(folder: Path, schedule: str, policy: str, **settings: object) -> tuple[Experiment, Track]:
    track = Track("Run & <b> \u2028 1", SCHEDULES[schedule], policy_named(policy))
    own = {"prompt": "a red apple", "seed": 3, "steps": 6, "height": 64, "width": 96, "frames": 5, "guidance": 3.0}
    made = make_experiment(spec_of_folder(folder, "tiny", "Tiny"), [track], Settings(**own | settings))
    return made, made.tracks[0]


def own_frames(folder: Path, experiment: Experiment, track: Track) -> np.ndarray:
    """The track as this engine runs it."""
    model = load_model(str(folder), device="cpu")
    model.pipe.scheduler = scheduler_for(model.pipe, experiment.solver, experiment.shift)
    request = StagedRequest(
        model.pipe, experiment.spec.family, experiment.call(), track.schedule, track.policy,
        experiment.sizes(track.schedule), experiment.spec.geometry, experiment.seed,
    )  # fmt: skip
    return run_staged(request).frames


def run_here(script: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The frames that a script leaves, run in this process in an empty folder."""
    path = tmp_path / "script.py"
    path.write_text(script, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["script.py", str(folder)])
    return np.asarray(runpy.run_path(str(path), run_name="__main__")["frames"])


@pytest.mark.parametrize("solver", ["unipc", "euler"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("policy", [*POLICIES, "coherent@+1", "anchored@none"])
def test_the_script_makes_the_frames_of_this_engine(
    policy: str, schedule: str, solver: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, track = experiment_of(folder, schedule, policy, solver=solver)
    script = diffusers_snippet(experiment, track)
    assert "import engine" not in script
    assert "from engine" not in script
    frames = run_here(script, folder, tmp_path, monkeypatch)
    assert frames.shape == (5, 64, 96, 3)
    assert np.array_equal(frames, own_frames(folder, experiment, track))
    assert (tmp_path / "run-b-1.mp4").stat().st_size > 0


@pytest.mark.parametrize("solver", ["unipc", "dpm++"], ids=["of its own", "by this engine"])
def test_the_script_of_a_track_of_its_own_steps_makes_the_frames_of_this_engine(
    solver: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, track = experiment_of(folder, "two-stage", "anchored", solver=solver)
    own = replace(track, schedule=track.schedule.with_steps(4), steps=4)
    experiment = make_experiment(experiment.spec, [own], Settings(experiment.prompt, **_settings(experiment)))
    frames = run_here(diffusers_snippet(experiment, experiment.tracks[0]), folder, tmp_path, monkeypatch)
    assert np.array_equal(frames, own_frames(folder, experiment, experiment.tracks[0]))
    assert not np.array_equal(frames, own_frames(folder, experiment, track))


def _settings(experiment: Experiment) -> dict[str, Any]:
    names = ("seed", "steps", "height", "width", "frames", "guidance", "solver")
    return {name: getattr(experiment, name) for name in names}


@pytest.mark.parametrize("policy", ["anchored", "bottleneck", "pyramid"])
def test_the_script_of_another_solver_runs_this_engine(
    policy: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, track = experiment_of(folder, "three sizes", policy, solver="dpm++")
    script = diffusers_snippet(experiment, track)
    assert "needs Resolute" in ast.get_docstring(ast.parse(script))  # type: ignore[operator]
    frames = run_here(script, folder, tmp_path, monkeypatch)
    assert np.array_equal(frames, own_frames(folder, experiment, track))


def test_policies_of_one_schedule_give_scripts_of_different_frames(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison above could not fail if a switch did nothing."""
    made = [experiment_of(folder, "two-stage", policy) for policy in ("coherent", "lightx2v")]
    a, b = (run_here(diffusers_snippet(*one), folder, tmp_path, monkeypatch) for one in made)
    assert np.abs(a - b).max() > 1e-3


def test_a_self_contained_script_imports_nothing_of_this_project(folder: Path, tmp_path: Path) -> None:
    """In a fresh interpreter outside of the repository, as a stranger has it."""
    experiment, track = experiment_of(folder, "U", "anchored")
    (tmp_path / "script.py").write_text(diffusers_snippet(experiment, track), encoding="utf-8")
    command = [sys.executable, "-I", "script.py", str(folder)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run-b-1.mp4").stat().st_size > 0


def assigned(tree: ast.Module) -> dict[str, ast.Constant]:
    """The values of a script's names, by name."""
    return {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}  # type: ignore[misc]


@pytest.mark.parametrize("policy", POLICIES)
def test_texts_stay_texts(policy: str, folder: Path) -> None:
    plain, track = experiment_of(folder, "U", policy)
    hostile, same = experiment_of(folder, "U", policy, prompt=HOSTILE, negative_prompt=HOSTILE)
    trees = [ast.parse(diffusers_snippet(*one)) for one in ((plain, track), (hostile, same))]
    constants = assigned(trees[1])
    assert ast.literal_eval(constants["PROMPT"]) == ast.literal_eval(constants["NEGATIVE_PROMPT"]) == HOSTILE
    for tree in trees:
        assigned(tree)["PROMPT"].value = assigned(tree)["NEGATIVE_PROMPT"].value = ""
    assert ast.dump(trees[0]) == ast.dump(trees[1])


@pytest.mark.parametrize("policy", ["coherent", "pyramid"])
def test_no_path_of_this_machine_is_given_away(policy: str, folder: Path) -> None:
    assert str(folder.parent) not in diffusers_snippet(*experiment_of(folder, "U", policy))
    track = Track("U", SCHEDULES["U"], policy_named(policy))
    shipped = make_experiment(find_model("emoji-wan"), [track], Settings(prompt="a red apple", steps=6))
    script = diffusers_snippet(shipped, shipped.tracks[0])
    assert "'weights/emoji-wan'" in script
    assert str(ROOT) not in script


@pytest.mark.parametrize("policy", POLICIES)
def test_the_script_is_well_set(policy: str, folder: Path) -> None:
    script = diffusers_snippet(*experiment_of(folder, "U", policy))
    assert all(len(line) <= 120 for line in script.splitlines())
    assert not re.findall(r"@[A-Z]+@", script)
    assert "\n\n\n\n" not in script
    assert script.endswith("\n")


@pytest.mark.parametrize(
    ("policy", "named", "unnamed"),
    [
        ("anchored", {"Anchor", "_next", "dct2", "resize_dct", "known"}, {"lanczos", "grows", "fresh", "NoiseSource"}),
        ("coherent", {"NoiseField", "extend", "grows", "_trilinear"}, {"Anchor", "fresh", "known", "stepped"}),
        ("spectral", {"NoiseField", "graft", "stepped"}, {"extend", "resize_dct", "x0", "Anchor"}),
        ("lightx2v", {"_trilinear", "sigma", "fresh"}, {"NoiseField", "dct2", "Anchor", "new", "told", "stepped"}),
        ("bottleneck", {"lanczos", "_lanczos_matrix", "LANCZOS_LOBES"}, {"nearest", "dct2", "field"}),
        ("pyramid", {"nearest_counts", "_block_mean", "coherent", "dct2"}, {"lanczos", "Anchor", "known"}),
    ],
)
def test_a_script_holds_what_its_policy_needs_and_no_more(
    policy: str, named: set[str], unnamed: set[str], folder: Path
) -> None:
    tree = ast.parse(diffusers_snippet(*experiment_of(folder, "U", policy)))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    bodies = [node for owner in (tree, *(c for c in classes if c.name != "Stage")) for node in owner.body]
    targets = [t for node in bodies if isinstance(node, ast.Assign | ast.AnnAssign) for t in _targets(node)]
    there = {*targets, *(node.name for node in bodies if isinstance(node, ast.ClassDef | ast.FunctionDef))}
    assert named <= there
    assert not unnamed & there


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    return [ast.unparse(target) for target in (node.targets if isinstance(node, ast.Assign) else [node.target])]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_script_imports_all_that_it_names(policy: str, folder: Path, tmp_path: Path) -> None:
    """And nothing else: as the checks of this repository's own code have it."""
    (tmp_path / "script.py").write_text(diffusers_snippet(*experiment_of(folder, "U", policy)), encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E9,F,I", "script.py"]
    done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_script_of_a_level_track_makes_its_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_model("emoji-hpdm")
    assert spec.levels is not None
    choice = LevelChoice(2, "none", "off")
    track = level_track("by levels", choice, spec.levels, 7)
    experiment = make_experiment(spec, [track], Settings(prompt="a frog", steps=7, guidance=1))
    script = diffusers_snippet(experiment, track)
    assert "needs Resolute" in ast.get_docstring(ast.parse(script))  # type: ignore[operator]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["script.py", spec.location])
    made = runpy.run_path(str(tmp_path / "script.py"), run_name="__main__")["result"]
    request = make_request(
        spec.levels, prompt="a frog", steps=(4, 2, 1), levels=2, overlap="none", cache="off", guidance=1
    )
    expected = run_hpdm(load_hpdm(Path(spec.location)), request)
    assert [level.video.shape for level in made.levels] == [(3, 4, 16, 16), (3, 8, 32, 32)]
    assert torch.equal(made.levels[-1].video, expected.levels[-1].video)
    assert sorted(file.name for file in tmp_path.glob("*.mp4")) == ["by-levels-level-1.mp4", "by-levels-level-2.mp4"]
