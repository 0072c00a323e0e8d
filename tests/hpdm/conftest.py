"""A model of a few thousand weights that is not at its initial zeros, and its inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.hpdm_model import Hpdm, LevelInput
from engine.hpdm.nested_patches import draw_offsets

CONFIG = HpdmConfig(
    patch=(2, 8, 8), levels=3, token=(1, 2, 2), dim=16, latent_dim=24, latents=6, compute=1, heads=2,
    level_blocks=(1, 2, 3), input_scales=(1.0, 0.5, 0.25),
    conditions={"emoji": ("red heart", "frog"), "color": ("red", "blue")}, token_condition=True,
)  # fmt: skip


OURS = {
    "target": "residual", "residual_scales": (1.0, 0.5, 0.3), "fusion": "dcf+pixels", "input_scales": (1.0, 1.0, 1.0),
    "guided_levels": 1, "sigmas": ((80.0, 0.02), (1.0, 0.01), (1.0, 0.01)),
}  # fmt: skip
"""What the shipped recipe has beside the paper's form."""


def make_model(seed: int = 0, **changes: object) -> Hpdm:
    """Every weight drawn at random, so that nothing is hidden by layers that start at zero."""
    torch.manual_seed(seed)
    model = Hpdm(replace(CONFIG, **changes))
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.15)
    return model


def make_inputs(config: HpdmConfig, rows: int = 3, extra: int = 0, seed: int = 0) -> list[LevelInput]:
    """Nested random patches of all levels; `extra` more rows at level 0."""
    torch.manual_seed(seed)
    offsets = draw_offsets(config, rows, np.random.default_rng(seed))
    offsets[0] = torch.cat([offsets[0], torch.zeros(extra, 3, dtype=torch.long)])
    given = []
    for where in offsets:
        n = len(where)
        labels = torch.randint(0, 3, (n, len(config.conditions)))
        given.append(LevelInput(torch.randn(n, 3, *config.patch), torch.rand(n) + 0.1, where, labels))
    return given


@pytest.fixture
def model() -> Hpdm:
    return make_model().eval()
