"""A size that a model has no positions for is refused in one sentence, before anything is queued."""

from __future__ import annotations

import pytest

from engine.errors import InvalidInput
from engine.experiments.experiment import make_experiment
from engine.experiments.settings import Settings
from engine.models.catalogue import catalogue_model, find_model
from engine.models.geometry import _positions
from engine.schedules.latent_sizes import Geometry, checked_size


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"height": 1088, "width": 1920, "frames": 161}, "height is 1088; this model has positions for at most 1024"),
        ({"height": 128, "width": 1040}, "width is 1040; this model has positions for at most 1024"),
        ({"frames": 257}, "frames is 257; this model has positions for at most 253"),
    ],
)
def test_a_size_beyond_the_tables_of_the_shipped_model_is_refused(asked, words):
    with pytest.raises(InvalidInput, match=words):
        make_experiment(catalogue_model("emoji-wan"), [], Settings("a fox", **asked))


def test_the_largest_size_that_the_tables_hold_is_taken():
    asked = Settings("a fox", height=1024, width=1024, frames=253)
    assert make_experiment(catalogue_model("emoji-wan"), [], asked).frames == 253


@pytest.mark.parametrize("id", ["wan2.1-14b", "wan2.2-ti2v-5b", "sd3-medium", "qwen-image", "ltx-video"])
def test_published_models_take_the_sizes_that_they_are_made_for(id):
    spec = find_model(id)
    own = spec.defaults
    assert checked_size(spec.geometry, own.height, own.width, own.frames)


def test_the_denoisers_own_patch_counts_where_stages_need_larger_ones():
    geometry = Geometry((4, 8, 8), (1, 16, 16), 16, (128, 128, 128), (1, 2, 2))
    assert checked_size(geometry, 2048, 2048, 5) == (2048, 2048, 5)
    with pytest.raises(InvalidInput, match="height is 2176; this model has positions for at most 2048"):
        checked_size(geometry, 2176, 2048, 5)


def test_what_a_config_says_of_its_positions_is_read_and_nothing_is_guessed():
    assert _positions({"_class_name": "WanTransformer3DModel"}) == ((1, 2, 2), (1024, 1024, 1024))
    stable = {"_class_name": "SD3Transformer2DModel"}
    assert _positions(stable | {"pos_embed_max_size": 96}) == ((1, 2, 2), (1, 96, 96))
    assert _positions(stable)[1] is None
    assert _positions({"_class_name": "FluxTransformer2DModel"})[1] is None
