"""Tracks with steps of their own, as they are written down and read again."""

from __future__ import annotations

import json

import pytest

from engine.errors import InvalidInput
from engine.experiments.documents import parse_experiment
from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.script import diffusers_snippet
from engine.experiments.settings import Settings
from engine.experiments.share_link import pack, unpack
from engine.models.catalogue import find_model
from engine.switching.policies import policy_named

SPEC = find_model("emoji-wan")


def asked(*schedules: str, steps: int = 30) -> Experiment:
    tracks = []
    for name in schedules:
        preset = load_preset(name, steps)
        tracks.append(Track(name, preset.schedule, policy_named("anchored"), preset.cache, steps=preset.steps))
    return make_experiment(SPEC, tracks, Settings("a red apple", seed=1, steps=steps))


def test_steps_of_their_own_come_back_from_documents_and_links_also_where_they_are_the_experiments():
    experiment = asked("flat@15", "0.75@50%/20", "0.75@50%/30", "0.75@50%", "flat@9+teacache:0.1")
    assert [track.schedule.infer_steps for track in experiment.tracks] == [15, 20, 30, 30, 9]
    assert parse_experiment(json.dumps(experiment.document()), "x") == experiment
    assert unpack(pack(experiment)) == experiment


def test_a_track_without_steps_of_its_own_is_written_as_it_always_was():
    experiment = asked("0.75@50%", "u-0.5+teacache:0.1")
    assert all("steps" not in track.document() for track in experiment.tracks)
    plain, cached = experiment.tracks
    assert list(plain.document()) == [
        "name", "policy", "infer_steps", "changing_resolution", "resolution_rate", "changing_resolution_steps",
    ]  # fmt: skip
    assert list(cached.document()) == [*plain.document(), "cache"]


def test_another_number_of_steps_of_the_experiment_leaves_those_of_a_track():
    experiment = asked("0.75@50%/20", "0.75@50%")
    again = make_experiment(SPEC, experiment.tracks, Settings("a red apple", seed=1, steps=12))
    assert [track.schedule.infer_steps for track in again.tracks] == [20, 12]
    assert (again.most_steps, again.baseline.schedule.infer_steps) == (20, 12)


@pytest.mark.parametrize("bad", [0, 1001, "20", True, 20.5, []])
def test_bad_steps_of_a_track_are_refused_in_one_sentence(bad):
    document = asked("0.75@50%").document()
    document["tracks"][0]["steps"] = bad
    with pytest.raises(InvalidInput, match=r"^steps of a track is [^\n]*1\.\.1000\.$"):
        parse_experiment(json.dumps(document), "x")


def test_a_schedule_that_does_not_fit_its_own_steps_is_refused():
    document = asked("1/0.75@1/2").document()
    document["tracks"][0]["steps"] = 4
    with pytest.raises(InvalidInput, match="does not fit into infer_steps 4"):
        parse_experiment(json.dumps(document), "x")


def test_a_track_has_as_many_steps_as_its_model_needs_at_least():
    """LTX makes no table of one step, whoever asks for it."""
    spec = find_model("ltx-video")
    assert spec.family.least_steps == 2
    preset = load_preset("flat@1", 30)
    track = Track("short", preset.schedule, policy_named("anchored"), steps=1)
    with pytest.raises(InvalidInput, match=r"^steps of 'short' is 1; .* needs at least 2\.$"):
        make_experiment(spec, [track], Settings("a red apple"))


def test_a_model_by_levels_has_no_tracks_with_steps_of_their_own():
    spec = find_model("emoji-hpdm")
    track = make_experiment(spec, [], Settings(spec.examples[0])).baseline
    own = Track("short", track.schedule, track.policy, None, track.levels, steps=9)
    with pytest.raises(InvalidInput, match="shares its steps among levels; leave out those of 'short'"):
        make_experiment(spec, [own], Settings(spec.examples[0]))


def test_a_track_without_its_cache_has_as_many_steps():
    flat, short, cached = asked("flat", "flat@15", "flat@15+teacache:0.1").tracks
    assert cached.without_cache(short)
    assert not cached.without_cache(flat)


@pytest.mark.parametrize("name", ["0.75@50%/20", "0.75@50%/20+teacache:0.1"])
def test_a_script_has_the_steps_of_its_track(name):
    experiment = asked(name)
    text = diffusers_snippet(experiment, experiment.tracks[0])
    assert "\nSTEPS = 20\n" in text
