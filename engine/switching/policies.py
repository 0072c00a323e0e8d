"""The policies: how a switch of resolution is made, by name. What each does to tensors is in `switches`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.errors import InvalidInput
from engine.schedules.latent_sizes import LatentSize


def _rates(shift: float, sizes: Sequence[LatentSize]) -> tuple[float, ...]:
    return tuple(size.ratio for size in sizes)


def _added(step: float) -> Callable[[float, Sequence[LatentSize]], tuple[float, ...]]:
    return lambda shift, sizes: tuple((shift + step * k) / shift for k in range(len(sizes)))


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

    `shift_ratios(shift, sizes)` gives one positive number a stage: what the baseline's shift is multiplied by in that
    stage's table (`Table.reshifted`). `shift` is the one that made the baseline's table, `sizes` are the stages' in
    order, the last the full one.
    """

    name: str
    shift_ratios: Callable[[float, Sequence[LatentSize]], tuple[float, ...]]
    field_first: bool  # start from the baseline's noise (cropped), not from a draw of the stage's own size
    source: str
    summary: str
    needs_reshift: bool = False  # whether its switch is right only between tables of different shifts
    anchors: bool = (
        False  # whether states and estimates beside a switch are held to what the run knows (engine.switching.anchor)
    )
    own_experts: bool = False  # whether a stage's own levels choose between two experts, not the baseline's


POLICIES = {
    policy.name: policy
    for policy in (
        Policy(
            "anchored", _rates, True, "Resolute (docs/theory.md)",
            "As spectral, and low stages keep the detail that full size knew; a switch is mended by the next answer.",
            anchors=True,
        ),
        Policy(
            "coherent", _rates, True, "Resolute (docs/theory.md)",
            "Resized x0, predicted noise below, the seed's own noise above, at the exact sigma.",
        ),
        Policy(
            "spectral", _rates, True, "Resolute; the jump follows SPEED, arXiv 2605.18736",
            "The noisy state jumps in the DCT domain, the seed's own noise fills the new band.", needs_reshift=True,
        ),
        Policy(
            "lightx2v", _added(1.0), False, "ModelTC/LightX2V, schedulers/wan/changing_resolution",
            "Trilinear x0, fresh noise at the old sigma, shift + 1 a switch; one step is lost each time.",
            own_experts=True,
        ),
        Policy(
            "jenga", _added(2.0), False, "dvlab-research/Jenga ProRes, arXiv 2505.16864",
            "Trilinear x0 read at the new sigma, fresh noise, shift + 2 a switch.",
        ),
        Policy(
            "bottleneck", _rates, False, "after Bottleneck Sampling, arXiv 2503.18940",
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
    """A policy of the registry by its name; raises InvalidInput listing the names."""
    if isinstance(name, str) and name in POLICIES:
        return POLICIES[name]
    raise InvalidInput("policy", f"policy is {str(name)[:40]!r}; it must be one of {', '.join(POLICIES)}.")
