"""`coherent` with fresh noise, to tell what its noise is worth. No policy for users."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from unittest.mock import patch

import torch.nn.functional as F
from torch import Tensor

from benchmarks.fidelity.matrix import FRESH, OWN
from engine.switching.noise_field import resize_dct
from engine.switching.policies import POLICIES, Policy, policy_named
from engine.switching.switches import SWITCHES, Switch


def x0_of(s: Switch) -> Tensor:
    """The clean estimate at the new size, resized as `coherent` does."""
    if s.grows:
        return F.interpolate(s.x0, size=(s.x.shape[-3], *s.size), mode="trilinear")
    return resize_dct(s.x0, s.size)


def fresh_noise(s: Switch) -> Tensor:
    """Noise that nothing has used before, at exactly the level that is told next."""
    return (1 - s.told) * x0_of(s) + s.told * s.fresh()


VARIANTS = {FRESH: (replace(POLICIES[OWN], name=FRESH, field_first=False), fresh_noise)}


def policy_or_variant(name: str) -> Policy:
    """A policy by its name, or a variant."""
    return VARIANTS[name][0] if name in VARIANTS else policy_named(name)


def variants_known() -> AbstractContextManager[object]:
    """While the block runs, the driver knows the variants' switches."""
    return patch.dict(SWITCHES, {name: switch for name, (_, switch) in VARIANTS.items()})
