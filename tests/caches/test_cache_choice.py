"""Caches as they come from outside: every value is checked once, and what is written reads back the same."""

from __future__ import annotations

import pytest

from engine.caches.cache_choice import TECHNIQUES, parse_cache, parse_optional, parse_shorthand, split_shorthand
from engine.errors import InvalidInput


@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_choice_reads_back_from_its_document_and_from_its_line(name):
    choice = parse_shorthand(name)
    assert parse_cache(choice.document()) == choice
    assert parse_shorthand(str(choice)) == choice
    assert hash(parse_cache(choice.document())) == hash(choice)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_the_first_parameter_is_what_a_line_sets(name):
    main = TECHNIQUES[name].main
    assert parse_shorthand(f"{name}:{main.high:g}")[main.name] == main.high


@pytest.mark.parametrize("name", TECHNIQUES)
def test_every_default_lies_in_its_range(name):
    for parameter in TECHNIQUES[name].parameters:
        if parameter.default is not None and not isinstance(parameter.default, bool):
            assert parameter.low <= parameter.default <= parameter.high


@pytest.mark.parametrize(
    "text",
    [
        "teacache:0.2,ret_steps=false", "magcache:0.03,max_skip=5,retention=0.1", "pab:4,cross_range=6,to_t=50",
        "seacache:0.5,order=0,max_skip=0", "taylorseer:5,warm_up=2,order=2",
    ],
)  # fmt: skip
def test_a_line_with_several_figures_reads_back(text):
    assert str(parse_shorthand(text)) == text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("teacache:0", "0.001..5"), ("teacache:nan", "0.001..5"), ("teacache:inf", "0.001..5"),
        ("teacache:-1", "0.001..5"), ("teacache:x", "neither"), ("teacache:true", "a number"),
        ("pab:1", "2..20"), ("pab:2.5", "an integer"), ("pab:2,to_t=950", "from_t"), ("pab:2,3", "name=value"),
        ("teacache:0.1,thresh=2", "ret_steps"), ("teacache:0.1,ret_steps=1", "true or false"),
        ("caching", "there are teacache"), ("", "there are teacache"), ("magcache:0.1,max_skip=1e9", "an integer"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_remedy(text, word):
    with pytest.raises(InvalidInput) as refused:
        parse_shorthand(text)
    assert word in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        5, [], "teacache", {"name": None}, {"name": "teacache", "threshold": "0.1"}, {"name": "teacache", "more": 1},
        {"name": "teacache", "threshold": True}, {"name": "teacache", "coefficients": []},
        {"name": "teacache", "coefficients": [1.0, float("nan")]}, {"name": "teacache", "coefficients": [True]},
        {"name": "teacache", "coefficients": [1e300]}, {"name": "magcache", "ratios": [1.0] * 1001},
        {"name": "teacache", "coefficients": "12"},
    ],
)  # fmt: skip
def test_a_document_that_is_no_cache_is_refused(value):
    with pytest.raises(InvalidInput):
        parse_cache(value)


def test_no_cache_is_none():
    assert parse_shorthand("none") is None
    assert parse_optional(None) is None


def test_only_a_technique_behind_a_plus_is_taken_for_a_cache():
    assert split_shorthand("u-0.75+teacache:0.2") == ("u-0.75", parse_shorthand("teacache:0.2"))
    assert split_shorthand("a+b.json") == ("a+b.json", None)
    assert split_shorthand("u-0.75") == ("u-0.75", None)


def test_lists_are_kept_and_stay_out_of_the_line():
    choice = parse_cache({"name": "teacache", "coefficients": [1, 2.5]})
    assert choice["coefficients"] == (1.0, 2.5)
    assert str(choice) == "teacache:0.1"
    assert choice.document()["coefficients"] == [1.0, 2.5]
