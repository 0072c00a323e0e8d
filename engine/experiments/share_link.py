"""Share links: a whole experiment in a few hundred characters of a URL.

`LINK_FORMAT` 1: a JSON object with one-letter keys, zlib, base64url without padding. What equals the model's defaults
is left out, and a track is `[name, policy, rates, switch steps]`, with its cache's document as a fifth (null where
there is none), that of its levels as a sixth, and the steps that it has of its own as a seventh. A link comes from
strangers: bounded before it is inflated and while it is, read strictly, it may name only models of the catalogue.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

from engine import strict_json
from engine.checked import is_integer
from engine.errors import InvalidInput, ModelNotFound
from engine.experiments.documents import experiment_of
from engine.experiments.experiment import FORMAT, Experiment, Track
from engine.models.catalogue import catalogue_model

LINK_FORMAT = 1
MAX_TEXT = 16_384  # characters of a link's text: proxies and servers take URLs about that long
MAX_JSON = strict_json.MAX_BYTES
WHAT = "the link"
KEYS = {
    "v": "version",
    "m": "model",
    "p": "prompt",
    "q": "negative_prompt",
    "e": "seed",
    "s": "steps",
    "h": "height",
    "w": "width",
    "f": "frames",
    "g": "guidance",
    "b": "guidance_2",
    "i": "shift",
    "o": "solver",
    "a": "image",
    "z": "last_image",
    "c": "video",
    "t": "tracks",
}
_SHORT = {long: short for short, long in KEYS.items()}
_DEFAULTED = ("negative_prompt", "steps", "height", "width", "frames", "guidance", "guidance_2", "shift")


def pack(experiment: Experiment) -> str:
    """The experiment as text for a link, of the characters A-Z a-z 0-9 - and _.

    Raises InvalidInput for a model that is not in the catalogue, and where the texts are too long for a link.
    """
    _catalogued(experiment.spec.id)
    document = experiment.document()
    short: dict[str, Any] = {"v": LINK_FORMAT, "m": experiment.spec.id, "p": experiment.prompt, "e": experiment.seed}
    defaults = experiment.spec.defaults
    given = {key: document.get(key) for key in _DEFAULTED}
    short |= {_SHORT[key]: value for key, value in given.items() if value != getattr(defaults, key)}
    if experiment.solver is not None:
        short["o"] = experiment.solver
    short |= {_SHORT[role]: picture.document() for role, picture in experiment.conditions.given()}
    short["t"] = [_short_track(track) for track in experiment.tracks]
    data = json.dumps(short, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    text = base64.urlsafe_b64encode(zlib.compress(data, 9)).rstrip(b"=").decode()
    if len(text) > MAX_TEXT or len(data) > MAX_JSON:
        raise InvalidInput("link", f"the link would be {len(text):,} characters long; share the experiment as a file.")
    return text


def unpack(text: object) -> Experiment:
    """The experiment that `pack` wrote. Raises InvalidInput, with one sentence, for anything else."""
    document = strict_json.loads(_inflated(text), WHAT)
    version = document.get("v")
    if not is_integer(version) or version != LINK_FORMAT:
        if is_integer(version) and version > LINK_FORMAT:
            raise InvalidInput("link", "the link was made by a newer version of Resolute; update this one to open it.")
        raise InvalidInput("link", f"the link has version {strict_json.shown(version)}; it must be {LINK_FORMAT}.")
    for key in document:
        if key not in KEYS:
            raise InvalidInput("link", f'the link holds the unknown key "{strict_json.shown(key)}"; copy it again.')
    return experiment_of(_long(document), WHAT, _catalogued)


def _inflated(text: object) -> bytes:
    """The JSON in a link, never more than MAX_JSON bytes of it."""
    if not isinstance(text, str) or not text:
        raise InvalidInput("link", "the link is empty; copy it again.")
    if len(text) > MAX_TEXT:
        raise InvalidInput("link", f"the link is {len(text):,} characters long; at most {MAX_TEXT:,} are read.")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise InvalidInput("link", "the link holds characters that no link of Resolute has; copy it again.")
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), MAX_JSON + 1)
    except (binascii.Error, zlib.error):
        raise InvalidInput("link", "the link is damaged; copy it again.") from None
    if len(data) > MAX_JSON:
        raise InvalidInput("link", f"the link unfolds to more than {MAX_JSON:,} bytes; no experiment is so long.")
    if not inflater.eof or inflater.unused_data:
        raise InvalidInput("link", "the link is cut off or has something added; copy it again.")
    return data


def _long(short: Mapping[str, Any]) -> dict[str, Any]:
    """The link's object as the document that `Experiment.document` writes."""
    document = {KEYS[key]: value for key, value in short.items() if key not in ("v", "t")}
    document["resolute_experiment"] = FORMAT
    model = document.get("model")
    steps = document.get("steps")
    if steps is None and isinstance(model, str):
        steps = _catalogued(model).defaults.steps
    tracks = short.get("t")
    document["tracks"] = [_track(track, steps) for track in tracks] if isinstance(tracks, list) else tracks
    return document


def _short_track(track: Track) -> list[Any]:
    """What `_track` reads; of the last three no more than are needed."""
    more: list[Any] = [
        track.cache.document() if track.cache else None,
        track.levels.document() if track.levels else None,
        track.steps,
    ]
    while more and more[-1] is None:
        more.pop()
    return [track.name, track.policy.name, list(track.schedule.rates), list(track.schedule.switch_steps), *more]


def _track(value: object, steps: object) -> dict[str, Any]:
    if not isinstance(value, list) or not 4 <= len(value) <= 7:
        raise InvalidInput("link", "the link holds a track that is not name, policy, rates and steps; copy it again.")
    name, policy, rates, switches, cache, levels, own = (*value, None, None, None)[:7]
    schedule = {
        "resolution_rate": rates,
        "changing_resolution_steps": switches,
        **({} if cache is None else {"cache": cache}),
        **({} if levels is None else {"levels": levels}),
        **({} if own is None else {"steps": own}),
    }
    counted = steps if own is None else own
    return {"name": name, "policy": policy, "infer_steps": counted, "changing_resolution": True, **schedule}


def _catalogued(name: str) -> Any:
    try:
        return catalogue_model(name)
    except ModelNotFound as error:
        raise InvalidInput("model", str(error)) from None
