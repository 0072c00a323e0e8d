"""What the study runs: cells (one schedule under one policy) by pairs (one prompt and one seed).

Cells come in four turns: what the headline claims rest on for every prompt, then what the other claims do, then the
rest; and so again with every further seed. In a turn a pair's cells are run one after the other before the next pair
begins, so that the file is balanced whenever it is stopped. A schedule that several names mean is there once; `title`
tells all of its names. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.caches.cache_choice import CacheChoice
from engine.errors import InvalidInput
from engine.experiments.presets import PRESETS, load_preset
from engine.schedules.schedule import ResolutionSchedule
from engine.switching.policies import POLICIES

STEPS = 20
FEW_STEPS = (6, 10)
RATES = (0.875, 0.75, 0.625, 0.5)
FLAT = "flat"
NONE = "-"  # the policy of a run that switches nothing
REFERENCE = "lightx2v"  # the policy that others are compared with
OWN = "coherent"

TWO_75, TWO_50, EARLY_50 = "0.75@50%", "0.5@50%", "0.5@30%"
U_75, U_50, THREE = "1/0.75@20%/70%", "1/0.5@20%/70%", "0.5/0.75@33%/67%"
TITLES = {
    TWO_75: "two-stage 0.75 @ 50 %",
    TWO_50: "two-stage 0.5 @ 50 %",
    EARLY_50: "two-stage 0.5 @ 30 %",
    U_75: "U 0.75 @ 20/70 %",
    U_50: "U 0.5 @ 20/70 %",
    THREE: "three-stage 0.5/0.75/1.0 @ 33/67 %",
}
LIGHTX2V = ("wan_t2v", "wan_i2v", "wan_t2v_U", "wan_i2v_U", "wan_t2v_U_teacache")
WINDOWS = (1, 8)  # first full steps of further U of the same cost as two-stage 0.75 @ 50 %
FRESH = "coherent-fresh"
BEST = "anchored"
RULES = {  # of the shift, beside the exact one
    "coherent@+1": "shift + 1 a switch, as LightX2V's tables have it; the state is at the level that is told",
    "coherent@none": "no shift by resolution: the full-size table at every size",
}
BEST_RULES = tuple(f"{BEST}@{rule}" for rule in ("+1", "+2", "none"))
RULED_ON = (TWO_75, TWO_50, U_75)  # where the best policy is run under shift + 1 too


@dataclass(frozen=True)
class Cell:
    """One schedule under one policy. `size` is the rate of the whole video, which has no baseline unless it is 1."""

    part: str  # which question it was run for
    schedule: str  # the key of a schedule: a shorthand, or a LightX2V preset's name
    policy: str = NONE
    steps: int = STEPS
    size: float = 1.0
    other_seed: bool = False
    against: int = STEPS  # steps of the baseline that it is measured against
    cached: bool = False
    every: int = 1  # it is run for one in so many pairs
    turn: int = 4  # cells of a lower turn are run for all pairs first

    @property
    def key(self) -> str:
        """What a row of the file is found by."""
        other = "|other seed" if self.other_seed else ""
        return f"{self.schedule}|{self.policy}|{self.steps}|{self.size:g}{other}"

    @property
    def is_baseline(self) -> bool:
        """Whether it is itself what others are measured against."""
        return self.schedule == FLAT and self.steps == self.against and self.size == 1 and not self.other_seed


@dataclass(frozen=True)
class Pair:
    """One prompt under one seed; `number` counts in the order in which they are run."""

    number: int
    prompt: int  # its number in the list of prompts
    seed: int
    again: int = 0  # how many seeds of this prompt come before

    def runs(self, cell: Cell) -> bool:
        """Whether a cell is run for this pair; those that are seldom run meet every emoji and every seed."""
        return cell.every == 1 or (self.number // 2 + self.number // 16) % cell.every == 0


def pairs(prompts: int, seeds: int, first_seed: int = 0) -> list[Pair]:
    """Every prompt once before any of them again; the seeds, from `first_seed` on, go round."""
    order = [(again, i) for again in range(seeds) for i in range(prompts)]
    return [Pair(k, i, first_seed + (i + again) % seeds, again) for k, (again, i) in enumerate(order)]


def cells(policies: Sequence[str]) -> list[Cell]:
    """All cells of a pair, baselines first."""
    found = [*_baselines(), *_headline(policies), *_claimed(policies), *_grid(policies), *_extras(policies)]
    seen: dict[str, Cell] = {}
    for cell in found:
        seen.setdefault(cell.key, cell)
    return list(seen.values())


def _baselines() -> list[Cell]:
    few = [Cell("sigma", FLAT, steps=n, against=n, turn=3, every=2) for n in FEW_STEPS]
    return [Cell("grid", FLAT, turn=1), *few]


def _headline(policies: Sequence[str]) -> list[Cell]:
    """What the headline claims rest on: the controls, and the best policy beside LightX2V's rule."""
    controls = [Cell("control", FLAT, other_seed=True, turn=1)]
    controls += [Cell("control", FLAT, steps=n, turn=1) for n in fewer_steps()]
    first = [(key, name) for key in (TWO_75, TWO_50, U_75) for name in (BEST, REFERENCE)] + [(TWO_75, BEST_RULES[0])]
    return [*controls, *_asked(first, policies, 1)]


