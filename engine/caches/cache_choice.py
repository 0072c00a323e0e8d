"""Which feature cache a track uses, and with which figures: a registry, and choices parsed from outside. No torch.

A choice is written in one line, `teacache:0.26` or `pab:2,cross_range=4`, or as a JSON object with a `name`. What is
left out has the default of the registry; `coefficients` and `ratios` left out are the model's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from engine.checked import is_integer, is_number
from engine.errors import InvalidInput
from engine.strict_json import shown

Value = float | int | bool | tuple[float, ...]
MAX_NUMBERS = 1000  # of a list: one ratio a step


@dataclass(frozen=True)
class Parameter:
    """One figure of a technique, in `low..high`; `default` None means the model's own, and makes it a list."""

    name: str
    summary: str
    default: float | int | bool | None
    low: float = 0.0
    high: float = 1.0

    def parse(self, value: object, technique: str) -> Value:
        """An untrusted value, checked; InvalidInput names it and the legal range."""
        field = f"cache.{self.name}"
        told = f"{self.name} of {technique} is {shown(value)}"
        if self.default is None:
            return self._numbers(value, field, told)
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise InvalidInput(field, f"{told}; it must be true or false.")
            return value
        whole = isinstance(self.default, int)
        if not is_number(value) or (whole and not is_integer(value)):
            raise InvalidInput(field, f"{told}; it must be {'an integer' if whole else 'a number'} in {self.range}.")
        if not self.low <= value <= self.high:  # NaN fails both comparisons
            raise InvalidInput(field, f"{told}; the legal range is {self.range}.")
        return value if whole else float(value)

    def _numbers(self, value: object, field: str, told: str) -> tuple[float, ...]:
        is_list = isinstance(value, list | tuple) and 1 <= len(value) <= MAX_NUMBERS
        numbers: tuple[Any, ...] = tuple(value) if is_list else ()  # type: ignore[arg-type]
        if not numbers or not all(is_number(x) for x in numbers):
            raise InvalidInput(field, f"{told}; it must be a list of 1 to {MAX_NUMBERS} numbers.")
        if any(abs(x) > 1e12 or not math.isfinite(x) for x in numbers):
            raise InvalidInput(field, f"{told}; every number must be finite and at most 1e12.")
        return tuple(float(x) for x in numbers)

    @property
    def range(self) -> str:
        return f"{self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class Technique:
    """A way of caching; its first parameter is the one that a shorthand and the page set."""

    name: str
    title: str
    summary: str
    parameters: tuple[Parameter, ...]

    @property
    def main(self) -> Parameter:
        return self.parameters[0]

    def choice(self, **values: Any) -> CacheChoice:
        """This technique with these values, the others at their defaults."""
        return parse_cache({"name": self.name, **values})


_THRESHOLD = "how much may change before a whole evaluation is due"
_RATIO = "skipped evaluations in a row at most"

TECHNIQUES: Mapping[str, Technique] = MappingProxyType(
    {
        technique.name: technique
        for technique in (
            Technique(
                "teacache",
                "TeaCache",
                "Skips all blocks while the timestep's embedding has changed little (LightX2V's rule).",
                (
                    Parameter("threshold", _THRESHOLD, 0.1, 0.001, 5.0),
                    Parameter("ret_steps", "LightX2V's use_ret_steps: the first five steps are always computed", True),
                    Parameter("coefficients", "polynomial from the embedding's change to the output's", None),
                ),
            ),
            Technique(
                "firstblock",
                "First block",
                "Skips all blocks but the first while the first one's residual has changed little.",
                (Parameter("threshold", _THRESHOLD, 0.1, 0.001, 1.0),),
            ),
            Technique(
                "magcache",
                "MagCache",
                "Skips all blocks while the residual's magnitude, calibrated on the model, stays predictable.",
                (
                    Parameter("threshold", _THRESHOLD, 0.06, 0.001, 2.0),
                    Parameter("max_skip", _RATIO, 3, 1, 20),
                    Parameter("retention", "share of the first steps that are always computed", 0.2, 0.0, 1.0),
                    Parameter("ratios", "the residual's growth from step to step, one number a step", None),
                ),
            ),
            Technique(
                "seacache",
                "SeaCache",
                "Skips all blocks while the latents, seen through a filter of the noise level, have changed little.",
                (
                    Parameter("threshold", _THRESHOLD, 0.25, 0.001, 5.0),
                    Parameter("order", "0 repeats the last residual, 1 continues its line", 1, 0, 1),
                    Parameter("keep_first", "first steps that are always computed", 1, 0, 50),
                    Parameter("keep_last", "last steps that are always computed", 1, 0, 50),
                    Parameter("max_skip", _RATIO + "; 0 sets no limit", 2, 0, 20),
                ),
            ),
            Technique(
                "taylorseer",
                "TaylorSeer",
                "Continues each attention's and feed-forward's output along its line between computed steps.",
                (
                    Parameter("interval", "steps from one computed step to the next", 3, 2, 20),
                    Parameter("warm_up", "first steps of every stage that are always computed", 3, 1, 100),
                    Parameter("order", "0 repeats, 1 continues the line, 2 the parabola", 1, 0, 3),
                ),
            ),
            Technique(
                "pab",
                "PAB",
                "Pyramid attention broadcast: repeats attention outputs for some steps in the middle of the run.",
                (
                    Parameter("self_range", "self-attention is computed once in so many steps", 2, 2, 20),
                    Parameter("cross_range", "cross-attention is computed once in so many steps", 3, 2, 20),
                    Parameter("from_t", "timestep above which all is computed", 900, 1, 1000),
                    Parameter("to_t", "timestep below which all is computed", 100, 0, 999),
                ),
            ),
            Technique(
                "fastercache",
                "FasterCache",
                "Mixes old attention outputs, and the unguided pass's spectrum, into later steps.",
                (Parameter("range", "attention is computed once in so many steps", 2, 2, 20),),
            ),
        )
    }
)


