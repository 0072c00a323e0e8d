"""What a run is asked for: every way in has the same settings, and they are checked by themselves."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace

import pytest

from engine.cli.compare_flags import CompareFlags
from engine.errors import InvalidInput
from engine.experiments import documents, share_link
from engine.experiments.experiment import make_experiment
from engine.experiments.lightx2v_config import RunSettings
from engine.experiments.settings import CheckedSettings, Settings, checked_settings
from engine.models.catalogue import catalogue_model
from ui.server.program_api import Endpoints

SPEC = catalogue_model("emoji-wan")
NAMES = {field.name for field in fields(Settings)} - {"config"}


def test_every_way_in_has_every_setting():
    assert set(documents.SETTINGS) == NAMES
    assert set(share_link.KEYS.values()) >= NAMES
    assert {field.name for field in fields(CompareFlags)} >= NAMES
    assert set(inspect.signature(Endpoints.compare).parameters) >= NAMES


def test_what_is_left_out_is_the_configs_and_then_the_models():
    config = RunSettings(height=64, width=96, guidance=2.0)
    found = checked_settings(SPEC, Settings("a boat", width=64, config=config))
    assert (found.height, found.width, found.frames) == (64, 64, SPEC.defaults.frames)
    assert (found.guidance, found.shift) == (2.0, SPEC.defaults.shift)
    assert (found.seed, found.steps, found.fps) == (0, SPEC.defaults.steps, SPEC.defaults.fps)


def test_a_part_of_a_comparison_can_have_settings_of_its_own():
    asked = Settings("a boat", steps=30, guidance=3)
    own = checked_settings(SPEC, replace(asked, steps=4, guidance=1))
    assert own == replace(checked_settings(SPEC, asked), steps=4, guidance=1.0)
    with pytest.raises(InvalidInput, match="guidance is -1"):
        checked_settings(SPEC, replace(asked, guidance=-1))


def test_an_experiment_holds_what_was_checked():
    asked = Settings("a boat", seed=3, steps=4)
    made = make_experiment(SPEC, [], asked)
    assert {field.name: getattr(made, field.name) for field in fields(CheckedSettings)} == vars(
        checked_settings(SPEC, asked)
    )
