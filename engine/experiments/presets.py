"""Presets: named schedules in files, in our own format or as LightX2V configs, and a one-line shorthand.

Our format is one JSON object: `resolute_preset` (format version, 1), `name`, `description`, `infer_steps`,
`resolution_rate`, `changing_resolution_steps` and, optionally, `policy`, `cache`, `steps` (those that it keeps whatever
the experiment has) and, of a hierarchical patch model, `levels`. Unknown keys are refused: a typo must not turn into a
default. Behind a bundled preset `@` and steps of its own may stand, `flat@15`, and behind any of them `+` and a cache's
shorthand: `u-0.75+teacache:0.1`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine import strict_json
from engine.caches.cache_choice import CacheChoice, parse_optional, split_shorthand
from engine.errors import InvalidInput
from engine.experiments import lightx2v_config
from engine.experiments.lightx2v_config import RunSettings
from engine.hpdm.level_choice import LevelChoice, parse_optional_levels
from engine.schedules.schedule import MAX_STEPS, ResolutionSchedule, checked_steps, flat, own_steps, parse_schedule
from engine.switching.policies import policy_named
from engine.texts import plain

PRESETS = Path(__file__).parents[2] / "presets"
FORMAT = 1
REQUIRED = ("resolute_preset", "name", "infer_steps", "resolution_rate", "changing_resolution_steps")
OPTIONAL = ("description", "policy", "cache", "levels", "steps")
SHORTHAND = re.compile(r"(?P<rates>[\d.]+(?:/[\d.]+)*)@(?P<steps>\d+%?(?:/\d+%?)*)", re.ASCII)
NAMED = re.compile(r"(?P<name>[A-Za-z][\w.-]{0,99})@(?P<steps>[^@/\\]*)", re.ASCII)


@dataclass(frozen=True)
class Preset:
    """A named schedule. `policy` is None where the file leaves it open; `settings` come with LightX2V configs.

    `steps` are those that it keeps, which its schedule then is over; None where it takes an experiment's.
    """

    name: str
    schedule: ResolutionSchedule
    description: str = ""
    policy: str | None = None
    settings: RunSettings = field(default_factory=RunSettings)
    cache: CacheChoice | None = None
    levels: LevelChoice | None = None
    steps: int | None = None


def load_preset(name_or_path: str, infer_steps: int, folder: Path = PRESETS) -> Preset:
    """A preset by its name in `presets/`, by file path, or by shorthand such as `0.75@50%` or `1/0.75@6/21`.

    `flat@15` and `0.75@50%/20` have steps of their own: one number more than there are rates. `infer_steps` is what
    percentages in other shorthand refer to; files bring their own. A cache behind `+` takes the place of the file's.
    Raises InvalidInput.
    """
    schedule, cache = split_shorthand(name_or_path)
    if cache is not None:
        return replace(load_preset(schedule, infer_steps, folder), name=name_or_path, cache=cache)
    if name_or_path == "flat":
        return Preset("flat", flat(infer_steps))
    if matched := SHORTHAND.fullmatch(name_or_path):
        return _parse_shorthand(matched, infer_steps)
    matched = NAMED.fullmatch(name_or_path)
    if matched and matched["name"] in ("flat", *preset_names(folder)):
        steps = _own_steps(matched["steps"])
        preset = load_preset(matched["name"], steps, folder)
        return replace(preset, name=name_or_path, schedule=preset.schedule.with_steps(steps), steps=steps)
    path = _find(name_or_path, folder)
    try:
        with path.open("rb") as file:
            data = file.read(strict_json.MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput("schedule", f"{path.name} cannot be read: {error.strerror}.") from None
    return parse_preset(data, path.name)


def parse_preset(data: bytes | str, what: str) -> Preset:
    """Read a preset in our format or a LightX2V config; `what` names it in messages."""
    document = strict_json.loads(data, what)
    if "resolute_preset" in document:
        return _parse_own(document, what)
    config = lightx2v_config.parse_config(data, what)
    words = "LightX2V config" + (
        f"; its feature_caching {config.unknown_cache} is not run" * bool(config.unknown_cache)
    )
    return Preset(plain(Path(what).stem) or "LightX2V", config.schedule, words, None, config.settings, config.cache)


def preset_names(folder: Path = PRESETS) -> tuple[str, ...]:
    """Names that `load_preset` finds, in order."""
    return tuple(sorted(path.stem for path in folder.glob("*.json")))


def to_json(preset: Preset) -> str:
    """A preset in our own format."""
    document: dict[str, Any] = {
        "resolute_preset": FORMAT,
        "name": preset.name,
        "description": preset.description,
    }
    document |= {
        "infer_steps": preset.schedule.infer_steps,
        "resolution_rate": list(preset.schedule.rates),
        "changing_resolution_steps": list(preset.schedule.switch_steps),
    }
    if preset.policy:
        document["policy"] = preset.policy
    if preset.cache:
        document["cache"] = preset.cache.document()
    if preset.levels:
        document["levels"] = preset.levels.document()
    if preset.steps is not None:
        document["steps"] = preset.steps
    return strict_json.dumps(document)


def _find(name_or_path: str, folder: Path) -> Path:
    if re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name_or_path, re.ASCII):
        bundled = folder / f"{name_or_path}.json"
        if bundled.is_file():
            return bundled
    path = Path(name_or_path)
    if "\x00" not in name_or_path and len(name_or_path) < 1024 and path.is_file():
        return path
    known = ", ".join(preset_names(folder))
    raise InvalidInput(
        "schedule",
        f'schedule "{strict_json.shown(name_or_path, 80)}" is neither a file nor a preset; presets are: flat, {known}; '
        "or write rates@steps, as 0.75@50%, 1/0.75@6/21 or, over 20 steps of its own, 0.75@50%/20.",
    )


def _parse_own(document: Mapping[str, Any], what: str) -> Preset:
    version = document["resolute_preset"]
    if isinstance(version, bool) or version != FORMAT:
        hint = "it was made by a newer version" if isinstance(version, int) and version > FORMAT else "it must be 1"
        raise InvalidInput("resolute_preset", f"{what}: resolute_preset is {strict_json.shown(version)}; {hint}.")
    for key in document:
        if key not in REQUIRED + OPTIONAL:
            known = ", ".join(REQUIRED + OPTIONAL)
            raise InvalidInput(key, f'{what}: unknown key "{strict_json.shown(key)}"; known keys are {known}.')
    for key in REQUIRED:
        if key not in document:
            raise InvalidInput(key, f'{what}: the key "{key}" is missing.')
    policy = document.get("policy")
    schedule, steps = parse_schedule(*(document[key] for key in REQUIRED[2:])), own_steps(document.get("steps"))
    return Preset(
        _text(document, "name", 80),
        schedule.with_steps(steps or schedule.infer_steps),
        _text(document, "description", 500) if "description" in document else "",
        policy_named(policy).name if policy is not None else None,
        cache=parse_optional(document.get("cache")),
        levels=parse_optional_levels(document.get("levels")),
        steps=steps,
    )


def _text(document: Mapping[str, Any], key: str, limit: int) -> str:
    value = document[key]
    value = plain(value, lines=key == "description") if isinstance(value, str) else value
    if not isinstance(value, str) or not value.strip() or len(value) > limit:
        raise InvalidInput(key, f"{key} is {strict_json.shown(value)}; it must be text of 1 to {limit} characters.")
    return value


def _parse_shorthand(matched: re.Match[str], infer_steps: int) -> Preset:
    """`rates@steps`, both separated by `/`; a final stage of 1.0 may be written or left out.

    One step more than rates is the number of steps of its own, which percentages then refer to.
    """
    checked_steps(infer_steps)
    words = matched["steps"].split("/")
    rates = [_rate(word) for word in matched["rates"].split("/")]
    own = _own_steps(words.pop()) if len(words) == len(rates) + 1 else None
    steps = [_step(word, own or infer_steps) for word in words]
    if len(rates) == len(steps) + 1 and rates[-1] == 1.0:
        rates.pop()
    return Preset(matched[0], parse_schedule(own or infer_steps, rates, steps), steps=own)


def _own_steps(word: str) -> int:
    """What stands behind a schedule as the number of its steps."""
    if re.fullmatch(r"[0-9]{1,4}", word) and 1 <= int(word) <= MAX_STEPS:
        return int(word)
    raise InvalidInput(
        "schedule",
        f'"{strict_json.shown(word, 20)}" is no number of steps of its own; write a whole number in 1..{MAX_STEPS}.',
    )


def _rate(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise InvalidInput("schedule", f'the rate "{word[:20]}" is not a number above 0 and at most 1.') from None


def _step(word: str, infer_steps: int) -> int:
    if len(word) > 6:
        raise InvalidInput("schedule", f'the switch step "{word[:20]}…" is too large for {infer_steps} steps.')
    return math.floor(int(word[:-1]) * infer_steps / 100 + 0.5) if word.endswith("%") else int(word)
