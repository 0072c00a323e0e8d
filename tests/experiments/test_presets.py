"""Preset files, LightX2V configs and JSON from strangers."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from engine import strict_json
from engine.cli.commands import app
from engine.errors import InvalidInput
from engine.experiments.lightx2v_config import parse_config
from engine.experiments.presets import PRESETS, Preset, load_preset, parse_preset, preset_names, to_json
from engine.hpdm.level_choice import LevelChoice
from engine.schedules.lightx2v_keys import export, schedule_of
from engine.schedules.schedule import parse_schedule

UPSTREAM = {
    "lightx2v-wan_t2v": ("two-stage", (25,)),
    "lightx2v-wan_t2v_U": ("U-shaped", (10, 35)),
    "lightx2v-wan_t2v_U_teacache": ("U-shaped", (10, 35)),
    "lightx2v-wan_i2v": ("two-stage", (20,)),
    "lightx2v-wan_i2v_U": ("U-shaped", (5, 25)),
}
OWN = {
    "resolute_preset": 1,
    "name": "mine",
    "infer_steps": 30,
    "resolution_rate": [0.5],
    "changing_resolution_steps": [15],
}


@pytest.mark.parametrize("name", preset_names())
def test_every_bundled_preset_loads(name):
    preset = load_preset(name, 30)
    assert preset.schedule.stages[-1].rate == 1.0
    assert preset.name


@pytest.mark.parametrize(("name", "meant"), UPSTREAM.items())
def test_upstream_settings_mean_what_lightx2v_means(name, meant):
    preset = load_preset(name, 1)
    assert (preset.schedule.kind, preset.schedule.switch_steps) == meant
    assert (preset.settings.height, preset.settings.width, preset.settings.frames) == (480, 832, 81)


@pytest.mark.parametrize("name", UPSTREAM)
def test_lightx2v_config_is_written_back_untouched(name):
    text = (PRESETS / f"{name}.json").read_text()
    config = parse_config(text)
    assert json.loads(config.to_json()) == json.loads(text)
    assert list(json.loads(config.to_json())) == list(json.loads(text))


def test_a_preset_keeps_the_rule_of_the_shift() -> None:
    preset = parse_preset(json.dumps(OWN | {"policy": "coherent@+1", "description": "x"}), "mine.json")
    assert preset.policy == "coherent@+1"
    assert parse_preset(to_json(preset), "again.json") == preset
    assert parse_preset(json.dumps(OWN | {"policy": "lightx2v@+1"}), "mine.json").policy == "lightx2v"


def test_unknown_keys_survive_a_change_of_schedule():
    document = {"infer_steps": 50, "feature_caching": "Tea", "nested": {"a": [1, None, "ü"]}}
    changed = export(parse_schedule(40, [0.5], [10]), document)
    assert changed["feature_caching"] == "Tea"
    assert changed["nested"] == {"a": [1, None, "ü"]}
    assert schedule_of(changed) == parse_schedule(40, [0.5], [10])
    assert document == {"infer_steps": 50, "feature_caching": "Tea", "nested": {"a": [1, None, "ü"]}}


def test_lightx2v_defaults_are_rate_075_and_half_the_steps():
    schedule = schedule_of({"infer_steps": 41, "changing_resolution": True})
    assert (schedule.rates, schedule.switch_steps) == ((0.75,), (20,))


def test_defaults_are_kept_as_defaults_when_written_back():
    assert export(
        schedule_of({"infer_steps": 40, "changing_resolution": True}), {"infer_steps": 40, "changing_resolution": True}
    ) == {"infer_steps": 40, "changing_resolution": True}


def test_config_without_changing_resolution_is_flat_and_keeps_its_rates_on_file():
    document = {"infer_steps": 40, "changing_resolution": False, "resolution_rate": [7]}
    assert schedule_of(document).is_flat
    assert export(schedule_of(document), document) == document


def test_lightx2v_with_one_step_is_refused():
    with pytest.raises(InvalidInput, match="use at least 2 steps"):
        schedule_of({"infer_steps": 1, "changing_resolution": True})


@pytest.mark.parametrize("value", ["yes", 1, None, []])
def test_changing_resolution_must_be_a_boolean(value):
    with pytest.raises(InvalidInput, match=r"changing_resolution is .* true or false"):
        schedule_of({"infer_steps": 50, "changing_resolution": value})


def test_missing_infer_steps_is_named():
    with pytest.raises(InvalidInput, match="infer_steps is missing"):
        schedule_of({"changing_resolution": True})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("target_height", "480"),
        ("target_width", -1),
        ("target_video_length", 10**9),
        ("sample_shift", 0),
        ("sample_shift", True),
        ("sample_guide_scale", "6"),
        ("sample_guide_scale", [1, 2, 3]),
    ],
)
def test_bad_run_settings_are_refused_by_key(key, value):
    with pytest.raises(InvalidInput) as refused:
        parse_config(json.dumps({"infer_steps": 50, key: value}))
    assert refused.value.field == key


def test_two_guidance_scales_are_kept_apart():
    settings = parse_config('{"infer_steps": 40, "sample_guide_scale": [3.5, 4]}').settings
    assert (settings.guidance, settings.guidance_2) == (3.5, 4.0)


DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"infer_steps": 50', "not complete, valid JSON"),
        (b"", "not complete, valid JSON"),
        (b"\xef\xbb\xbf{}", "byte-order mark"),
        ("{}".encode("utf-16"), "UTF-16"),
        ("{}".encode("utf-16-le"), "UTF-16"),
        (b"{\xff\x80}....", "not UTF-8"),
        (b'{"a": "' + b"x" * 70_000 + b'"}', "65,536"),
        (b" " * 50_000_000, "65,536"),
        (DEEP[:60_000], "32 levels"),
        (b'{"infer_steps": 50, "infer_steps": 40}', '"infer_steps" twice'),
        (b'{"a": {"b": 1, "b": 2}}', '"b" twice'),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": Infinity}', "Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"[1, 2]", "list at the top"),
        (b"null", "null at the top"),
        (b'"text"', "string at the top"),
    ],
)
def test_hostile_json_is_refused_in_one_sentence(data, sentence):
    with pytest.raises(InvalidInput, match=sentence) as refused:
        parse_preset(data, "file.json")
    assert str(refused.value).startswith("file.json")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_read_or_refused_never_a_crash(data):
    with contextlib.suppress(InvalidInput):
        assert parse_preset(data, "x").schedule.infer_steps >= 1


def test_brackets_inside_strings_do_not_count_as_depth():
    assert strict_json.loads('{"a": "' + "[" * 100 + '\\""}', "x")["a"].startswith("[[[")


def test_unknown_key_in_our_own_format_is_refused_by_name():
    with pytest.raises(InvalidInput, match='unknown key "rate"') as refused:
        parse_preset(json.dumps(OWN | {"rate": 1}), "mine.json")
    assert refused.value.field == "rate"


@pytest.mark.parametrize("key", [key for key in OWN if key != "resolute_preset"])
def test_missing_key_in_our_own_format_is_refused_by_name(key):
    with pytest.raises(InvalidInput, match=f'key "{key}" is missing'):
        parse_preset(json.dumps({k: v for k, v in OWN.items() if k != key}), "mine.json")


def test_preset_of_a_newer_version_says_so():
    with pytest.raises(InvalidInput, match="newer version"):
        parse_preset(json.dumps(OWN | {"resolute_preset": 2}), "mine.json")


def test_preset_with_an_unknown_policy_lists_the_policies():
    with pytest.raises(InvalidInput, match="coherent, spectral, lightx2v"):
        parse_preset(json.dumps(OWN | {"policy": "best"}), "mine.json")


def test_own_preset_round_trips():
    preset = Preset("mine", parse_schedule(30, [1.0, 0.5], [3, 9]), "why", "spectral")
    assert parse_preset(to_json(preset), "mine.json") == preset


@pytest.mark.parametrize(
    ("text", "rates", "steps"),
    [
        ("0.75@50%", (0.75,), (15,)),
        ("1/0.75@20%/70%", (1.0, 0.75), (6, 21)),
        ("1/0.75/1@6/21", (1.0, 0.75), (6, 21)),
        ("0.5/0.75@10/20", (0.5, 0.75), (10, 20)),
    ],
)
def test_shorthand_means_rates_at_steps(text, rates, steps):
    schedule = load_preset(text, 30).schedule
    assert (schedule.rates, schedule.switch_steps) == (rates, steps)


@pytest.mark.parametrize(
    "text",
    [
        "0.75@0%",
        "0.75@100%",
        "1.2.3@5",
        "0.75@9999999",
        "2@5",
        "0@5",
        "٠.٥@5",
        "0.75@5/9%",
        "0.75@5/0",
        "0.75@5/1001",
        "0.75@9/9",
        "0.75@5/6/9",
        "flat@",
        "flat@0",
        "flat@1.5",
        "flat@50%",
        "u-0.75@1001",
        "u-0.75@1",
        "flat@15@15",
        "flat@１５",
    ],
)
def test_bad_shorthand_is_refused(text):
    with pytest.raises(InvalidInput):
        load_preset(text, 30)


@pytest.mark.parametrize(
    ("text", "own", "rates", "steps"),
    [
        ("flat@15", 15, (), ()),
        ("0.75@50%/20", 20, (0.75,), (10,)),
        ("0.75@5/20", 20, (0.75,), (5,)),
        ("1/0.75@20%/70%/20", 20, (1.0, 0.75), (4, 14)),
        ("0.75/1@50%/20", None, (0.75, 1.0), (15, 20)),
        ("two-stage-0.75@21", 21, (0.75,), (11,)),
        ("flat@15+teacache:0.1", 15, (), ()),
        ("0.75@50%/20+teacache:0.1", 20, (0.75,), (10,)),
    ],
)
def test_one_number_more_than_rates_is_the_number_of_steps_of_its_own(text, own, rates, steps):
    preset = load_preset(text, 30)
    assert (preset.name, preset.steps, preset.schedule) == (text, own, parse_schedule(own or 30, rates, steps))
    assert (preset.cache is None) == ("+" not in text)


def test_steps_of_its_own_round_trip_in_a_preset_and_scale_its_schedule():
    preset = Preset("mine", parse_schedule(20, [0.5], [5]), "why", "spectral", steps=20)
    assert parse_preset(to_json(preset), "mine.json") == preset
    assert parse_preset(json.dumps(OWN | {"steps": 60}), "x").schedule.infer_steps == 60
    with pytest.raises(InvalidInput, match=r"steps of a track is true; .* 1\.\.1000"):
        parse_preset(json.dumps(OWN | {"steps": True}), "x")


@pytest.mark.parametrize("name", ["nope", "../presets/nope", "a\x00b", "", "x" * 5000, "C:\\x", "%2e%2e"])
def test_a_preset_that_is_not_there_lists_those_that_are(name):
    with pytest.raises(InvalidInput, match=r"two-stage-0\.75"):
        load_preset(name, 30)


def test_a_level_tracks_preset_comes_back_and_no_config_of_another_kind_swallows_its_levels(tmp_path):
    preset = Preset(
        "two",
        parse_schedule(14, [0.25, 0.5], [8, 12]),
        "Two of three levels",
        levels=LevelChoice(2, "none", "off", heun=True),
    )
    file = tmp_path / "two.json"
    file.write_text(to_json(preset), encoding="utf-8")
    assert load_preset(str(file), 14).levels == preset.levels
    for command, said in (
        ("schedule export", "LightX2V config has no levels"),
        ("compare --schedule", "has no levels"),
    ):
        more = ["--prompt", "a frog", "--out", str(tmp_path / "out")] if command.startswith("compare") else []
        refused = CliRunner().invoke(app, [*command.split(), str(file), *more])
        assert isinstance(refused.exception, InvalidInput)
        assert said in str(refused.exception)


def test_a_presets_levels_are_checked(tmp_path):
    document = '{"resolute_preset": 1, "name": "a", "infer_steps": 14, "resolution_rate": [0.25, 0.5], '
    document += '"changing_resolution_steps": [8, 12], "levels": {"overlap": "wide"}}'
    with pytest.raises(InvalidInput, match="none, spatial or full"):
        parse_preset(document, "it")
