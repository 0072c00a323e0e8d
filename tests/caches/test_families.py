"""Every cache on every family's tiny pipeline: it runs along a U and is finite, or is refused before the first step."""

from __future__ import annotations

import copy
from dataclasses import replace

import diffusers
import numpy as np
import pytest

from engine.caches.apply import CachedRun, names_passes
from engine.caches.cache_choice import parse_cache, parse_shorthand
from engine.caches.which_model import SILENT, STRANGE_BLOCKS, TURNED_BLOCKS, offered, refusal
from engine.errors import UnsupportedPipeline
from engine.models.catalogue import catalogue
from engine.models.families import FAMILIES
from engine.sampling.pipeline_run import run_staged
from tests.families.cases import CASES, STEPS, U, request

CHOICES = {
    "firstblock": parse_shorthand("firstblock:1"),
    "magcache": parse_cache({"name": "magcache", "threshold": 0.5, "retention": 0.1, "ratios": [1.0] * STEPS}),
    "taylorseer": parse_shorthand("taylorseer:3,warm_up=1"),
    "pab": parse_shorthand("pab:2,from_t=1000,to_t=0"),
    "seacache": parse_shorthand("seacache:5,keep_last=0"),
    "teacache": parse_cache({"name": "teacache", "threshold": 5.0, "ret_steps": False, "coefficients": [1.0, 0.0]}),
}
# Of each family that takes any: what its tiny pipeline was seen to take. What is not here must be refused.
GENERAL = {"firstblock", "magcache", "taylorseer", "pab"}
TAKEN = {
    "wan": {*CHOICES},
    "wan-a14b": {*CHOICES} - {"magcache"},
    "wan-5b": {*CHOICES},
    "wan-i2v": {*CHOICES} - {"seacache"},
    "wan-5b-i2v": {*CHOICES} - {"seacache"},
    "wan-vace": GENERAL,
    "skyreels": {"taylorseer", "pab"},
    "ltx": GENERAL,
    "hunyuan": GENERAL,
    "hunyuan-1.5": {"taylorseer", "pab"},
    "cogvideox-5b": GENERAL,
    "mochi": GENERAL,
    "flux": GENERAL,
    "flux2-klein": GENERAL - {"firstblock"},
    "qwen-image": GENERAL,
}


def built(name):
    """The tiny pipeline with two blocks at least, as every real one has."""
    pipe = CASES[name].build()
    for child in ("transformer_blocks", "single_transformer_blocks"):
        blocks = getattr(pipe.transformer, child, None)
        if blocks is not None and len(blocks) == 1:
            blocks.append(copy.deepcopy(blocks[0]))
    return pipe


@pytest.mark.filterwarnings("ignore:In CPU autocast")  # Mochi's own
@pytest.mark.parametrize("name", TAKEN)
def test_what_a_family_takes_runs_along_a_u_and_what_it_does_not_is_refused(name):
    pipe, case = built(name), CASES[name]
    plain = run_staged(request(case, pipe, U))
    for technique, choice in CHOICES.items():
        asked = request(case, pipe, U, cache=choice)
        if technique not in TAKEN[name]:
            with pytest.raises(UnsupportedPipeline):
                run_staged(asked)
            continue
        found = run_staged(asked)
        assert found.evaluations.skipped > 0, technique
        assert found.evaluations.computed + found.evaluations.skipped == plain.evaluations.computed
        assert np.isfinite(found.frames).all()
        assert not np.array_equal(found.frames, plain.frames)
    assert np.array_equal(run_staged(request(case, pipe, U)).frames, plain.frames)


@pytest.mark.parametrize("pipeline", FAMILIES)
def test_which_pipelines_name_their_passes_is_what_the_library_does(pipeline):
    assert names_passes(getattr(diffusers, pipeline)) == (pipeline not in SILENT)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if name in ("sd3", "flux-kontext", "chroma")])
def test_a_pipeline_that_does_not_name_its_passes_takes_none(name):
    pipe = CASES[name].build()
    for choice in CHOICES.values():
        with pytest.raises(UnsupportedPipeline, match="does not tell"):
            CachedRun(pipe, choice, ())


@pytest.mark.parametrize("model", [name for name, spec in catalogue().items() if spec.pipeline in FAMILIES])
def test_the_board_learns_for_every_model_what_it_takes(model):
    spec = catalogue()[model]
    caches = {each["name"]: each["refused"] for each in offered(spec)}
    assert caches["fastercache"]
    assert (caches["pab"] is None) == (spec.pipeline not in SILENT)
    strange = SILENT | STRANGE_BLOCKS
    assert (caches["firstblock"] is None) == (spec.pipeline not in strange | TURNED_BLOCKS)


def test_what_is_said_beforehand_is_what_the_pipelines_do():
    spec = catalogue()["emoji-wan"]
    for name, taken in TAKEN.items():
        pipeline = type(CASES[name].build()).__name__
        if name in ("wan-a14b", "wan-i2v", "wan-5b-i2v", "wan-5b"):  # told by their transformers' configs too
            continue
        for technique, choice in CHOICES.items():
            assert (refusal(choice, replace(spec, pipeline=pipeline)) is None) == (technique in taken), (
                name,
                technique,
            )
