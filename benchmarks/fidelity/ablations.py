"""Variants of `coherent` with one thing changed each, to tell what a difference comes from. No policies for users."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from unittest.mock import patch

import torch.nn.functional as F
from torch import Tensor

from benchmarks.fidelity.matrix import FRESH, OWN, REFERENCE, SIGMAS
from engine.switching.noise_field import resize_dct
from engine.switching.policies import POLICIES, Policy, policy_named
from engine.switching.switches import SWITCHES, Switch


def x0_of(s: Switch) -> Tensor:
    """The clean estimate at the new size, resized as `coherent` does."""
    if s.grows:
        return F.interpolate(s.x0, size=(s.x.shape[-3], *s.size), mode="trilinear")
    return resize_dct(s.x0, s.size)


def noise_of(s: Switch) -> Tensor:
    """The noise of `coherent`: the predicted one in the low band, the seed's own above it."""
    return s.field().extend(s.eps, s.size)


def fresh_noise(s: Switch) -> Tensor:
    """Noise that nothing has used before, at exactly the level that is told next."""
    return (1 - s.told) * x0_of(s) + s.told * s.fresh()


def exact(s: Switch) -> Tensor:
    """`coherent` itself."""
    return (1 - s.told) * x0_of(s) + s.told * noise_of(s)


def level_left(s: Switch) -> Tensor:
    """The level just left, whatever is told next."""
    return (1 - s.sigma) * x0_of(s) + s.sigma * noise_of(s)


_COHERENT = POLICIES[OWN]
_LEFT, _PLUS_1, _ONE_TABLE = SIGMAS
VARIANTS: dict[str, tuple[Policy, Callable[[Switch], Tensor]]] = {
    FRESH: (replace(_COHERENT, name=FRESH, field_first=False), fresh_noise),
    _LEFT: (replace(_COHERENT, name=_LEFT), level_left),
    _PLUS_1: (replace(_COHERENT, name=_PLUS_1, shift_ratios=POLICIES[REFERENCE].shift_ratios), level_left),
    _ONE_TABLE: (replace(_COHERENT, name=_ONE_TABLE, shift_ratios=lambda shift, sizes: (1.0,) * len(sizes)), exact),
}


def policy_or_variant(name: str) -> Policy:
    """A policy of the registry or a variant, by name."""
    return VARIANTS[name][0] if name in VARIANTS else policy_named(name)


def variants_known() -> AbstractContextManager[object]:
    """While the block runs, the driver knows the variants' switches."""
    return patch.dict(SWITCHES, {name: switch for name, (_, switch) in VARIANTS.items()})
