"""Files that the page hands out for one track: a preset, a LightX2V config, a Python script, the whole experiment."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from typing import Any

from engine import strict_json
from engine.experiments.experiment import Experiment, Track
from engine.experiments.lightx2v_config import with_cache
from engine.experiments.presets import Preset, to_json
from engine.experiments.script import diffusers_snippet
from engine.schedules.lightx2v_keys import export
from ui.timeline.board import MAX_NAME


def exports_html(experiment: Experiment | None, chosen: str | None, documents: Mapping[str, Any]) -> str:
    """Links that save one schedule: as a preset, as a LightX2V config, as a Python script. Made of data, not files."""
    if experiment is None or not experiment.tracks:
        return '<p class="hint">Add a track to export it.</p>'
    track = next((one for one in experiment.tracks if one.name == chosen), experiment.tracks[0])
    name = track.name[:MAX_NAME]
    made = Preset(
        name,
        track.schedule,
        "Made in the Resolute studio",
        track.policy.name,
        cache=track.cache,
        levels=track.levels,
        steps=track.steps,
    )
    files = (
        ("Preset", f"{track.slug}.json", "application/json", to_json(made)),
        *_config_file(track, documents.get(track.name)),
        ("Python script", f"{track.slug}.py", "text/x-python", diffusers_snippet(experiment, track)),
        ("Whole experiment", "experiment.json", "application/json", json.dumps(experiment.document(), indent=1)),
    )
    links = "".join(
        f'<a class="file" download="{html.escape(name)}" href="{_data(kind, text)}">{html.escape(label)}</a>'
        for label, name, kind, text in files
    )
    told = '<p class="hint">A LightX2V config has no levels and cannot hold this track; a preset can.</p>'
    return f'<nav class="files" aria-label="Save {html.escape(track.name)}">{links}</nav>{told if track.levels else ""}'


def _config_file(track: Track, known: Mapping[str, Any] | None) -> tuple[tuple[str, str, str, str], ...]:
    """The schedule as a LightX2V config, with the keys of the one that it came from; none of a level track."""
    if track.levels:
        return ()
    config = strict_json.dumps(with_cache(export(track.schedule, known), track.cache))
    return (("LightX2V config", f"{track.slug}-lightx2v.json", "application/json", config),)


def _data(kind: str, text: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"
