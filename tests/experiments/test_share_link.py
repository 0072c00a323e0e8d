"""Share links: what goes in comes out, and what strangers write is refused in one sentence."""

from __future__ import annotations

import base64
import json
import random
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InvalidInput, ModelNotFound
from engine.experiments.documents import load_experiment, parse_experiment
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import MAX_SEED, Settings
from engine.experiments.share_link import MAX_JSON, MAX_TEXT, pack, unpack
from engine.models.catalogue import catalogue, catalogue_model, find_model
from engine.schedules.schedule import flat, parse_schedule
from engine.switching.policies import POLICIES, policy_named
from engine.texts import is_plain

SPEC = find_model("emoji-wan")
PLAIN = st.characters(exclude_categories=("Cs", "Cc", "Cn")).filter(is_plain)
TEXT = st.text(PLAIN | st.sampled_from("\n\t"), max_size=60)


WAYS = [*POLICIES.values(), policy_named("coherent@+1"), policy_named("anchored@none"), policy_named("lightx2v@exact")]


@st.composite
def schedules(draw, steps):
    switches = sorted(draw(st.sets(st.integers(1, steps - 1), max_size=4)))
    rates = [draw(st.sampled_from([0.125, 0.5, 0.75, 0.7501, 1.0])) for _ in switches]
    return parse_schedule(steps, rates, switches)


@st.composite
def tracks_over(draw, steps):
    own = draw(st.none() | st.integers(2, 60) | st.just(steps))
    schedule, policy = draw(schedules(own or steps)), draw(st.sampled_from(WAYS))
    return Track(draw(st.text(PLAIN, max_size=60).filter(str.strip)), schedule, policy, steps=own)


@st.composite
def experiments(draw):
    spec = draw(st.sampled_from([one for one in catalogue().values() if not one.levels]))
    family, multiple = spec.family, spec.geometry.multiple[0]
    frames = 1 + spec.geometry.stride[0] if family.output == "video" else 1
    shifts = st.floats(0.01, 100) if spec.process in ("flow", "inverted") else st.nothing()
    steps = draw(st.integers(2, 60))
    tracks = draw(st.lists(tracks_over(steps), max_size=5))
    return make_experiment(
        spec,
        tracks,
        Settings(
            prompt=draw(TEXT.filter(str.strip)),
            negative_prompt=draw(st.none() | TEXT if family.negative else st.none() | st.just("")),
            seed=draw(st.integers(0, MAX_SEED)),
            steps=steps,
            height=draw(st.none() | st.just(8 * multiple)),
            frames=draw(st.none() | st.just(frames)),
            guidance=draw(st.none() | st.floats(0, 100)),
            shift=draw(st.none() | shifts),
            solver=draw(st.sampled_from((None, *spec.solvers))),
        ),
    )


def four_tracks():
    names = ("two-stage-0.75", "u-0.75", "staircase", "two-stage-0.5")
    tracks = [Track(name, load_preset(name, 30).schedule, policy_named("coherent")) for name in names]
    return make_experiment(SPEC, tracks, Settings(prompt="a red apple bouncing over blue stripes", seed=7))


