"""Image models: FLUX.1 and 2, Kontext, Qwen-Image, SD 1.5, SDXL, SD3, Z-Image, Sana, Chroma, AuraFlow."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    ChromaPipeline,
    ChromaTransformer2DModel,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxKontextPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import Gemma2Config, Gemma2Model, Qwen3Config, Qwen3ForCausalLM, Qwen3Model

from tests.families.parts import PROMPT, WORDS, Case, clip, picture, seeded, t5, tokenizer
from tests.families.qwen import qwen_vl

DOWN, UP = ["DownEncoderBlock2D"] * 4, ["UpDecoderBlock2D"] * 4
GUIDED = PROMPT | {"guidance_scale": 3.0}
SHORT = {"max_sequence_length": 16}


def vae(channels: int = 4, **more: Any) -> AutoencoderKL:
    """8x, as all of these have it."""
    return AutoencoderKL(
        down_block_types=DOWN, up_block_types=UP, block_out_channels=[4, 4, 4, 4], layers_per_block=1,
        latent_channels=channels, norm_num_groups=2, sample_size=64, **more,
    )  # fmt: skip


def flux_vae() -> AutoencoderKL:
    return vae(4, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5)


def dynamic() -> FlowMatchEulerDiscreteScheduler:
    """FLUX's own shift, which follows the number of tokens."""
    return FlowMatchEulerDiscreteScheduler(
        shift=3.0, use_dynamic_shifting=True, base_image_seq_len=8, max_image_seq_len=64
    )


def flux(kind: Any = FluxPipeline) -> Any:
    model = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=[4, 4, 8], guidance_embeds=True,
    )  # fmt: skip
    return kind(
        scheduler=dynamic(), vae=flux_vae(), text_encoder=clip(), tokenizer=tokenizer(), text_encoder_2=t5(),
        tokenizer_2=tokenizer(), transformer=model,
    )  # fmt: skip


def kontext() -> FluxKontextPipeline:
    return flux(FluxKontextPipeline)


def chroma() -> ChromaPipeline:
    model = ChromaTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, axes_dims_rope=[4, 4, 8], approximator_hidden_dim=16, approximator_layers=1,
        approximator_num_channels=16,
    )  # fmt: skip
    return ChromaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_beta_sigmas=False), vae=flux_vae(), text_encoder=t5(),
        tokenizer=tokenizer(), transformer=model,
    )  # fmt: skip


def flux2_parts(text: int = 16) -> dict[str, Any]:
    model = Flux2Transformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=text, timestep_guidance_channels=16, axes_dims_rope=[4, 4, 4, 4], guidance_embeds=False,
    )  # fmt: skip
    autoencoder = AutoencoderKLFlux2(
        down_block_types=DOWN, up_block_types=UP, block_out_channels=[4, 4, 4, 4], layers_per_block=1,
        latent_channels=4, norm_num_groups=2, sample_size=64,
    )  # fmt: skip
    return {"scheduler": dynamic(), "vae": autoencoder, "tokenizer": tokenizer(), "transformer": model}


def qwen3(kind: Any, layers: int = 2) -> Any:
    return kind(
        Qwen3Config(
            vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=layers,
            num_attention_heads=2, num_key_value_heads=2, head_dim=8, max_position_embeddings=64, pad_token_id=0,
            eos_token_id=1,
        )
    )  # fmt: skip


def klein() -> Flux2KleinPipeline:
    """Its text is what three layers say, the last of them the 27th: the encoder must be as deep."""
    return Flux2KleinPipeline(**flux2_parts(text=3 * 16), text_encoder=qwen3(Qwen3ForCausalLM, layers=28))


def flux2() -> Flux2Pipeline:
    """Called with embedded text: its encoder is a Mistral with eyes."""
    return Flux2Pipeline(**flux2_parts(), text_encoder=None)


def qwen_image() -> QwenImagePipeline:
    model = QwenImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, axes_dims_rope=(8, 4, 4),
    )  # fmt: skip
    autoencoder = AutoencoderKLQwenImage(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    )  # fmt: skip
    return QwenImagePipeline(
        scheduler=dynamic(), vae=autoencoder, text_encoder=qwen_vl(), tokenizer=tokenizer(256), transformer=model
    )


