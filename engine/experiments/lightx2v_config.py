"""LightX2V's config files: schedule, run settings and TeaCache, read and written exactly.

Keys that we do not know are kept as they are. Of its caches TeaCache is read and written: `feature_caching: "Tea"` with
`teacache_thresh`, `use_ret_steps` and `coefficients` (one polynomial for `use_ret_steps` true and one for false; where
left out, the model's own).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from engine import strict_json
from engine.caches.cache_choice import CacheChoice, parse_cache
from engine.checked import checked_integer, checked_number
from engine.errors import InvalidInput
from engine.schedules.lightx2v_keys import export, schedule_of
from engine.schedules.schedule import ResolutionSchedule

NO_CACHE = "NoCaching"


@dataclass(frozen=True)
class RunSettings:
    """What a config says of the run itself; None where it says nothing. Sizes in pixels, length in frames.

    `guidance_2` is the second expert's guidance; one number in a config is that of both.
    """

    height: int | None = None
    width: int | None = None
    frames: int | None = None
    shift: float | None = None
    guidance: float | None = None
    guidance_2: float | None = None


@dataclass(frozen=True)
class LightX2VConfig:
    """A LightX2V config: its schedule, its run settings, and the whole document as it was read."""

    schedule: ResolutionSchedule
    settings: RunSettings = field(default_factory=RunSettings)
    document: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    cache: CacheChoice | None = None
    unknown_cache: str | None = None  # a feature_caching that is not run here, as it may be shown

    def to_json(self) -> str:
        """The document as JSON text, with the schedule's keys where they differ from what was read."""
        return strict_json.dumps(export(self.schedule, self.document))


def parse_config(data: bytes | str, what: str = "the config") -> LightX2VConfig:
    """Read a LightX2V JSON config. Raises InvalidInput naming the key, the value and what is legal."""
    document = strict_json.loads(data, what)
    cache = cache_of(document)
    named = document.get("feature_caching", NO_CACHE)
    unknown = None if cache or named in (NO_CACHE, None, False) else strict_json.shown(named)
    return LightX2VConfig(schedule_of(document), _settings_of(document), MappingProxyType(document), cache, unknown)


def cache_of(document: Mapping[str, Any]) -> CacheChoice | None:
    """The TeaCache of a LightX2V document; None where it has none, or another cache."""
    if document.get("feature_caching") != "Tea":
        return None
    values: dict[str, Any] = {
        "name": "teacache",
        "threshold": document.get("teacache_thresh", 0.26),
        "ret_steps": document.get("use_ret_steps", False),
    }
    pair = document.get("coefficients")
    if pair is not None:
        if not isinstance(pair, list) or len(pair) != 2:
            raise InvalidInput(
                "coefficients", "coefficients must be two lists: for use_ret_steps true, and for use_ret_steps false."
            )
        values["coefficients"] = pair[0 if values["ret_steps"] is True else 1]
    return parse_cache(values)


def with_cache(document: Mapping[str, Any], cache: CacheChoice | None) -> dict[str, Any]:
    """A LightX2V document with a track's cache; one that already means it stays as it is.

    LightX2V has no words for other caches than TeaCache that mean the same: then its `feature_caching` is switched off.
    """
    result = dict(document)
    if cache_of(result) == cache:
        return result
    if cache is None or cache.name != "teacache":
        if result.get("feature_caching") == "Tea":
            result["feature_caching"] = NO_CACHE
        return result
    result |= {"feature_caching": "Tea", "teacache_thresh": cache["threshold"], "use_ret_steps": cache["ret_steps"]}
    own = cache.get("coefficients")
    if own is None:
        result.pop("coefficients", None)
    else:
        result["coefficients"] = [list(own), []] if cache["ret_steps"] else [[], list(own)]
    return result


def _settings_of(document: Mapping[str, Any]) -> RunSettings:
    guidance = document.get("sample_guide_scale")
    pair = guidance if isinstance(guidance, list) else [guidance, guidance]
    if len(pair) != 2:
        raise InvalidInput("sample_guide_scale", "sample_guide_scale must be one number or a list of two.")
    return RunSettings(
        height=_integer(document, "target_height", 4096),
        width=_integer(document, "target_width", 4096),
        frames=_integer(document, "target_video_length", 1000),
        shift=_number("sample_shift", document.get("sample_shift"), 0.01, 100.0),
        guidance=_number("sample_guide_scale", pair[0], 0.0, 100.0),
        guidance_2=_number("sample_guide_scale", pair[1], 0.0, 100.0),
    )


def _integer(document: Mapping[str, Any], key: str, high: int) -> int | None:
    value = document.get(key)
    return None if value is None else checked_integer(key, value, 1, high)


def _number(key: str, value: object, low: float, high: float) -> float | None:
    return None if value is None else checked_number(key, value, low, high)
