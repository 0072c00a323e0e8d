"""What a track of a hierarchical patch model chooses, and the one schedule that such a model has. No torch.

A choice is written in one line, `levels=2,overlap=none,context=off`, or as a JSON object with the same keys. What is
left out has its default: all levels, spatial overlap, features of finished levels kept on the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.checked import checked_choice, checked_flag, checked_integer
from engine.errors import InvalidInput
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.sampling_request import CACHES, MAX_STEPS
from engine.hpdm.tiles import OVERLAPS, tile_grid
from engine.schedules.latent_sizes import LatentSize
from engine.schedules.schedule import ResolutionSchedule, parse_schedule
from engine.strict_json import shown

KEYS = ("levels", "overlap", "context", "heun")
MAX_LEVELS = 8  # as HpdmConfig takes them
OVERLAP_WORDS = {"none": "no overlap", "spatial": "spatial overlap", "full": "full overlap"}
CONTEXT_WORDS = {"device": "cache on the device", "cpu": "cache on the CPU", "off": "cache off"}


@dataclass(frozen=True)
class LevelChoice:
    """How far a run goes and how its tiles lie. Build it with `parse_levels` or `parse_level_words`: they check.

    `levels` is how many are run, None all; `overlap` of neighbouring tiles; `context`: where features of finished
    levels are kept; `heun`: second order at the coarsest level.
    """

    levels: int | None = None
    overlap: str = "spatial"
    context: str = "device"
    heun: bool = False

    def document(self) -> dict[str, Any]:
        """As plain JSON, which `parse_levels` reads."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @property
    def told(self) -> str:
        """In words, as tables show it: 2 levels, no overlap, cache off."""
        count = "all levels" if self.levels is None else "1 level" if self.levels == 1 else f"{self.levels} levels"
        words = [count, OVERLAP_WORDS[self.overlap], CONTEXT_WORDS[self.context]]
        return ", ".join([*words, "Heun"] if self.heun else words)

    def name(self, levels: int) -> str:
        """What a track with this choice is called while nobody has named it: how it differs from the baseline.

        `levels` are the model's. The board's script has the same rule (ui/timeline/levels.js).
        """
        words = self.told.split(", ")
        plain = LevelChoice(levels).told.split(", ")
        if self.levels in (None, levels):
            words[0] = plain[0]
        own = [word for k, word in enumerate(words) if k >= len(plain) or word != plain[k]]
        name = ", ".join(own) or "all levels"
        return name[0].upper() + name[1:]

    def __str__(self) -> str:
        """In one line, which `parse_level_words` reads."""
        words = [] if self.levels is None else [f"levels={self.levels}"]
        words += [f"overlap={self.overlap}", f"context={self.context}"]
        return ",".join([*words, "heun=true"] if self.heun else words)


def parse_levels(value: object) -> LevelChoice:
    """A choice from a JSON object with any of its keys. Raises InvalidInput with the value and what is legal."""
    if not isinstance(value, Mapping):
        raise InvalidInput("levels", f"levels is {shown(value)}; it must be an object with {', '.join(KEYS)}.")
    for key in value:
        if key not in KEYS:
            raise InvalidInput("levels", f'a level track has no "{shown(key, 40)}"; it has {", ".join(KEYS)}.')
    levels = value.get("levels")
    return LevelChoice(
        levels=None if levels is None else checked_integer("levels", levels, 1, MAX_LEVELS),
        overlap=checked_choice("overlap", value.get("overlap", "spatial"), tuple(OVERLAPS)),
        context=checked_choice("context", value.get("context", "device"), CACHES),
        heun=checked_flag("heun", value.get("heun", False)),
    )


def parse_optional_levels(value: object) -> LevelChoice | None:
    """The same where None means a track of another kind of model."""
    return None if value is None else parse_levels(value)