def sd3() -> StableDiffusion3Pipeline:
    model = SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=4,
        caption_projection_dim=32, joint_attention_dim=32, pooled_projection_dim=32, out_channels=4,
        pos_embed_max_size=24,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=model, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=flux_vae(),
        text_encoder=clip(projected=True), tokenizer=tokenizer(), text_encoder_2=clip(projected=True),
        tokenizer_2=tokenizer(), text_encoder_3=t5(32), tokenizer_3=tokenizer(),
    )  # fmt: skip


def euler() -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )


def unet(**more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=16, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4, norm_num_groups=4, **more,
    )  # fmt: skip


def sdxl() -> StableDiffusionXLPipeline:
    model = unet(
        cross_attention_dim=32, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        vae=vae(), text_encoder=clip(), text_encoder_2=clip(projected=True), tokenizer=tokenizer(),
        tokenizer_2=tokenizer(), unet=model, scheduler=euler(), add_watermarker=False,
    )  # fmt: skip


def sd() -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=vae(), text_encoder=clip(), tokenizer=tokenizer(), unet=unet(cross_attention_dim=16), scheduler=euler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def z_image() -> ZImagePipeline:
    model = ZImageTransformer2DModel(
        all_patch_size=(2,), all_f_patch_size=(1,), in_channels=4, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2,
        n_kv_heads=2, cap_feat_dim=16, axes_dims=[8, 4, 4], axes_lens=[256, 32, 32],
    )  # fmt: skip
    with torch.no_grad():  # left as they are by its constructor
        model.x_pad_token.fill_(1.0)
        model.cap_pad_token.fill_(1.0)
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=flux_vae(), text_encoder=qwen3(Qwen3Model),
        tokenizer=tokenizer(), transformer=model,
    )  # fmt: skip


def gemma() -> Gemma2Model:
    return Gemma2Model(
        Gemma2Config(
            vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, head_dim=8, attn_implementation="eager", pad_token_id=0,
        )
    )  # fmt: skip


def sana() -> SanaPipeline:
    model = SanaTransformer2DModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=8,
        num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16, caption_channels=16,
        sample_size=32,
    )  # fmt: skip
    autoencoder = AutoencoderDC(
        latent_channels=4, attention_head_dim=2, encoder_block_types=["ResBlock"] * 6,
        decoder_block_types=["ResBlock"] * 6, encoder_block_out_channels=[4] * 6, decoder_block_out_channels=[4] * 6,
        encoder_qkv_multiscales=[()] * 6, decoder_qkv_multiscales=[()] * 6, encoder_layers_per_block=[1] * 6,
        decoder_layers_per_block=[1] * 6, downsample_block_type="conv", upsample_block_type="interpolate",
        decoder_norm_types="rms_norm", decoder_act_fns="silu", scaling_factor=0.4,
    )  # fmt: skip
    return SanaPipeline(
        tokenizer=tokenizer(), text_encoder=gemma(), vae=autoencoder, transformer=model,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip


def aura_flow() -> AuraFlowPipeline:
    model = AuraFlowTransformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=8,
        num_attention_heads=4, caption_projection_dim=32, joint_attention_dim=16, out_channels=4,
        pos_embed_max_size=256,
    )  # fmt: skip
    return AuraFlowPipeline(
        tokenizer=tokenizer(), text_encoder=t5(), vae=vae(), transformer=model,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.73),
    )  # fmt: skip


EMBEDDED = {"prompt_embeds": torch.zeros(1, 4, 16)}
CASES = (
    Case("flux", seeded(flux), call={"prompt": "a red apple"} | SHORT),
    Case("flux-kontext", seeded(kontext), call={"prompt": "a red apple", "image": picture()} | SHORT),
    Case("flux2-klein", seeded(klein), call={"prompt": "a red apple"} | SHORT),
    Case("flux2", seeded(flux2), call=EMBEDDED),
    Case("chroma", seeded(chroma), call=GUIDED | SHORT),
    Case("qwen-image", seeded(qwen_image), call=PROMPT | SHORT | {"true_cfg_scale": 3.0}),
    Case("sd3", seeded(sd3), call=GUIDED | SHORT),
    Case("sdxl", seeded(sdxl), call=GUIDED),
    Case("sd", seeded(sd), call=GUIDED),
    Case("z-image", seeded(z_image), call=GUIDED | SHORT),
    Case("sana", seeded(sana), 128, 192, call=GUIDED | SHORT | {"complex_human_instruction": None}),
    Case("aura-flow", seeded(aura_flow), call=GUIDED | SHORT),
)
