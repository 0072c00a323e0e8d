"""Fault 22: weights that are missing, cut off or pickled. The model is refused with the reason; others run."""

from __future__ import annotations

import pickle
import shutil

import pytest

from engine.errors import ModelNotFound
from engine.experiments.experiment import make_experiment
from engine.experiments.settings import Settings
from engine.jobs.model_runner import TorchRunner
from engine.jobs.service import Jobs
from engine.models.catalogue import catalogue_model
from engine.models.loading import load_model
from tests.jobs.conftest import until
from tests.tiny import saved_tiny_wan

PATIENCE_S = 300.0  # torch loads slowly on a busy machine


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "tiny")


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self):
        return open, (self.target, "w")


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "diffusion_pytorch_model.pt"])
def test_pickled_weights_are_refused_and_never_unpickled(folder, tmp_path, name):
    trap = tmp_path / "unpickled"
    for part in ("transformer", "vae"):
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
        (folder / part / name).write_bytes(pickle.dumps(Evil(str(trap))))
    with pytest.raises(ModelNotFound, match="download it again"):
        load_model(str(folder))
    assert not trap.exists()


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
@pytest.mark.parametrize("left", [0, 7, 1000])
def test_weights_that_are_cut_off_are_named_as_incomplete(folder, part, left):
    weights = next((folder / part).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:left])
    with pytest.raises(ModelNotFound, match="incomplete or damaged; download it again"):
        load_model(str(folder))


def test_a_damaged_model_leaves_the_runner_usable_for_another(whole, folder, monkeypatch):
    weights = next((folder / "transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    runner, paths = TorchRunner(), {"damaged": folder, "whole": whole}

    def load(name, **more):
        return load_model(str(paths[name]), device="cpu")

    monkeypatch.setattr("engine.jobs.model_runner.load_model", load)
    spec = type("Spec", (), {"id": "whole", "levels": None})
    runner.load(spec)
    with pytest.raises(ModelNotFound):
        runner.load(type("Spec", (), {"id": "damaged", "levels": None}))
    runner.load(spec)
    assert next(runner._model.pipe.transformer.parameters()).isfinite().all()


def test_a_job_whose_weights_are_not_here_fails_with_the_reason_and_the_next_one_runs(tmp_path):
    size = {"height": 64, "width": 64, "frames": 5, "steps": 2}
    missing = make_experiment(catalogue_model("wan2.1-1.3b"), [], Settings(prompt="a red apple", **size))
    here = make_experiment(catalogue_model("emoji-wan"), [], Settings(prompt="a red apple", **size))
    with Jobs(tmp_path / "data") as jobs:
        first, second = jobs.submit(missing), jobs.submit(here)
        view = until(lambda: (view := jobs.view(first)).finished and view, PATIENCE_S)
        assert view.status == "failed"
        assert "local hub cache" in view.error
        assert "the path of a downloaded folder" in view.error
        worker = jobs.worker.process
        assert until(lambda: (view := jobs.view(second)).finished and view, PATIENCE_S).status == "done"
        assert jobs.worker.process == worker
