"""Tiny recipe and drawn pictures, so that the tests need neither the network nor minutes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.config import Phase, Recipe
from training.data import Scenes
from training.recipes import NANO

NAMES = ("red apple", "cat face", "frog")


def picture(seed: int, side: int = 24, frames: int = 1) -> np.ndarray:
    """A coloured disc with transparent surroundings, (F, side, side, 4) uint8."""
    axis = np.linspace(-1, 1, side)
    disc = (axis[:, None] ** 2 + axis[None] ** 2 < 0.8).astype(np.uint8) * 255
    out = np.zeros((frames, side, side, 4), np.uint8)
    out[..., :3] = np.random.default_rng(seed).integers(0, 255, 3)
    out[..., 3] = disc
    return out


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """`nano`, shrunk until a step takes milliseconds."""
    mix = ((1, 0.5, 4, 0.5), (2, 1.0, 2, 0.5))
    return replace(
        NANO,
        threads=1,
        scenes=replace(NANO.scenes, side=32, frames=5, emoji=NAMES, period=(8, 8), asset_side=24),
        vae=replace(NANO.vae, encoder_dim=8, decoder_dim=8, clip=((1, 16, 2, 0.5), (5, 16, 1, 0.5))),
        dit=replace(
            NANO.dit,
            heads=1,
            layers=1,
            ffn=64,
            text_dim=32,
            text_layers=1,
            phases=(Phase(0.5, mix), Phase(1.0, mix)),
            bank_clips=4,
            bank_stills=6,
        ),
        judge=replace(NANO.judge, width=4, steps=2, batch=4),
    )


@pytest.fixture(scope="session")
def scenes(tiny: Recipe) -> Scenes:
    """Scenes of the tiny recipe over drawn pictures."""
    return Scenes(tiny.scenes, {name: picture(i) for i, name in enumerate(NAMES)})


@pytest.fixture
def ticking() -> object:
    """A clock that goes on by a second at each look."""
    now = iter(range(1 << 30))
    return lambda: float(next(now))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Somewhere to run."""
    return tmp_path / "run"
