"""How a model cuts a picture or a video, read from its components' configs. No torch here.

Classes differ in what they call the same thing, and leave keys out where a class has a default: both are known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import InvalidInput
from engine.schedules.latent_sizes import Geometry

Config = Mapping[str, Any]
Configs = Mapping[str, Config]  # by component: "vae", "transformer", "unet", …

_ROTARY = (
    "WanTransformer3DModel",
    "WanVACETransformer3DModel",
    "SkyReelsV2Transformer3DModel",
    "SanaVideoTransformer3DModel",
)
NABLA = 128  # pixels: Kandinsky's sparse attention works in 8x8 blocks of tokens


def geometry_of(pipeline: str, configs: Configs) -> Geometry:
    """Strides of the VAE, patch and latent channels of the denoiser.

    `patch` is what a stage's latents must be multiples of: the denoiser's patch, and for a few families more than
    that. Raises InvalidInput for classes that are not known.
    """
    denoiser = configs["transformer"] if "transformer" in configs else configs["unet"]
    stride = _found(STRIDES, configs["vae"], "VAE")
    patch, channels = _found(PATCHES, denoiser, "denoiser")
    if pipeline in ("SanaVideoPipeline", "SanaImageToVideoPipeline"):
        patch = (patch[0], *(max(32 // stride[1], side) for side in patch[1:]))  # their calls take multiples of 32
    if denoiser.get("use_learned_positional_embeddings"):
        raise InvalidInput("model", "its positions were learned for one size only; it cannot run at another.")
    if denoiser.get("attention_type") == "nabla":
        patch = (patch[0], NABLA // stride[1], NABLA // stride[2])
    position, reach = _positions(denoiser)
    return Geometry(stride, patch, channels, reach, position)


def _positions(config: Config) -> tuple[Cube, Cube | None]:
    """The denoiser's own patch in latent cells, and how many of them its table of positions holds along each axis.

    None where positions are computed for any size, and where a config leaves out how many there are: those of the
    catalogue hold only what is needed, those of a folder hold all.
    """
    name = str(config.get("_class_name"))
    if name in _ROTARY:
        own = config.get("patch_size") or (1, 2, 2)
        return tuple(own), (config.get("rope_max_seq_len") or 1024,) * 3
    most = config.get("pos_embed_max_size")
    if name == "SD3Transformer2DModel" and most:
        return _cube(config.get("patch_size") or 2), (1, most, most)
    if name == "Kandinsky5Transformer3DModel":
        return tuple(config.get("patch_size") or (1, 2, 2)), (128, 128, 128)
    return (1, 1, 1), None


def _found(table: Mapping[str, Callable[[Config], Any]], config: Config, part: str) -> Any:
    name = str(config.get("_class_name"))
    if name not in table:
        raise InvalidInput("model", f"its {part} is a {name}; {part}s that are known here are {', '.join(table)}.")
    return table[name](config)


Cube = tuple[int, int, int]


def _wan_vae(config: Config) -> Cube:
    side = config.get("scale_factor_spatial") or 8
    return config.get("scale_factor_temporal") or 4, side, side


def _compressing(time: int, side: int) -> Callable[[Config], Cube]:
    def read(config: Config) -> Cube:
        space = config.get("spatial_compression_ratio") or side
        return config.get("temporal_compression_ratio") or time, space, space

    return read


def _ltx_vae(config: Config) -> Cube:
    halvings = 2 ** sum(config.get("spatio_temporal_scaling", (True, True, True, False)))
    side = config.get("spatial_compression_ratio") or config.get("patch_size", 4) * halvings
    return config.get("temporal_compression_ratio") or config.get("patch_size_t", 1) * halvings, side, side


def _halving(key: str, time: int = 1) -> Callable[[Config], Cube]:
    """Every level but the last halves the sides."""

    def read(config: Config) -> Cube:
        side = 2 ** (len(config[key]) - 1)
        return config.get("temporal_compression_ratio") or time, side, side

    return read


def _qwen_vae(config: Config) -> Cube:
    """It could hold a video, and is given stills."""
    side = 2 ** len(config.get("temperal_downsample", (False, True, True)))
    return 1, side, side


STRIDES: Mapping[str, Callable[[Config], Cube]] = {
    "AutoencoderKLWan": _wan_vae,
    "AutoencoderKLQwenImage": _qwen_vae,
    "AutoencoderKLLTXVideo": _ltx_vae,
    "AutoencoderKLLTX2Video": _compressing(8, 32),
    "AutoencoderKLHunyuanVideo": _compressing(4, 8),
    "AutoencoderKLHunyuanVideo15": _compressing(4, 16),
    "AutoencoderKLCogVideoX": _halving("block_out_channels", time=4),
    "AutoencoderKLMochi": lambda config: (6, 8, 8),
    "AutoencoderKL": _halving("block_out_channels"),
    "AutoencoderKLFlux2": _halving("block_out_channels"),
    "AutoencoderDC": _halving("encoder_block_out_channels"),
}

Cut = tuple[Cube, int]  # patch and latent channels


def _cube(side: int, time: int | None = 1) -> Cube:
    return time or 1, side, side


def _cubic(channels: str) -> Callable[[Config], Cut]:
    """`patch_size` holds all three."""
    return lambda config: (tuple(config.get("patch_size") or (1, 2, 2)), config[channels])


def _square(channels: str, side: int) -> Callable[[Config], Cut]:
    """`patch_size` is one number, `patch_size_t` may be another."""
    return lambda config: (_cube(config.get("patch_size") or side, config.get("patch_size_t")), config[channels])


def _packing(config: Config) -> Cut:
    """The pipeline packs 2x2 latents into one token."""
    return _cube(2), config.get("in_channels", 64) // 4


def _unet(config: Config) -> Cut:
    """Sides that halve evenly down to the lowest level."""
    return _cube(2 ** (len(config["block_out_channels"]) - 1)), config["in_channels"]


PATCHES: Mapping[str, Callable[[Config], Cut]] = {
    "WanTransformer3DModel": _cubic("out_channels"),
    "WanVACETransformer3DModel": _cubic("out_channels"),
    "SkyReelsV2Transformer3DModel": _cubic("out_channels"),
    "LTXVideoTransformer3DModel": _square("in_channels", 1),
    "HunyuanVideoTransformer3DModel": _square("out_channels", 2),
    "HunyuanVideo15Transformer3DModel": _square("out_channels", 1),
    "CogVideoXTransformer3DModel": _square("out_channels", 2),
    "MochiTransformer3DModel": _square("in_channels", 2),
    "SanaVideoTransformer3DModel": _cubic("in_channels"),
    "Kandinsky5Transformer3DModel": _cubic("in_visual_dim"),
    "FluxTransformer2DModel": _packing,
    "Flux2Transformer2DModel": lambda config: (_cube(2), config.get("in_channels", 128) // 4),
    "ChromaTransformer2DModel": _packing,
    "QwenImageTransformer2DModel": _packing,
    "SD3Transformer2DModel": _square("in_channels", 2),
    "AuraFlowTransformer2DModel": _square("in_channels", 2),
    "SanaTransformer2DModel": _square("in_channels", 1),
    "ZImageTransformer2DModel": lambda config: (_cube(config["all_patch_size"][0]), config["in_channels"]),
    "UNet2DConditionModel": _unet,
}
