"""LightX2V's caching keys: TeaCache is read and written, others are named as not run."""

from __future__ import annotations

import json

import pytest

from engine.caches.cache_choice import parse_cache, parse_shorthand
from engine.errors import InvalidInput
from engine.experiments.lightx2v_config import cache_of, parse_config, with_cache
from engine.experiments.presets import load_preset, parse_preset, to_json

TEA = {
    "infer_steps": 50,
    "feature_caching": "Tea",
    "coefficients": [[1.0, 2.0], [3.0, 4.0]],
    "use_ret_steps": True,
    "teacache_thresh": 0.26,
}


@pytest.mark.parametrize(("ret_steps", "expected"), [(True, (1.0, 2.0)), (False, (3.0, 4.0))])
def test_the_polynomial_follows_use_ret_steps(ret_steps, expected):
    choice = cache_of(TEA | {"use_ret_steps": ret_steps})
    assert choice["coefficients"] == expected
    assert choice["ret_steps"] is ret_steps
    assert choice["threshold"] == 0.26


def test_keys_that_are_missing_have_lightx2vs_defaults():
    choice = cache_of({"feature_caching": "Tea"})
    assert (choice["threshold"], choice["ret_steps"], choice.get("coefficients")) == (0.26, False, None)


@pytest.mark.parametrize("value", ["NoCaching", None, False])
def test_no_caching_is_no_cache(value):
    config = parse_config(json.dumps({"infer_steps": 50, "feature_caching": value}))
    assert config.cache is None
    assert config.unknown_cache is None


def test_another_cache_is_named_as_not_run():
    preset = parse_preset(json.dumps({"infer_steps": 50, "feature_caching": "Ada"}), "x.json")
    assert preset.cache is None
    assert "Ada is not run" in preset.description


@pytest.mark.parametrize(
    "wrong",
    [
        {"coefficients": [1.0, 2.0]}, {"coefficients": [[1.0]]}, {"coefficients": "x"}, {"teacache_thresh": -1},
        {"teacache_thresh": "0.1"}, {"use_ret_steps": 1}, {"coefficients": [[], [1.0]]},
    ],
)  # fmt: skip
def test_damaged_keys_are_refused(wrong):
    with pytest.raises(InvalidInput):
        cache_of(TEA | wrong)


@pytest.mark.parametrize("ret_steps", [True, False])
def test_what_is_written_reads_back(ret_steps):
    choice = parse_cache({"name": "teacache", "threshold": 0.3, "ret_steps": ret_steps, "coefficients": [1.0, 0.5]})
    written = with_cache({"infer_steps": 50, "text_len": 512}, choice)
    assert cache_of(written) == choice
    assert written["text_len"] == 512


def test_a_document_that_means_the_cache_already_stays_as_it_is():
    assert with_cache(TEA, cache_of(TEA)) == TEA


def test_a_cache_that_lightx2v_has_no_words_for_is_switched_off_there():
    for cache in (None, parse_shorthand("pab")):
        assert with_cache(TEA, cache)["feature_caching"] == "NoCaching"
        assert with_cache({"infer_steps": 50}, cache) == {"infer_steps": 50}


def test_a_preset_keeps_its_cache():
    preset = load_preset("u-0.75+magcache:0.1", 30)
    assert preset.cache == parse_shorthand("magcache:0.1")
    assert parse_preset(to_json(preset), "x.json").cache == preset.cache


def test_a_cache_behind_the_name_takes_the_place_of_the_files_own():
    assert load_preset("lightx2v-wan_t2v_U_teacache+pab:4", 50).cache == parse_shorthand("pab:4")
