"""The recipes: `base` and `mini` for one data-centre GPU, `nano` and `xs` for CPU cores."""

from __future__ import annotations

from dataclasses import replace

from engine.hpdm.hpdm_config import HpdmConfig
from training.config import (
    MOTIONS,
    NANO_EMOJI,
    DitConfig,
    FanOut,
    HpdmRecipe,
    JudgeConfig,
    Phase,
    Recipe,
    SceneConfig,
    VaeConfig,
)  # fmt: skip

NANO = Recipe(
    name="nano",
    scenes=SceneConfig(
        side=128,
        frames=17,
        emoji=NANO_EMOJI,
        limit=0,
        animated=False,
        two_actors=0.0,
        size=(0.66, 0.74),
        jitter=0.03,
        travel=0.26,
        period=(16, 16),
        free_phase=False,
        asset_side=96,
    ),
    vae=VaeConfig(
        encoder_dim=16,
        decoder_dim=32,
        res_blocks=1,
        clip=((1, 64, 32, 0.3), (9, 64, 4, 0.3), (1, 128, 8, 0.1), (17, 64, 2, 0.3)),
        minutes=30,
        lr=2e-3,
    ),
    dit=DitConfig(
        heads=4,
        layers=6,
        ffn=1024,
        text_dim=128,
        text_layers=2,
        phases=(
            Phase(0.2, ((1, 0.5, 128, 0.5), (1, 0.75, 64, 0.5))),
            Phase(0.3, ((1, 0.5, 128, 0.25), (1, 0.75, 64, 0.35), (1, 1.0, 48, 0.4))),
            Phase(1.0, ((5, 0.5, 32, 0.35), (5, 0.75, 16, 0.3), (5, 1.0, 10, 0.3), (1, 1.0, 48, 0.05))),
        ),
        minutes=72,
        lr=1e-3,
        bank_clips=3000,
        bank_stills=8000,
    ),
    judge=JudgeConfig(width=24, steps=700, batch=32),
)

BASE = Recipe(
    name="base",
    scenes=SceneConfig(
        side=192,
        frames=17,
        emoji=(),
        limit=300,
        animated=True,
        two_actors=0.3,
        size=(0.5, 0.65),
        jitter=0.06,
        travel=0.3,
        period=(12, 24),
        free_phase=True,
        asset_side=144,
    ),
    vae=VaeConfig(
        encoder_dim=32,
        decoder_dim=48,
        res_blocks=1,
        clip=((1, 96, 256, 0.4), (9, 96, 32, 0.3), (17, 192, 8, 0.3)),
        minutes=7,
        lr=1.5e-3,
    ),
    dit=DitConfig(
        heads=6,
        layers=10,
        ffn=1536,
        text_dim=256,
        text_layers=3,
        phases=(
            Phase(0.2, ((1, 0.5, 1024, 0.5), (1, 1.0, 512, 0.5))),
            Phase(1.0, ((5, 0.5, 256, 0.3), (5, 0.75, 128, 0.3), (5, 1.0, 96, 0.4))),
        ),
        minutes=16,
        lr=8e-4,
        bank_clips=40000,
        bank_stills=100000,
        max_length=32,
    ),
    judge=JudgeConfig(width=64, steps=3000, batch=128),
)


def polishing(cfg: VaeConfig) -> VaeConfig:
    """Settings for a trained decoder: clips alone, some whole, sharper edges, latents as inexact as a generator's.

    Two in five from the low band of larger latents: that is what a transformer draws that agrees across sizes.
    """
    clips = tuple(c for c in cfg.clip if c[0] > 1)
    whole = (max(c[0] for c in clips), max(c[1] for c in cfg.clip), 1, 0.15)
    return replace(
        cfg, clip=(*clips, whole), lr=cfg.lr / 2, muon=1.5,
        equivariance=0.4, gradient_loss=1.0, latent_noise=0.2, warmup=50,
    )  # fmt: skip


def going_on(cfg: DitConfig) -> DitConfig:
    """Settings for a trained transformer: half the rate, which decays from the start; clips at full size, and lower
    resolutions taught to agree with it (training.consistency).
    """
    full = tuple(m for m in cfg.phases[-1].mix if m[1] == 1)
    lower = ((0.5, 0.4), (0.625, 0.1), (0.75, 0.4), (0.875, 0.1))
    return replace(cfg, phases=(Phase(1.0, full),), lr=cfg.lr / 2, warmup=50, decay=1.0, consistency=lower)


XS = HpdmRecipe(
    name="xs",
    scenes=replace(
        NANO.scenes, side=64, frames=16, asset_side=48,
        emoji=("red heart", "banana", "star", "cactus", "ghost", "octopus", "frog", "panda"),
    ),
    motions=("still", "drifting left", "drifting right"),
    textures=("plain",),
    model=HpdmConfig(
        patch=(4, 16, 16), levels=3, token=(2, 2, 2), dim=64, latent_dim=96, latents=24, compute=1, heads=4,
        level_blocks=(1, 1, 2, 2, 3, 3), input_scales=(1.0, 0.5, 0.25), conditions={}, token_condition=True,
    ),
    batch=12,
    coarse=24,
    minutes=60,
    lr=2e-3,
    clips=3000,
)  # fmt: skip

RESIDUAL = replace(
    XS,
    name="residual",
    model=replace(
        XS.model, fusion="dcf+pixels", target="residual", fusion_init="identity", embedding_init=0.02,
        input_scales=(1.0, 1.0, 1.0), residual_scales=(1.0, 0.086, 0.058), guided_levels=1,
        sigmas=((80.0, 0.02), (1.0, 0.01), (1.0, 0.01)),
    ),
    fan_out=FanOut(
        finished=(4, 8), counted=(14, 10, 14), log_sigma=((0.0, 1.3), (-1.2, 1.2), (-1.5, 1.2)),
        weights=(4.0, 1.0, 1.0),
    ),
    self_condition=0.0,
    clips=1500,
    steps=(16, 8, 4),
    guidance=1.3,
)  # fmt: skip

MINI = HpdmRecipe(
    name="mini",
    scenes=replace(NANO.scenes, side=64, frames=16, asset_side=48),
    motions=MOTIONS,
    textures=("plain", "gradient"),
    model=HpdmConfig(
        patch=(4, 16, 16), levels=3, token=(1, 2, 2), dim=128, latent_dim=192, latents=48, compute=2, heads=4,
        level_blocks=(1, 1, 2, 2, 3, 3), input_scales=(1.0, 0.5, 0.25), conditions={},
    ),
    batch=64,
    coarse=64,
    minutes=25,
    lr=1e-3,
    clips=8000,
    ema=0.999,
    self_condition=0.9,
)  # fmt: skip

HPDM_RECIPES = {recipe.name: recipe for recipe in (XS, RESIDUAL, MINI)}
RECIPES = {recipe.name: recipe for recipe in (NANO, BASE)}
