"""Wan and what is built like it: Wan 2.1, 2.2, VACE, SkyReels-V2."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    SkyReelsV2ImageToVideoPipeline,
    SkyReelsV2Pipeline,
    SkyReelsV2Transformer3DModel,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
)
from transformers import CLIPImageProcessor

from tests.families.parts import PROMPT, Case, clip_vision, picture, seeded, t5, tokenizer

TEXT = 16
CALL = PROMPT | {"guidance_scale": 3.0, "max_sequence_length": 16}


def unipc() -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


def vae(channels: int = 4, **more: Any) -> AutoencoderKLWan:
    return AutoencoderKLWan(
        base_dim=4, z_dim=channels, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True],
        latents_mean=[0.0] * channels, latents_std=[1.0] * channels, **more,
    )  # fmt: skip


def vae_22() -> AutoencoderKLWan:
    """Wan 2.2's 16x VAE: pixels in 2x2 patches, residual shortcuts."""
    return vae(is_residual=True, patch_size=2, in_channels=12, out_channels=12, decoder_base_dim=4,
               scale_factor_spatial=16)  # fmt: skip


def transformer(kind: Any = WanTransformer3DModel, channels: int = 4, **more: Any) -> Any:
    return kind(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=channels, out_channels=4,
        text_dim=TEXT, freq_dim=32, ffn_dim=32, num_layers=2, rope_max_seq_len=64, **more,
    )  # fmt: skip


def parts(**more: Any) -> dict[str, Any]:
    return {"tokenizer": tokenizer(), "text_encoder": t5(TEXT), "vae": vae(), "scheduler": unipc(), **more}


def wan() -> WanPipeline:
    return WanPipeline(**parts(transformer=transformer()))


def wan_a14b() -> WanPipeline:
    experts = {"transformer": transformer(), "transformer_2": transformer()}
    return WanPipeline(**parts(**experts), boundary_ratio=0.875)


def wan_5b() -> WanPipeline:
    return WanPipeline(**parts(vae=vae_22(), transformer=transformer()), expand_timesteps=True)


def wan_i2v() -> WanImageToVideoPipeline:
    """Wan 2.1: the picture is seen by CLIP too; channels of the condition and its mask beside the latents."""
    seeing = {
        "image_encoder": clip_vision(TEXT),
        "image_processor": CLIPImageProcessor(crop_size=32, size={"shortest_edge": 32}),
    }
    model = transformer(channels=4 + 4 + 4, added_kv_proj_dim=24, image_dim=TEXT)
    return WanImageToVideoPipeline(**parts(**seeing, transformer=model))


def wan_flf2v() -> WanImageToVideoPipeline:
    """First and last frame: CLIP sees both, with positions of its own."""
    pipe = wan_i2v()
    pipe.transformer = transformer(channels=12, added_kv_proj_dim=24, image_dim=TEXT, pos_embed_seq_len=2 * 5)
    return pipe


def wan_a14b_i2v() -> WanImageToVideoPipeline:
    experts = {"transformer": transformer(channels=12), "transformer_2": transformer(channels=12)}
    return WanImageToVideoPipeline(**parts(**experts), boundary_ratio=0.9)


def wan_5b_i2v() -> WanImageToVideoPipeline:
    return WanImageToVideoPipeline(**parts(vae=vae_22(), transformer=transformer()), expand_timesteps=True)


def wan_vace() -> WanVACEPipeline:
    model = transformer(WanVACETransformer3DModel, vace_layers=[0], vace_in_channels=2 * 4 + 64)
    return WanVACEPipeline(**parts(transformer=model))


def skyreels() -> SkyReelsV2Pipeline:
    return SkyReelsV2Pipeline(**parts(transformer=transformer(SkyReelsV2Transformer3DModel)))


def skyreels_i2v() -> SkyReelsV2ImageToVideoPipeline:
    seeing = {
        "image_encoder": clip_vision(TEXT),
        "image_processor": CLIPImageProcessor(crop_size=32, size={"shortest_edge": 32}),
    }
    model = transformer(SkyReelsV2Transformer3DModel, channels=12, added_kv_proj_dim=24, image_dim=TEXT)
    return SkyReelsV2ImageToVideoPipeline(**parts(**seeing, transformer=model))


def wan_euler() -> WanPipeline:
    return WanPipeline(**parts(transformer=transformer(), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0)))


FIRST = CALL | {"image": picture()}
VIDEO = CALL | {"video": [picture() for _ in range(5)]}
CASES = (
    Case("wan", seeded(wan), frames=5, call=CALL),
    Case("wan-euler", seeded(wan_euler), frames=5, call=CALL),
    Case("wan-a14b", seeded(wan_a14b), frames=5, call=CALL | {"guidance_scale_2": 2.0}),
    Case("wan-5b", seeded(wan_5b), 128, 192, frames=5, call=CALL),
    Case("wan-i2v", seeded(wan_i2v), frames=5, call=FIRST),
    Case("wan-flf2v", seeded(wan_flf2v), frames=5, call=FIRST | {"last_image": picture()}),
    Case("wan-a14b-i2v", seeded(wan_a14b_i2v), frames=5, call=FIRST),
    Case("wan-5b-i2v", seeded(wan_5b_i2v), 128, 192, frames=5, call=FIRST),
    Case("wan-vace", seeded(wan_vace), frames=5, call=CALL),
    Case("wan-vace-video", seeded(wan_vace), frames=5, call=VIDEO),
    Case("wan-vace-reference", seeded(wan_vace), frames=5, call=CALL | {"reference_images": [picture()]}),
    Case("skyreels", seeded(skyreels), frames=5, call=CALL),
    Case("skyreels-i2v", seeded(skyreels_i2v), frames=5, call=FIRST),
)
