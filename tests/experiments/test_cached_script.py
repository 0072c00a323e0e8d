"""The script of a track with a cache runs that cache."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.caches.cache_choice import parse_cache, parse_shorthand
from engine.experiments.script import diffusers_snippet
from tests.experiments.test_script import experiment_of, folder, own_frames, run_here  # noqa: F401  (a fixture)


@pytest.mark.parametrize(
    "cache",
    [
        parse_cache({"name": "teacache", "threshold": 5.0, "ret_steps": False, "coefficients": [1.0, 0.0]}),
        parse_shorthand("magcache:0.5"),
        parse_shorthand("pab:2,to_t=0"),
    ],
    ids=lambda cache: cache.name,
)
def test_the_script_of_a_cached_track_differs_by_its_cache(cache, folder, tmp_path, monkeypatch):  # noqa: F811
    experiment, track = experiment_of(folder, "U", "coherent")
    script = diffusers_snippet(experiment, replace(track, cache=cache))
    assert f"The cache {cache.name} is not a page of code" in script
    frames = run_here(script, folder, tmp_path, monkeypatch)
    plain = own_frames(folder, experiment, track)
    assert frames.shape == plain.shape
    assert 0 < np.abs(frames - plain).max() < 0.5