@dataclass(frozen=True)
class CacheChoice:
    """A technique with all its values. Build it with `parse_cache` or `parse_shorthand`: they check."""

    name: str
    entries: tuple[tuple[str, Value], ...]  # in the registry's order; lists that are the model's own are not there

    @property
    def values(self) -> dict[str, Value]:
        return dict(self.entries)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def technique(self) -> Technique:
        return TECHNIQUES[self.name]

    def get(self, name: str) -> Any:
        """A value, or None where it is the model's own."""
        return self.values.get(name)

    def with_values(self, **values: Value) -> CacheChoice:
        """The same with some values replaced."""
        return CacheChoice(self.name, tuple({**self.values, **values}.items()))

    def document(self) -> dict[str, Any]:
        """As plain JSON, which `parse_cache` reads."""
        return {"name": self.name} | {k: list(v) if isinstance(v, tuple) else v for k, v in self.entries}

    def __str__(self) -> str:
        """In one line: the main value, then what is not the default. Lists are not written out."""
        words = [f"{self.name}:{self[self.technique.main.name]:g}"]
        for parameter in self.technique.parameters[1:]:
            value = self.get(parameter.name)
            if value is not None and not isinstance(value, tuple) and value != parameter.default:
                words.append(f"{parameter.name}={str(value).lower() if isinstance(value, bool) else f'{value:g}'}")
        return ",".join(words)


def parse_cache(value: object) -> CacheChoice:
    """A choice from a JSON object with `name` and any of the technique's parameters. Raises InvalidInput."""
    if not isinstance(value, Mapping):
        raise InvalidInput("cache", f"cache is {shown(value)}; it must be an object with a name, as teacache.")
    technique = _technique(value.get("name"))
    known = {parameter.name: parameter for parameter in technique.parameters}
    for key in value:
        if key != "name" and key not in known:
            names = ", ".join(known)
            raise InvalidInput("cache", f'{technique.name} has no "{shown(key, 40)}"; it has {names}.')
    values: dict[str, Value] = {}
    for name, parameter in known.items():
        given = value.get(name, parameter.default)
        if given is not None:
            values[name] = parameter.parse(given, technique.name)
    choice = CacheChoice(technique.name, tuple(values.items()))
    _consistent(choice)
    return choice


def parse_optional(value: object) -> CacheChoice | None:
    """The same where None means no cache."""
    return None if value is None else parse_cache(value)


def parse_shorthand(text: str) -> CacheChoice | None:
    """A choice from one line: `name`, `name:main`, `name:main,key=value,…`; `none` is no cache. Raises InvalidInput."""
    if text == "none":
        return None
    name, _, rest = text.partition(":")
    technique = _technique(name)
    document: dict[str, Any] = {"name": technique.name}
    for k, word in enumerate(rest.split(",") if rest else []):
        key, equals, given = word.partition("=")
        if not equals:
            if k:
                raise InvalidInput("cache", f'"{shown(word, 40)}" in {shown(text, 60)} is not written as name=value.')
            key, given = technique.main.name, key
        document[key] = _word(given, text)
    return parse_cache(document)


def split_shorthand(text: str) -> tuple[str, CacheChoice | None]:
    """A schedule's name and the cache behind its last `+`, if what stands there names a technique."""
    schedule, plus, cache = text.rpartition("+")
    if plus and cache.partition(":")[0] in TECHNIQUES:
        return schedule, parse_shorthand(cache)
    return text, None


def _technique(name: object) -> Technique:
    if not isinstance(name, str) or name not in TECHNIQUES:
        raise InvalidInput("cache", f'cache "{shown(name, 40)}" is not known; there are {", ".join(TECHNIQUES)}.')
    return TECHNIQUES[name]


def _word(word: str, text: str) -> Any:
    if word in ("true", "false"):
        return word == "true"
    try:
        return int(word) if word.isascii() and word.lstrip("-").isdigit() and len(word) < 10 else float(word)
    except ValueError:
        raise InvalidInput("cache", f'"{shown(word, 40)}" in {shown(text, 60)} is neither a number nor true or false.')\
            from None  # fmt: skip


def _consistent(choice: CacheChoice) -> None:
    if choice.name == "pab" and choice["to_t"] >= choice["from_t"]:
        raise InvalidInput(
            "cache.to_t",
            f"to_t of pab is {choice['to_t']}, not below from_t {choice['from_t']}; timesteps fall during a run.",
        )