def parse_level_words(text: str) -> LevelChoice:
    """A choice from one line, `levels=2,overlap=none,context=off`. Raises InvalidInput."""
    document: dict[str, Any] = {}
    for word in text.split(",") if text else []:
        key, equals, given = word.partition("=")
        if not equals or key in document:
            fault = "is written twice" if equals else "is not written as name=value"
            raise InvalidInput("track", f'"{shown(word, 40)}" in track {shown(text, 60)} {fault}.')
        number = int(given) if given.isascii() and given.isdigit() and len(given) < 4 else given
        document[key] = {"true": True, "false": False}.get(given, number)
    return parse_levels(document)


def checked_levels(choice: LevelChoice | None, config: HpdmConfig) -> LevelChoice:
    """A choice that the model can take, with the number of levels filled in."""
    choice = choice or LevelChoice()
    levels = config.levels if choice.levels is None else choice.levels
    if levels > config.levels:
        raise InvalidInput("levels", f"levels is {levels}; the model has {config.levels}.")
    return LevelChoice(levels, choice.overlap, choice.context, choice.heun)


def level_schedule(config: HpdmConfig, steps: int) -> ResolutionSchedule:
    """All levels over `steps` steps, every level with half as many as the one below it [P]."""
    shares = [2 ** (config.levels - 1 - k) for k in range(config.levels)]
    ends = [max(k + 1, round(steps * sum(shares[: k + 1]) / sum(shares))) for k in range(config.levels - 1)]
    if steps < config.levels:
        raise InvalidInput("steps", f"steps is {steps}; {config.levels} levels need at least one each.")
    ends = [min(end, steps - config.levels + 1 + k) for k, end in enumerate(ends)]
    return _checked_steps(parse_schedule(steps, _rates(config), ends))


def levels_fit(config: HpdmConfig, steps: int) -> bool:
    """Whether all levels can share this many steps."""
    try:
        level_schedule(config, steps)
    except InvalidInput:
        return False
    return True


def checked_level_schedule(schedule: ResolutionSchedule, config: HpdmConfig, steps: int) -> ResolutionSchedule:
    """The schedule of a level track: the levels' own rates, whatever steps each has; a flat one becomes the default.

    Raises InvalidInput for any other resolution schedule.
    """
    if schedule.is_flat and not schedule.rates:
        return level_schedule(config, steps)
    if schedule.rates != _rates(config):
        rates = "/".join(f"{rate:g}" for rate in (*_rates(config), 1.0))
        raise InvalidInput(
            "schedule",
            f"{schedule} is a resolution schedule, which a hierarchical patch model cannot follow; its levels are "
            f"{rates}: choose levels, overlap and context instead.",
        )
    if schedule.infer_steps == steps:
        return _checked_steps(schedule)
    return _checked_steps(schedule.with_steps(steps))


def level_sizes(config: HpdmConfig) -> tuple[LatentSize, ...]:
    """The whole canvas of every level, in pixels, which are this model's cells; tokens of the canvas, tiles apart."""
    top = config.size(config.levels - 1)
    sizes = []
    for level in range(config.levels):
        f, h, w = config.size(level)
        tokens = (f // config.token[0]) * (h // config.token[1]) * (w // config.token[2])
        sizes.append(LatentSize(f, h, w, h / top[1], w / top[2], tokens))
    return tuple(sizes)


def level_steps(schedule: ResolutionSchedule) -> tuple[int, ...]:
    """Steps of every level."""
    return tuple(stage.steps for stage in schedule.stages)


def calls_a_step(config: HpdmConfig, overlap: str) -> tuple[int, ...]:
    """Tiles of every level: network calls of one step."""
    return tuple(len(tile_grid(config, level, overlap)) for level in range(config.levels))


def blocks_of_level(config: HpdmConfig, level: int) -> int:
    """Blocks that a level passes through: what its calls cost, roughly."""
    return sum(count > level for count in config.level_blocks)


def _rates(config: HpdmConfig) -> tuple[float, ...]:
    top = config.size(config.levels - 1)[1]
    return tuple(config.size(level)[1] / top for level in range(config.levels - 1))


def _checked_steps(schedule: ResolutionSchedule) -> ResolutionSchedule:
    most = max(level_steps(schedule))
    if most > MAX_STEPS:
        raise InvalidInput("steps", f"a level would have {most} steps; at most {MAX_STEPS} are taken.")
    return schedule
