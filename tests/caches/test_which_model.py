"""Which model can take which cache, known before anything runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.caches import which_model
from engine.caches.cache_choice import TECHNIQUES, parse_cache, parse_shorthand
from engine.errors import InvalidInput
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.models.catalogue import find_model
from engine.schedules.schedule import flat
from engine.switching.policies import policy_named


def spec(**transformer):
    wan = find_model("wan2.1-1.3b")
    return replace(wan, transformer={**wan.transformer, **transformer})


@pytest.mark.parametrize("name", [name for name in TECHNIQUES if name != "fastercache"])
@pytest.mark.parametrize("model", ["emoji-wan", "wan2.1-1.3b", "wan2.1-14b"])
def test_wan_takes_every_cache_but_fastercache(name, model):
    assert which_model.refusal(parse_shorthand(name), find_model(model)) is None


def test_fastercache_is_refused_with_a_reason_when_the_experiment_is_made():
    track = Track("a", flat(4), policy_named("coherent"), parse_shorthand("fastercache"))
    with pytest.raises(InvalidInput, match="FasterCache cannot run here"):
        make_experiment(find_model("emoji-wan"), [track], Settings(prompt="x"))


@pytest.mark.parametrize(
    ("shape", "height", "expected"),
    [
        ((12, 30, 16), 480, which_model.WAN_1_3B),
        ((40, 40, 16), 720, which_model.WAN_14B),
        ((40, 40, 36), 480, which_model.WAN_I2V_480),
        ((40, 40, 36), 720, which_model.WAN_I2V_720),
        ((24, 30, 48), 704, which_model.WAN_TI2V_5B),
        ((16, 20, 16), 480, None),
    ],
)
def test_published_coefficients_are_found_by_the_transformers_shape(shape, height, expected):
    heads, layers, channels = shape
    model = spec(num_attention_heads=heads, num_layers=layers, in_channels=channels)
    assert which_model.coefficients_for(model, height) == expected


def test_teacache_without_coefficients_is_refused_and_runs_with_some():
    model = spec(num_attention_heads=16)
    assert "give them as `coefficients`" in which_model.refusal(parse_shorthand("teacache"), model)
    assert which_model.refusal(parse_cache({"name": "teacache", "coefficients": [1.0, 0.0]}), model) is None


def test_only_one_polynomial_is_published_for_the_5b_model():
    model = spec(num_attention_heads=24, num_layers=30, in_channels=48, out_channels=48)
    assert "ret_steps=false" in which_model.refusal(parse_shorthand("teacache"), model)
    assert which_model.refusal(parse_shorthand("teacache:0.1,ret_steps=false"), model) is None


def test_coefficients_are_filled_in_for_the_rule_that_is_used():
    wan = find_model("wan2.1-1.3b")
    for ret_steps, expected in ((True, which_model.WAN_1_3B.modulation), (False, which_model.WAN_1_3B.embedding)):
        choice = parse_cache({"name": "teacache", "ret_steps": ret_steps})
        assert which_model.resolved(choice, wan, 480)["coefficients"] == expected


def test_coefficients_that_are_given_stay():
    choice = parse_cache({"name": "teacache", "coefficients": [1.0, 0.0]})
    assert which_model.resolved(choice, find_model("wan2.1-1.3b"), 480) == choice


def test_the_presets_carry_what_lightx2v_publishes_for_the_small_model():
    preset = load_preset("lightx2v-wan_t2v_U_teacache", 50)
    assert preset.cache["threshold"] == 0.1
    assert preset.cache["ret_steps"] is False
    assert preset.cache["coefficients"] == pytest.approx(which_model.WAN_1_3B.embedding)


def test_the_shipped_model_has_polynomials_of_its_own_that_rise_on_both_sides():
    own = which_model.coefficients_for(find_model("emoji-wan"), 128)
    assert own is not None
    for polynomial in (own.modulation, own.embedding):
        assert len(polynomial) == 3
        assert polynomial[0] > 0


def test_a_damaged_file_of_coefficients_says_nothing(tmp_path):
    for text in ("{", "[]", '{"teacache": 3}', '{"teacache": {"modulation": ["x"], "embedding": []}}'):
        (tmp_path / "resolute.json").write_text(text)
        which_model._fitted.cache_clear()
        assert which_model._fitted(str(tmp_path)) is None


def test_seacache_needs_a_model_whose_input_is_the_latents_alone():
    assert "SeaCache needs" in which_model.refusal(parse_shorthand("seacache"), spec(in_channels=36))


@pytest.mark.parametrize("model", ["wan2.2-t2v-a14b", "wan2.2-i2v-a14b"])
def test_magcache_is_not_offered_where_two_experts_share_the_steps(model):
    assert "has two" in which_model.refusal(parse_shorthand("magcache"), find_model(model))
    assert which_model.refusal(parse_shorthand("taylorseer"), find_model(model)) is None
