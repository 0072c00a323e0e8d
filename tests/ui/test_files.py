"""Files that the studio hands out and opens again."""

from __future__ import annotations

import base64
import json
import re

import pytest

from engine.errors import InvalidInput
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.level_tracks import level_track
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.hpdm.level_choice import LevelChoice
from engine.models.catalogue import catalogue_model
from engine.switching.policies import policy_named
from ui.studio.exports import exports_html
from ui.studio.opened_files import open_file
from ui.timeline.board import Board

WAN, HPDM = catalogue_model("emoji-wan"), catalogue_model("emoji-hpdm")


def saved(html: str) -> dict[str, bytes]:
    """The files behind the links, by label."""
    links = re.findall(r'href="data:[^;]+;base64,([^"]+)">([^<]+)</a>', html)
    return {label: base64.b64decode(data) for data, label in links}


@pytest.fixture
def experiment():
    track = Track("mine <b>", load_preset("u-0.75", 30).schedule, policy_named("spectral"))
    return make_experiment(catalogue_model("emoji-wan"), [track], Settings(prompt="a cat face", seed=7, steps=30))


def test_a_saved_preset_opens_as_the_same_track(experiment, tmp_path):
    file = tmp_path / "saved.json"
    file.write_bytes(saved(exports_html(experiment, None, {}))["Preset"])
    (lane,) = open_file(str(file), Board(30), {}, WAN).board.lanes
    assert (lane.name, lane.policy, lane.schedule) == ("mine <b>", "spectral", experiment.tracks[0].schedule)


def test_a_saved_preset_of_a_track_of_its_own_steps_opens_with_them_on_a_board_of_others(tmp_path):
    own = load_preset("0.75@50%/20", 30)
    track = Track("mine", own.schedule, policy_named("spectral"), steps=own.steps)
    asked = make_experiment(WAN, [track], Settings(prompt="a cat face", seed=7, steps=30))
    file, files = tmp_path / "saved.json", saved(exports_html(asked, None, {}))
    file.write_bytes(files["Preset"])
    (lane,) = open_file(str(file), Board(12), {}, WAN).board.lanes
    assert (lane.steps, lane.schedule) == (20, own.schedule)
    config = json.loads(files["LightX2V config"])
    assert (config["infer_steps"], config["changing_resolution_steps"]) == (20, [10])
    with pytest.raises(InvalidInput, match="resolution schedule"):
        open_file(str(file), Board(30), {}, HPDM)


def test_a_saved_experiment_opens_as_the_same_experiment(experiment, tmp_path):
    file = tmp_path / "experiment.json"
    file.write_bytes(saved(exports_html(experiment, None, {}))["Whole experiment"])
    assert open_file(str(file), Board(30), {}, WAN).experiment == experiment


def test_a_lightx2v_config_is_written_back_with_its_own_keys(experiment, tmp_path):
    file = tmp_path / "config.json"
    config = {
        "infer_steps": 30,
        "changing_resolution": True,
        "resolution_rate": [0.5],
        "changing_resolution_steps": [9],
    }
    file.write_text(json.dumps(config | {"teacache_thresh": 0.26}))
    opened = open_file(str(file), Board(30), {}, WAN)
    again = make_experiment(experiment.spec, opened.board.tracks(), Settings(prompt="a cat face", steps=30))
    assert json.loads(saved(exports_html(again, None, opened.documents))["LightX2V config"]) == config | {
        "teacache_thresh": 0.26
    }


@pytest.fixture
def levels():
    choice = LevelChoice(2, "none", "off", heun=True)
    return make_experiment(HPDM, [level_track("mine", choice, HPDM.levels, 14)], Settings(prompt="a frog", steps=14))


def test_a_level_track_comes_back_from_its_preset(levels, tmp_path):
    file = tmp_path / "saved.json"
    file.write_bytes(saved(exports_html(levels, None, {}))["Preset"])
    (lane,) = open_file(str(file), Board(14), {}, HPDM).board.lanes
    assert (lane.name, lane.levels, lane.schedule) == ("mine", levels.tracks[0].levels, levels.tracks[0].schedule)


def test_a_level_track_is_no_lightx2v_config_and_the_page_says_so(levels):
    html = exports_html(levels, None, {})
    assert set(saved(html)) == {"Preset", "Python script", "Whole experiment"}
    assert "LightX2V config has no levels" in html


def test_a_preset_of_the_other_kind_of_model_is_refused_in_one_sentence(levels, experiment, tmp_path):
    file = tmp_path / "saved.json"
    for asked, spec, said in ((levels, WAN, "has no levels"), (experiment, HPDM, "runs by levels")):
        file.write_bytes(saved(exports_html(asked, None, {}))["Preset"])
        with pytest.raises(InvalidInput, match=said):
            open_file(str(file), Board(14), {}, spec)


def test_a_saved_experiment_by_levels_opens_as_the_same_experiment(levels, tmp_path):
    file = tmp_path / "experiment.json"
    file.write_bytes(saved(exports_html(levels, None, {}))["Whole experiment"])
    assert open_file(str(file), Board(30), {}, WAN).experiment == levels