def _claimed(policies: Sequence[str]) -> list[Cell]:
    """What the other claims rest on: at twenty steps for half of the pairs, then few steps, then all other policies."""
    second = [(key, name) for key in (EARLY_50, U_50, THREE) for name in (BEST, REFERENCE)]
    second += [(key, name) for key in RULED_ON for name in (OWN, FRESH)]
    second += [(TWO_75, name) for name in RULES] + [(key, BEST_RULES[0]) for key in RULED_ON]
    few = [
        Cell("sigma", TWO_75, policy, steps=n, against=n, turn=3, every=2)
        for n in FEW_STEPS
        for policy in (OWN, *RULES)
    ]
    third = [(TWO_75, name) for name in BEST_RULES] + [(key, name) for key in RULED_ON for name in POLICIES]
    return [*_asked(second, policies, 2, every=2), *few, *_asked(third, policies, 3, every=4)]


def _asked(found: Sequence[tuple[str, str]], policies: Sequence[str], turn: int, every: int = 1) -> list[Cell]:
    """Cells of the grid; of the registry's policies those that are asked for."""
    wanted = [pair for pair in found if pair[1] in policies or pair[1] not in POLICIES]
    return [Cell("grid", key, name, turn=turn, every=every) for key, name in wanted]


def _grid(policies: Sequence[str]) -> list[Cell]:
    keys = [(key, is_cached(key)) for key in schedules()]
    return [Cell("grid", k, policy, cached=cached, every=1 + cached) for k, cached in keys for policy in policies]


def _extras(policies: Sequence[str]) -> list[Cell]:
    """The cells that one question alone needs."""
    windows = [
        Cell("window", f"1/0.75@{first}/{first + STEPS // 2}", policy, every=2)
        for first in WINDOWS
        for policy in (OWN, REFERENCE)
        if policy in policies
    ]
    rates = [Cell("rates", f"{rate:g}@50%", OWN, every=2) for rate in RATES]
    sizes = [Cell("rates", FLAT, size=rate, every=2) for rate in RATES]
    return [*windows, *rates, *sizes]


def fewer_steps() -> tuple[int, int]:
    """Flat runs that cost about what two-stage 0.75 and 0.5 @ 50 % cost by FLOPs: what leaving out steps gives."""
    return 15, 12


def schedules() -> tuple[str, ...]:
    """The keys of the schedules that every policy is run on, each schedule once."""
    keys: list[str] = list(TITLES)
    for name in LIGHTX2V:
        if not any(same(name, key) for key in keys):
            keys.append(name)
    return tuple(keys)


def resolution(key: str, steps: int = STEPS) -> ResolutionSchedule:
    """A schedule by its key, at a step count."""
    preset = load_preset(_file(key), steps)
    return preset.schedule.with_steps(steps)


def same(a: str, b: str) -> bool:
    """Whether two keys mean the same run: the same stages at the study's steps, and both or none with a cache."""
    return resolution(a) == resolution(b) and is_cached(a) == is_cached(b)


def cache_of(key: str) -> CacheChoice | None:
    """The feature cache of a schedule's key; its coefficients, where it is one of LightX2V's, are the model's own.

    LightX2V's files hold those of the model that they were fitted on, which mean nothing on another one.
    """
    cache = load_preset(_file(key), STEPS).cache
    return cache and replace(cache, entries=tuple((name, x) for name, x in cache.entries if name != "coefficients"))


def is_cached(key: str) -> bool:
    return cache_of(key) is not None


def title(key: str) -> str:
    """A schedule's name for people, and which LightX2V settings it stands for."""
    if key == FLAT:
        return "flat"
    steps = "/".join(map(str, resolution(key).switch_steps))
    if key in TITLES:
        also = [name for name in LIGHTX2V if same(name, key)]
        return TITLES[key] + (f" (LightX2V {', '.join(also)})" if also else "")
    if key not in LIGHTX2V:
        return key
    rates = "/".join(f"{stage.rate:g}" for stage in resolution(key).stages)
    return f"LightX2V {key}: {rates} @ {steps} of {STEPS}" + (", TeaCache" if is_cached(key) else "")


def part_of(part: str, found: Sequence[Pair]) -> Sequence[Pair]:
    """The pairs of one of several processes: `part` is k/n. Raises InvalidInput."""
    k, slash, n = part.partition("/")
    if not (slash and k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise InvalidInput("part", f"part is {part[:20]!r}; write it as k/n with 1 <= k <= n, as 1/2.")
    return found[int(k) - 1 :: int(n)]


def _file(key: str) -> str:
    return str(PRESETS / f"lightx2v-{key}.json") if key in LIGHTX2V else key
