"""What a runner of pipelines does before the first run that is measured."""

from __future__ import annotations

import pytest
import torch

from engine.comparing.comparison import compare
from engine.comparing.listeners import Silent
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.models.acceleration import accelerate
from engine.models.load_options import LoadOptions
from engine.models.loading import LoadedModel, load_model
from engine.switching.policies import policy_named
from tests.tiny import saved_tiny_wan


@pytest.fixture
def compiled(tmp_path):
    """A tiny model whose blocks are compiled by a compiler that tells which graph every pass runs through."""
    torch._dynamo.reset()
    plain, ran, graphs = load_model(str(saved_tiny_wan(tmp_path / "tiny")), device="cpu"), [], []

    def numbered(graph, inputs):
        number = len(graphs)
        graphs.append(graph)
        return lambda *args: ran.append(number) or graph.forward(*args)

    model = LoadedModel(plain.spec, plain.pipe, plain.device, LoadOptions(compile=True))
    accelerate(model.pipe, None, True, compiler=numbered)
    yield model, ran
    torch._dynamo.reset()


def test_baseline_and_tracks_of_a_compiled_model_run_the_same_code(compiled, tmp_path):
    model, ran = compiled
    track = Track("a", load_preset("two-stage-0.75", 4).schedule, policy_named("coherent"))
    asked = make_experiment(model.spec, [track], Settings(prompt="a red apple", steps=4, height=64, width=64, frames=5))
    used: dict[str, set[int]] = {}

    class Heard(Silent):
        def step(self, name, event):
            if event.step > 1:  # before the first is what no run measures
                used.setdefault(name, set()).update(ran)
            ran.clear()

    report = compare(asked, model, tmp_path / "out", Heard(), noise_floor=False)
    assert [run.status for run in report.runs] == ["done"] * 2
    assert used["baseline"] == used["a"]
    assert len(used["a"]) == 1  # one code for any size
    assert model.compiled_for_all
