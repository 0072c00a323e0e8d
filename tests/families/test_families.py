"""The table of families against the library: every name exists, every argument is one that its call takes."""

from __future__ import annotations

import inspect
import re

import diffusers
import pytest

from engine.errors import InvalidInput
from engine.models.catalogue import ROOT, find_model
from engine.models.families import FAMILIES, REFUSED, family_of
from engine.models.geometry import geometry_of
from engine.sampling.latent_layouts import LAYOUTS
from engine.schedules.latent_sizes import Geometry
from engine.schedules.schedule import flat
from tests.families.cases import CASES, configs, geometry, request

CONDITIONS = {"image": "image", "last_image": "last_image", "video": "video"}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_entry_speaks_of_arguments_that_the_call_takes(name):
    family = FAMILIES[name]
    taken = inspect.signature(getattr(diffusers, name).__call__).parameters
    sized = family.sized((64, 96), (64, 96)) if family.sized else {}
    said = {"height", "width", "generator", "output_type", "num_inference_steps", *family.call, *sized}
    said |= {CONDITIONS[one] for one in family.conditions}
    said |= {family.text_length} if family.text_length else set()
    said |= set() if family.guider else {family.guidance}
    said |= {"negative_prompt"} if family.negative else set()
    said |= {family.frames} if family.output == "video" else set()
    assert said <= taken.keys()
    assert family.layout in LAYOUTS
    assert set(family.needs) <= set(family.conditions)
    made = inspect.signature(getattr(diffusers, name).__init__).parameters
    assert set(family.denoisers) <= made.keys()
    assert family.guider == ("guider" in made)


@pytest.mark.parametrize("name", FAMILIES)
def test_conditions_that_a_call_cannot_do_without_are_needed(name):
    taken = inspect.signature(getattr(diffusers, name).__call__).parameters
    without = {key for key, one in taken.items() if one.default is inspect.Parameter.empty and key != "self"}
    needs = set(FAMILIES[name].needs)
    assert {one for one in without if one in CONDITIONS} <= needs


def test_every_family_is_run_by_a_tiny_pipeline():
    assert {type(case.build()).__name__ for case in CASES.values()} == set(FAMILIES)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_pipelines_exist_and_are_refused_with_their_reason(name):
    assert hasattr(diffusers, name)
    assert name not in FAMILIES
    with pytest.raises(InvalidInput, match=re.escape(f"{name} cannot follow a resolution schedule: {REFUSED[name]}.")):
        family_of(name)


def test_a_pipeline_that_nobody_has_checked_is_refused_with_what_to_do():
    with pytest.raises(InvalidInput, match=r"nobody has checked it; docs/models\.md says how a family is added"):
        family_of("ShapEPipeline")


def test_a_refused_class_is_refused_before_anything_runs():
    case = CASES["wan"]
    with pytest.raises(InvalidInput, match="SkyReelsV2DiffusionForcingPipeline cannot follow"):
        request(case, case.build(), flat(2), family=family_of("SkyReelsV2DiffusionForcingPipeline"))


@pytest.mark.parametrize("name", CASES)
def test_geometry_is_that_of_the_latents_which_the_pipeline_prepares(name):
    case = CASES[name]
    pipe = case.build()
    cut = geometry(pipe)
    stride = pipe.vae_scale_factor_spatial if hasattr(pipe, "vae_scale_factor_spatial") else None
    if stride is not None:
        assert cut.stride[1:] == (stride, stride)
    assert case.height % cut.multiple[0] == case.width % cut.multiple[1] == 0
    assert cut.channels == {"mochi": 12, "ltx": 8, "ltx-i2v": 8}.get(name, 4)


PUBLISHED = {
    "wan2.1-1.3b": Geometry((4, 8, 8), (1, 2, 2), 16),
    "wan2.1-i2v-480p": Geometry((4, 8, 8), (1, 2, 2), 16),
    "wan2.2-ti2v-5b": Geometry((4, 16, 16), (1, 2, 2), 48),
    "hunyuan-video": Geometry((4, 8, 8), (1, 2, 2), 16),
    "hunyuan-video-1.5": Geometry((4, 16, 16), (1, 1, 1), 32),
    "ltx-video": Geometry((8, 32, 32), (1, 1, 1), 128),
    "mochi-1": Geometry((6, 8, 8), (1, 2, 2), 12),
    "cogvideox-5b": Geometry((4, 8, 8), (1, 2, 2), 16),
    "flux.1-dev": Geometry((1, 8, 8), (1, 2, 2), 16),
    "flux.2-klein-4b": Geometry((1, 8, 8), (1, 2, 2), 32),
    "qwen-image": Geometry((1, 8, 8), (1, 2, 2), 16),
    "sd3-medium": Geometry((1, 8, 8), (1, 2, 2), 16),
    "sdxl": Geometry((1, 8, 8), (1, 4, 4), 4),
    "z-image": Geometry((1, 8, 8), (1, 2, 2), 16),
    "sana-1.6b": Geometry((1, 32, 32), (1, 1, 1), 32),
}


@pytest.mark.parametrize("id", PUBLISHED)
def test_published_configs_give_the_published_geometry(id):
    assert find_model(id).geometry == PUBLISHED[id]


def test_positions_learned_for_one_size_are_refused():
    pipe = CASES["cogvideox-i2v"].build()
    found = configs(pipe)
    found["transformer"] = found["transformer"] | {"use_learned_positional_embeddings": True}
    with pytest.raises(InvalidInput, match="its positions were learned for one size only"):
        geometry_of("CogVideoXImageToVideoPipeline", found)


def test_nabla_attention_needs_whole_blocks():
    pipe = CASES["kandinsky-5"].build()
    sparse = configs(pipe)
    sparse["transformer"] = sparse["transformer"] | {"attention_type": "nabla"}
    assert geometry_of("Kandinsky5T2VPipeline", sparse).multiple == (128, 128)


def test_an_unknown_class_is_named():
    with pytest.raises(InvalidInput, match="its VAE is a VQModel; VAEs that are known here are"):
        geometry_of("WanPipeline", {"vae": {"_class_name": "VQModel"}, "transformer": {}})


def test_docs_name_every_family_and_every_refused_class():
    text = (ROOT / "docs/models.md").read_text("utf-8")
    missing = [name for name in (*FAMILIES, *REFUSED) if f"`{name}`" not in text]
    assert missing == []
