"""The catalogue: every published entry fits its family, and its figures are those of the configs it states."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import diffusers
import pytest
import torch

from engine.errors import InvalidInput
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.lightx2v_config import RunSettings
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.jobs.limits import Limits
from engine.models.catalogue import PUBLISHED, catalogue
from engine.switching.policies import policy_named
from engine.switching.scheduler_kinds import SCHEDULERS

BOOK = tomllib.loads(PUBLISHED.read_text("utf-8"))
SPECS = catalogue()
ROOT = Path(__file__).parents[2]


def test_every_entry_is_in_the_catalogue():
    assert set(BOOK["model"]) <= set(SPECS)
    assert len(BOOK["model"]) >= 34


@pytest.mark.parametrize("id", BOOK["model"])
def test_an_entry_runs_at_its_own_size_and_at_every_preset(id):
    spec = SPECS[id]
    one = make_experiment(spec, [], Settings(prompt="-"))
    assert (one.height, one.width, one.frames) == (spec.defaults.height, spec.defaults.width, spec.defaults.frames)
    assert one.frames == 1 or spec.family.output == "video"
    for name in ("two-stage-0.75", "u-0.75"):
        size = one.sizes(load_preset(name, one.steps if one.steps > 8 else 30).schedule)
        assert size[-1].ratio == 1
        assert size[0].tokens < size[-1].tokens or name.startswith("u")
        Limits().check(replace(one, tracks=(Track(name, load_preset(name, 30).schedule, policy_named("coherent")),)))
    assert set(spec.solvers) <= set(SCHEDULERS[spec.process])


@pytest.mark.parametrize("id", BOOK["model"])
def test_a_call_holds_what_the_pipeline_takes_and_nothing_else(id):
    import inspect

    spec = SPECS[id]
    taken = inspect.signature(getattr(diffusers, spec.pipeline).__call__).parameters
    call = make_experiment(spec, [], Settings(prompt="-")).call()
    assert set(call) - ({spec.family.guidance} if spec.family.guider else set()) <= set(taken)
    assert ("negative_prompt" in call) == spec.family.negative


@pytest.mark.parametrize("name", BOOK["network"])
def test_parameters_are_those_of_the_config(name):
    network = BOOK["network"][name]
    with torch.device("meta"):
        model = getattr(diffusers, network["class"]).from_config(network["config"])
    assert sum(one.numel() for one in model.parameters()) / 1e9 == pytest.approx(network["parameters"], abs=6e-4)


@pytest.mark.parametrize("name", BOOK["network"])
def test_a_config_has_no_key_that_its_class_does_not_know(name):
    network = BOOK["network"][name]
    import inspect

    assert set(network["config"]) <= set(inspect.signature(getattr(diffusers, network["class"]).__init__).parameters)


def test_stills_have_one_frame_and_take_no_other_number():
    flux = SPECS["flux.1-dev"]
    assert make_experiment(flux, [], Settings(prompt="-", config=RunSettings(frames=81))).frames == 1
    with pytest.raises(InvalidInput, match="makes stills, which have 1"):
        make_experiment(flux, [], Settings(prompt="-", frames=5))
    assert "num_frames" not in make_experiment(flux, [], Settings(prompt="-")).call()


def test_what_a_model_does_not_take_is_refused_in_words():
    for id, asked, words in (
        ("flux.1-dev", {"negative_prompt": "blur"}, "takes no negative prompt"),
        ("sdxl", {"shift": 3.0}, "is no flow and has no shift"),
        ("cogvideox-5b", {"shift": 3.0}, "is no flow and has no shift"),
        ("flux.1-dev", {"solver": "unipc"}, "leave it out, or use euler"),
        ("mochi-1", {"solver": "dpm++"}, "leave it out, or use euler"),
        ("wan2.1-1.3b", {"solver": "ddim"}, "leave it out, or use unipc or euler or dpm"),
        ("cogvideox-5b", {"solver": "euler"}, "leave it out, or use ddim or dpm"),
        ("sdxl", {"solver": "heun"}, "it must be one of"),
    ):
        with pytest.raises(InvalidInput, match=words):
            make_experiment(SPECS[id], [], Settings(prompt="-", **asked))


def test_a_lightx2v_configs_shift_is_for_flows_alone():
    given = RunSettings(shift=7.0)
    assert make_experiment(SPECS["ltx-video"], [], Settings(prompt="-", config=given)).shift == 7.0
    assert make_experiment(SPECS["sdxl"], [], Settings(prompt="-", config=given)).shift is None


def test_a_document_without_a_shift_means_the_models_own():
    from engine.experiments.documents import experiment_of
    from engine.experiments.share_link import pack, unpack

    one = make_experiment(SPECS["flux.1-dev"], [], Settings(prompt="a cat"))
    assert one.shift is None
    assert experiment_of(one.document(), "the document") == one
    assert unpack(pack(one)) == one


def test_the_catalogue_is_quick_and_needs_no_torch():
    code = (
        "import sys, time; import engine.models.catalogue as c; begun = time.perf_counter(); c.catalogue(); "
        "print(time.perf_counter() - begun < 1, 'torch' in sys.modules, 'huggingface_hub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["True", "False", "False"]


@pytest.mark.parametrize("id", ["ltx-video", "mochi-1"])
def test_a_table_of_one_step_that_cannot_be_made_is_refused(id):
    with pytest.raises(InvalidInput, match="needs at least 2"):
        make_experiment(SPECS[id], [], Settings(prompt="-", steps=1))
