"""What a runner of pipelines does before the first run that is measured."""

from __future__ import annotations

import pytest
import torch

from engine.comparing.comparison import compare
from engine.comparing.listeners import Silent
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.input_picture import read_picture
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.models.acceleration import accelerate
from engine.models.load_options import LoadOptions
from engine.models.loading import LoadedModel, load_model
from engine.switching.policies import policy_named
from tests.experiments.pictures import drawn, saved
from tests.families.builders_wan import wan_a14b, wan_i2v
from tests.families.parts import seeded
from tests.tiny import saved_tiny_wan


@pytest.fixture
def model(tmp_path):
    return load_model(str(saved_tiny_wan(tmp_path / "tiny")), device="cpu")


def experiment(model, *schedules, **settings):
    tracks = [Track(name, load_preset(name, 4).schedule, policy_named("coherent")) for name in schedules]
    asked = {"prompt": "a red apple", "steps": 4, "height": 64, "width": 64, "frames": 5} | settings
    return make_experiment(model.spec, tracks, Settings(**asked))


class Told(Silent):
    """When what was called: phases and runs in order, with calls of a model's parts between."""

    def __init__(self):
        self.heard = []

    def phase(self, name, phase):
        self.heard.append(f"{name}: {phase}")

    def step(self, name, event):
        self.heard.append(f"{name}: step")

    def watch(self, part, method, word):
        """Say when a part's method is called, and how tall what it was given is."""
        plain = getattr(part, method)

        def watched(*args, **kwargs):
            given = kwargs.get("hidden_states", args[0] if args else None)
            self.heard.append(f"{word} {given.shape[-2]}")
            return plain(*args, **kwargs)

        setattr(part, method, watched)

    def before(self, what):
        """What was heard before it was heard for the first time."""
        return self.heard[: self.heard.index(what)]


def test_decoding_is_warm_before_the_first_run_that_is_measured(model, tmp_path):
    told = Told()
    told.watch(model.pipe.vae, "decode", "decode")
    report = compare(experiment(model, "0.5@2"), model, tmp_path / "a", told, noise_floor=False)
    assert told.heard.count("decode 8") == 3
    assert "decode 8" in told.before("baseline: step")
    assert report.runs[0].latency.warm_up_s > 0
    again = Told()
    again.watch(model.pipe.vae, "decode", "decode")
    compare(experiment(model, "0.5@2"), model, tmp_path / "b", again, noise_floor=False)
    assert again.heard.count("decode 8") == 2
    assert "baseline: warming up" not in again.heard


def test_with_a_noise_floor_its_run_is_the_warm_up_and_nothing_is_decoded_beside_the_runs(model, tmp_path):
    told = Told()
    told.watch(model.pipe.vae, "decode", "decode")
    report = compare(experiment(model, "0.5@2"), model, tmp_path, told)
    assert told.heard.count("decode 8") == 3  # the baseline twice, the track
    assert report.runs[0].latency.warm_up_s is None


@pytest.mark.parametrize(
    ("changed", "cold"),
    [({"guidance": 1.0}, True), ({"prompt": "a blue banana"}, False), ({"steps": 3}, False)],
    ids=["without guidance", "another prompt", "fewer steps"],
)
def test_what_runs_for_the_first_time_is_warmed_up_again(model, tmp_path, changed, cold):
    compare(experiment(model), model, tmp_path / "a", noise_floor=False)
    told = Told()
    compare(experiment(model, **changed), model, tmp_path / "b", told, noise_floor=False)
    assert ("baseline: warming up" in told.heard) is cold


def test_text_of_another_length_is_warmed_up_at_every_size_but_the_first(model, tmp_path):
    compare(experiment(model, "0.5@2"), model, tmp_path / "a", noise_floor=False)
    encode, told = model.pipe.encode_prompt, Told()
    model.pipe.encode_prompt = lambda *args, **kwargs: tuple(text[:, :7] for text in encode(*args, **kwargs))
    compare(experiment(model, "0.5@2"), model, tmp_path / "b", told, noise_floor=False)
    assert "0.5@2: warming up" in told.heard


def test_both_experts_are_warm_at_every_size_before_they_are_measured(tmp_path):
    seeded(wan_a14b)().save_pretrained(tmp_path / "tiny")
    model, told = load_model(str(tmp_path / "tiny"), device="cpu"), Told()
    boundary = model.pipe.config.boundary_ratio
    told.watch(model.pipe.transformer, "forward", "high")
    told.watch(model.pipe.transformer_2, "forward", "low")
    report = compare(experiment(model, "0.5@2", guidance=3.0), model, tmp_path / "out", told, noise_floor=False)
    assert [run.status for run in report.runs] == ["done"] * 2
    assert {"high 8", "low 8"} <= set(told.before("baseline: step"))
    assert {"high 4", "low 4"} <= set(told.before("0.5@2: step"))
    assert model.pipe.config.boundary_ratio == boundary


def test_a_model_that_starts_from_a_picture_is_warmed_up_with_it(tmp_path):
    seeded(wan_i2v)().save_pretrained(tmp_path / "tiny")
    model, told = load_model(str(tmp_path / "tiny"), device="cpu"), Told()
    told.watch(model.pipe.vae, "encode", "encode")
    asked = experiment(model, "0.5@2", image=read_picture(saved(drawn(64, 64))))
    report = compare(asked, model, tmp_path / "out", told, noise_floor=False)
    assert [run.status for run in report.runs] == ["done"] * 2
    assert "encode 64" in told.before("baseline: step")
    assert "encode 32" in told.before("0.5@2: step")
    assert all(run.latency.condition_s > 0 for run in report.runs)
    assert [len(run.latency.conditions_s) for run in report.runs] == [1, 2]
    for run in report.runs:
        parts = run.latency.text_s + run.latency.condition_s + run.latency.denoise_s
        assert run.latency.total_s == pytest.approx(parts + run.latency.decode_s + run.latency.encode_s)


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
