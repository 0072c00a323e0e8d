"""How a model cuts a picture or a video, read from its components' configs. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.sizes import Geometry

Configs = Mapping[str, Mapping[str, Any]]  # by component: "vae", "transformer", "unet", …


def geometry_of(pipeline: str, configs: Configs) -> Geometry:
    """Strides of the VAE, patch and latent channels of the denoiser."""
    transformer, vae = configs["transformer"], configs["vae"]
    stride = vae.get("scale_factor_temporal", 4), *[vae.get("scale_factor_spatial", 8)] * 2
    return Geometry(stride, tuple(transformer["patch_size"]), transformer["in_channels"])
