"""The policies: how a switch of resolution is made, by name. What each does to tensors is in `switches`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine.errors import InvalidInput
from engine.schedules.latent_sizes import LatentSize

ShiftRatios = Callable[[float, Sequence[LatentSize]], tuple[float, ...]]
MAX_ADDED = 100.0  # of a rule `+k`
_RULES = "a rule of the shift is exact, none, or + and a number, as +1"


def _exact(shift: float, sizes: Sequence[LatentSize]) -> tuple[float, ...]:
    """Each stage by its true rate: one signal-to-noise ratio a pixel of the full picture."""
    return tuple(size.ratio for size in sizes)


def _one_table(shift: float, sizes: Sequence[LatentSize]) -> tuple[float, ...]:
    """The full-size run's own table in every stage."""
    return (1.0,) * len(sizes)


@dataclass(frozen=True)
class _Added:
    """The baseline's shift, and `step` more in every further stage."""

    step: float

    def __call__(self, shift: float, sizes: Sequence[LatentSize]) -> tuple[float, ...]:
        return tuple((shift + self.step * k) / shift for k in range(len(sizes)))


def _block_jumps(shift: float, sizes: Sequence[LatentSize]) -> tuple[float, ...]:
    """From the last stage backwards: growing by blocks of at most m copies divides the shift by sqrt(m)."""
    ratios = [sizes[-1].ratio]
    for small, large in zip(reversed(sizes[:-1]), reversed(sizes[1:]), strict=True):
        if small.hw == large.hw:
            ratios.append(ratios[-1])
        elif small.tokens < large.tokens:
            copies = math.ceil(large.height / small.height) * math.ceil(large.width / small.width)
            ratios.append(ratios[-1] / math.sqrt(copies))
        else:
            ratios.append(small.ratio)
    return tuple(reversed(ratios))


@dataclass(frozen=True)
class Policy:
    """One way to switch: its name, what it multiplies the shift by in each stage, and where it comes from.

    `name` is the way alone, as `coherent`, where the rule of the shift is its own one, and `coherent@+1` else.
    `shift_ratios(shift, sizes)` gives one positive number a stage: what the baseline's shift is multiplied by in that
    stage's table (`Table.reshifted`). `shift` is the one that made the baseline's table, `sizes` are the stages' in
    order, the last the full one.
    """

    name: str
    shift_ratios: ShiftRatios
    field_first: bool  # start from the baseline's noise (cropped), not from a draw of the stage's own size
    source: str
    summary: str
    needs_reshift: bool = False  # whether its switch is right only between tables of different shifts
    anchors: bool = (
        False  # whether states and estimates beside a switch are held to what the run knows (engine.switching.anchor)
    )
    own_experts: bool = False  # whether a stage's own levels choose between two experts, not the baseline's

    @property
    def merges(self) -> bool:
        """Whether neighbouring stages of one size are run as one; LightX2V noises again between them too."""
        return self.way != "lightx2v"

    @property
    def way(self) -> str:
        """What is done to the tensors at a switch: the name without the rule, a key of `switches.SWITCHES`."""
        return self.name.partition("@")[0]

    @property
    def rule(self) -> str | None:
        """The rule of the shift that was asked for in place of the policy's own: `exact`, `+1`, `none`."""
        return self.name.partition("@")[2] or None


POLICIES = {
    policy.name: policy
    for policy in (
        Policy(
            "anchored", _exact, True, "Resolute (docs/theory.md)",
            "As spectral, and low stages keep the detail that full size knew; a switch is mended by the next answer.",
            anchors=True,
        ),
        Policy(
            "coherent", _exact, True, "Resolute (docs/theory.md)",
            "Resized x0, predicted noise below, the seed's own noise above, at the exact sigma.",
        ),
        Policy(
            "spectral", _exact, True, "Resolute; the jump follows SPEED, arXiv 2605.18736",
            "The noisy state jumps in the DCT domain, the seed's own noise fills the new band.", needs_reshift=True,
        ),
        Policy(
            "lightx2v", _Added(1.0), False, "ModelTC/LightX2V, schedulers/wan/changing_resolution",
            "Trilinear x0, fresh noise at the old sigma, shift + 1 a switch; one step is lost each time.",
            own_experts=True,
        ),
        Policy(
            "jenga", _Added(2.0), False, "dvlab-research/Jenga ProRes, arXiv 2505.16864",
            "Trilinear x0 read at the new sigma, fresh noise, shift + 2 a switch.",
        ),
        Policy(
            "bottleneck", _exact, False, "after Bottleneck Sampling, arXiv 2503.18940",
            "Lanczos x0 and fresh noise at a sigma of equal signal-to-noise ratio (our reading of the paper).",
        ),
        Policy(
            "pyramid", _block_jumps, True, "after Pyramid Flow, arXiv 2410.05954, section 3.2",
            "The state is copied to blocks, their noise made white again, sigma raised to match.", needs_reshift=True,
        ),
    )
}  # fmt: skip


DEFAULT_POLICY = "anchored"
FORMER_DEFAULT = "coherent"  # what tracks of models that switch nothing carry in older reports and links


def policy_named(name: object) -> Policy:
    """A policy of the registry by its name, with `@exact`, `@none` or `@+k` under another rule of the shift.

    A rule that is the policy's own may be written and is left out of the name. Raises InvalidInput listing what is
    legal; also for another rule of `spectral` and `pyramid`, whose states have the levels of their own rule alone.
    """
    if not isinstance(name, str) or (way := name.partition("@")[0]) not in POLICIES:
        raise InvalidInput("policy", f"policy is {str(name)[:40]!r}; it must be one of {', '.join(POLICIES)}.")
    own = POLICIES[way]
    if name == way:
        return own
    told, ratios = _rule_named(name)
    if ratios == own.shift_ratios:
        return own
    if own.needs_reshift:
        raise InvalidInput(
            "policy", f"policy is {name[:40]!r}; {way} hands over states of its own levels alone: leave @{told} out."
        )
    return replace(own, name=f"{way}@{told}", shift_ratios=ratios)


def _rule_named(name: str) -> tuple[str, ShiftRatios]:
    """The rule behind the @ of a policy's name, as it is written and as what it does."""
    rule = name.partition("@")[2]
    if rule in ("exact", "none"):
        return rule, _exact if rule == "exact" else _one_table
    if re.fullmatch(r"\+[0-9]{1,3}(\.[0-9]{1,3})?", rule) and 0 < (step := float(rule)) <= MAX_ADDED:
        return f"+{step:g}", _Added(step)
    raise InvalidInput("policy", f"policy is {name[:40]!r}; {_RULES}, above 0 and at most {MAX_ADDED:g}.")