def link(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(zlib.compress(data)).rstrip(b"=").decode()


GOOD = {"v": 1, "m": "emoji-wan", "p": "a cat", "e": 1, "t": [["a", "coherent", [0.75], [15]]]}


@settings(deadline=None)
@given(experiments())
def test_a_link_brings_the_experiment_back(experiment):
    text = pack(experiment)
    assert unpack(text) == experiment
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_four_tracks_fit_into_a_few_hundred_characters():
    assert len(pack(four_tracks())) < 300


def test_the_link_written_by_hand_is_read():
    track = unpack(link(GOOD)).tracks[0]
    assert (track.name, track.schedule) == ("a", parse_schedule(30, [0.75], [15]))


def refused(text: object) -> str:
    with pytest.raises(InvalidInput) as error:
        unpack(text)
    sentence = str(error.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 400
    return sentence


def test_a_link_of_a_newer_version_says_so():
    assert "made by a newer version of Resolute" in refused(link(GOOD | {"v": 2, "z": "unheard of"}))


def test_a_bomb_is_not_inflated():
    bomb = link(b"[" * 3_000_000)
    assert len(bomb) < MAX_TEXT
    assert f"{MAX_JSON:,}" in refused(bomb)


def test_a_long_text_is_not_even_decoded():
    assert f"{MAX_TEXT:,}" in refused("A" * (MAX_TEXT + 1))


@pytest.mark.parametrize("text", [None, 7, "", "ä", "a b", "AAAA", "A", "eNo", "=" * 8, "../../etc/passwd"])
def test_what_is_no_link_is_refused(text):
    refused(text)


@pytest.mark.parametrize("end", [1, 5, 20])
def test_a_link_that_is_cut_off_is_refused(end):
    refused(pack(four_tracks())[:-end])


def test_a_link_with_something_after_its_end_is_refused():
    more = zlib.compress(json.dumps(GOOD).encode()) + b"more"
    refused(base64.urlsafe_b64encode(more).rstrip(b"=").decode())


@pytest.mark.parametrize(
    "change",
    [
        {"v": None}, {"v": True}, {"v": "1"}, {"v": 0}, {"v": 1.5},
        {"m": None}, {"m": 5}, {"m": "nothing"}, {"m": "\x00"}, {"m": ["emoji-wan"]}, {"m": "x" * 5000},
        {"p": ""}, {"p": 5}, {"p": "a" * 2001}, {"p": None}, {"e": -1}, {"e": 2**60}, {"e": True}, {"e": "1"},
        {"s": 0}, {"s": 1001}, {"s": "30"}, {"s": []}, {"h": 7}, {"w": 1 << 20}, {"f": 2}, {"g": "x"}, {"i": 0},
        {"o": "dpm"}, {"zz": 1}, {"constructor": 1},
        {"t": None}, {"t": {}}, {"t": "abcd"}, {"t": [[]]}, {"t": [5]}, {"t": ["abcd"]},
        {"t": [["a", "coherent", [0.75], [15]]] * 65}, {"t": [["", "coherent", [], []]]},
        {"t": [["a", "best", [], []]]}, {"t": [["a", ["coherent"], [], []]]}, {"t": [[5, "coherent", [], []]]},
        {"t": [["a", "coherent", [2], [15]]]}, {"t": [["a", "coherent", [0.75], [30]]]},
        {"t": [["a", "coherent", None, [15]]]}, {"t": [["a", "coherent", [0.75], "15"]]},
        {"t": [["a", "coherent", [0.001], [15]]]}, {"t": [["a" * 201, "coherent", [], []]]},
    ],
)  # fmt: skip
def test_a_hostile_value_is_one_sentence(change):
    refused(link(GOOD | change))


@pytest.mark.parametrize("data", [b"[]", b"7", b"{", b'{"v":1,"v":1}', b'{"v":NaN}', b"\xff\xfe{}", b"[" * 60_000])
def test_strict_json_holds_inside_a_link(data):
    refused(link(data))


@settings(deadline=None)
@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda data: link(data)))
def test_no_text_gives_anything_but_an_experiment_or_a_sentence(text):
    refused(text)


def test_what_is_too_long_for_a_link_is_said_to_be():
    draw = random.Random(0)
    names = ["".join(chr(draw.randrange(0x20000, 0x2A6D0)) for _ in range(200)) for _ in range(30)]
    tracks = [Track(name, flat(30), policy_named("coherent")) for name in names]
    with pytest.raises(InvalidInput, match="share the experiment as a file"):
        pack(make_experiment(SPEC, tracks, Settings(prompt="x")))


def test_a_document_from_outside_cannot_ask_what_lies_on_the_disk(tmp_path: Path):
    folder = Path(SPEC.location)
    document = json.dumps(four_tracks().document() | {"model": str(folder)})
    assert parse_experiment(document, "mine").spec.location == str(folder)
    with pytest.raises(ModelNotFound, match="not in the catalogue"):
        parse_experiment(document, "a stranger's", catalogue_model)
    (tmp_path / "x.json").write_text(document)
    with pytest.raises(ModelNotFound, match="not in the catalogue"):
        load_experiment(tmp_path / "x.json", catalogue_model)
    assert "not in the catalogue" in refused(link(GOOD | {"m": str(folder)}))


def test_a_model_outside_the_catalogue_cannot_be_linked_to():
    with pytest.raises(InvalidInput, match="not in the catalogue"):
        pack(make_experiment(replace(SPEC, id="mine"), [], Settings(prompt="x")))
