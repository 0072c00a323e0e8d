"""Video models but Wan: LTX, HunyuanVideo 1 and 1.5, CogVideoX, Mochi, SANA-Video, Kandinsky 5."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLHunyuanVideo,
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLLTXVideo,
    AutoencoderKLMochi,
    CogVideoXDDIMScheduler,
    CogVideoXDPMScheduler,
    CogVideoXImageToVideoPipeline,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15Pipeline,
    HunyuanVideo15Transformer3DModel,
    HunyuanVideoImageToVideoPipeline,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
    Kandinsky5I2VPipeline,
    Kandinsky5T2VPipeline,
    Kandinsky5Transformer3DModel,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    MochiPipeline,
    MochiTransformer3DModel,
    SanaImageToVideoPipeline,
    SanaVideoPipeline,
    SanaVideoTransformer3DModel,
)
from diffusers.guiders import ClassifierFreeGuidance
from transformers import LlamaConfig, LlamaModel

from tests.families import builders_wan
from tests.families.builders_image import gemma
from tests.families.parts import PROMPT, WORDS, Case, clip, picture, seeded, t5, tokenizer
from tests.families.qwen import qwen_text

GUIDED = PROMPT | {"guidance_scale": 3.0, "max_sequence_length": 16}


def shifted(shift: float = 7.0) -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(shift=shift)


def ltx(kind: Any = LTXPipeline) -> Any:
    model = LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        num_layers=1, caption_channels=16,
    )  # fmt: skip
    vae = AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(4, 4, 4, 4), decoder_block_out_channels=(4, 4, 4, 4),
        layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1, 1),
    )  # fmt: skip
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_image_seq_len=8, max_image_seq_len=64, base_shift=0.95, max_shift=2.05,
        shift_terminal=0.1,
    )  # fmt: skip
    return kind(scheduler=scheduler, vae=vae, text_encoder=t5(), tokenizer=tokenizer(), transformer=model)


def ltx_i2v() -> LTXImageToVideoPipeline:
    return ltx(LTXImageToVideoPipeline)


def hunyuan_vae() -> AutoencoderKLHunyuanVideo:
    return AutoencoderKLHunyuanVideo(
        latent_channels=4, down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4, block_out_channels=(4, 4, 4, 4), layers_per_block=1,
        norm_num_groups=2,
    )  # fmt: skip


def hunyuan_transformer(**more: Any) -> HunyuanVideoTransformer3DModel:
    given = {"in_channels": 4, "guidance_embeds": True}
    return HunyuanVideoTransformer3DModel(
        **given | more, out_channels=4, num_attention_heads=2, attention_head_dim=10, num_layers=1,
        num_single_layers=1, num_refiner_layers=1, text_embed_dim=16, pooled_projection_dim=16,
        rope_axes_dim=(2, 4, 4),
    )  # fmt: skip


def hunyuan(kind: Any = HunyuanVideoPipeline, **more: Any) -> Any:
    llama = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_attention_heads=2, num_hidden_layers=3,
        num_key_value_heads=2, pad_token_id=0,
    )  # fmt: skip
    given = {
        "text_encoder": LlamaModel(llama), "tokenizer": tokenizer(), "transformer": hunyuan_transformer(),
        "vae": hunyuan_vae(), "scheduler": shifted(), "text_encoder_2": clip(), "tokenizer_2": tokenizer(),
    }  # fmt: skip
    return kind(**given | more)


def hunyuan_i2v() -> HunyuanVideoImageToVideoPipeline:
    """Called with embedded text: its encoder is a LLaVA. The picture lies in channels beside the latents."""
    model = hunyuan_transformer(in_channels=9, guidance_embeds=False, image_condition_type="latent_concat")
    return hunyuan(HunyuanVideoImageToVideoPipeline, transformer=model, text_encoder=None, image_processor=None)


def hunyuan_i2v_replacing() -> HunyuanVideoImageToVideoPipeline:
    """The newer weights: the picture takes the first latent frame's place."""
    model = hunyuan_transformer(guidance_embeds=True, image_condition_type="token_replace")
    return hunyuan(HunyuanVideoImageToVideoPipeline, transformer=model, text_encoder=None, image_processor=None)


def hunyuan_15() -> HunyuanVideo15Pipeline:
    model = HunyuanVideo15Transformer3DModel(
        in_channels=9, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=1,
        num_refiner_layers=1, mlp_ratio=2.0, text_embed_dim=16, text_embed_2_dim=16, image_embed_dim=12,
        rope_axes_dim=(2, 2, 4), target_size=64, task_type="t2v",
    )  # fmt: skip
    vae = AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(8, 8, 8, 8, 8), layers_per_block=1, spatial_compression_ratio=16,
        temporal_compression_ratio=4, downsample_match_channel=False, upsample_match_channel=False,
    )  # fmt: skip
    pipe = HunyuanVideo15Pipeline(
        text_encoder=qwen_text(), tokenizer=tokenizer(512), transformer=model, vae=vae, scheduler=shifted(),
        text_encoder_2=t5(), tokenizer_2=tokenizer(), guider=ClassifierFreeGuidance(guidance_scale=3.0),
    )  # fmt: skip
    return without_system(pipe)


def without_system(pipe: HunyuanVideo15Pipeline) -> HunyuanVideo15Pipeline:
    """Prompts of 16 tokens alone: these are attributes of the class, so no saved folder has them."""
    pipe.tokenizer_max_length, pipe.system_message = 16, ""
    pipe.prompt_template_encode_start_idx = 0  # as long as the system's message: it would cut the prompt away
    return pipe


def cog(kind: Any = CogVideoXPipeline, scheduler: Any = CogVideoXDDIMScheduler, **more: Any) -> Any:
    given: dict[str, Any] = {"in_channels": 4, "use_rotary_positional_embeddings": False, "sample_frames": 9}
    model = CogVideoXTransformer3DModel(
        **given | more, num_attention_heads=2, attention_head_dim=16, out_channels=4, time_embed_dim=4,
        text_embed_dim=16, num_layers=1, sample_width=12, sample_height=8, patch_size=2,
        temporal_compression_ratio=4, max_text_seq_length=16,
    )  # fmt: skip
    vae = AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(4, 4, 4, 4), latent_channels=4, layers_per_block=1, norm_num_groups=2,
        temporal_compression_ratio=4,
    )  # fmt: skip
    levels = scheduler(
        prediction_type="v_prediction", beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
        rescale_betas_zero_snr=True, snr_shift_scale=1.0, timestep_spacing="trailing", set_alpha_to_one=True,
    )  # fmt: skip
    return kind(tokenizer=tokenizer(), text_encoder=t5(), vae=vae, transformer=model, scheduler=levels)


def cog_5b() -> CogVideoXPipeline:
    return cog(scheduler=CogVideoXDPMScheduler, use_rotary_positional_embeddings=True)


def cog_15() -> CogVideoXPipeline:
    """Patches of two latent frames: the pipeline prepares one more where their number is odd."""
    return cog(
        scheduler=CogVideoXDPMScheduler, use_rotary_positional_embeddings=True, patch_size_t=2, patch_bias=False
    )  # fmt: skip


def cog_i2v() -> CogVideoXImageToVideoPipeline:
    """CogVideoX 1.5's: rotary; the older 5B has learned positions of one size."""
    rotary = {"use_rotary_positional_embeddings": True}
    return cog(CogVideoXImageToVideoPipeline, CogVideoXDPMScheduler, in_channels=8, **rotary)


def mochi() -> MochiPipeline:
    model = MochiTransformer3DModel(
        patch_size=2, num_attention_heads=2, attention_head_dim=8, num_layers=2, pooled_projection_dim=16,
        in_channels=12, out_channels=None, text_embed_dim=16, time_embed_dim=4, max_sequence_length=16,
    )  # fmt: skip
    vae = AutoencoderKLMochi(
        latent_channels=12, encoder_block_out_channels=(32, 32, 32, 32), decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    )  # fmt: skip
    scheduler = FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
    return MochiPipeline(scheduler=scheduler, vae=vae, text_encoder=t5(), tokenizer=tokenizer(), transformer=model)


def sana_video(kind: Any = SanaVideoPipeline) -> Any:
    model = SanaVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=1,
        num_cross_attention_heads=2, cross_attention_head_dim=12, cross_attention_dim=24, caption_channels=16,
        sample_size=8, rope_max_seq_len=32,
    )  # fmt: skip
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0)
    return kind(
        tokenizer=tokenizer(), text_encoder=gemma(), vae=builders_wan.vae(), transformer=model, scheduler=scheduler
    )


def sana_i2v() -> SanaImageToVideoPipeline:
    return sana_video(SanaImageToVideoPipeline)


def kandinsky(kind: Any = Kandinsky5T2VPipeline) -> Any:
    """Called with embedded text: its tokenizer is Qwen's processor."""
    model = Kandinsky5Transformer3DModel(
        in_visual_dim=4, in_text_dim=16, in_text_dim2=16, time_dim=16, out_visual_dim=4, patch_size=(1, 2, 2),
        model_dim=24, ff_dim=32, num_text_blocks=1, num_visual_blocks=1, axes_dims=(8, 8, 8), visual_cond=True,
    )  # fmt: skip
    return kind(
        transformer=model, vae=hunyuan_vae(), text_encoder=None, tokenizer=None, text_encoder_2=None,
        tokenizer_2=None, scheduler=shifted(),
    )  # fmt: skip


def kandinsky_i2v() -> Kandinsky5I2VPipeline:
    return kandinsky(Kandinsky5I2VPipeline)


def embedded(seed: int = 0, length: int = 4) -> torch.Tensor:
    return torch.randn(1, length, 16, generator=torch.Generator().manual_seed(seed))


LLAVA = {
    "image": picture(),
    "prompt_embeds": embedded(),
    "pooled_prompt_embeds": embedded()[:, 0],
    "prompt_attention_mask": torch.ones(1, 4, dtype=torch.int64),
}
QWEN = {
    "prompt_embeds_qwen": embedded(),
    "prompt_embeds_clip": embedded()[:, 0],
    "prompt_cu_seqlens": torch.tensor([0, 4], dtype=torch.int32),
    "negative_prompt_embeds_qwen": embedded(1),
    "negative_prompt_embeds_clip": embedded(1)[:, 0],
    "negative_prompt_cu_seqlens": torch.tensor([0, 4], dtype=torch.int32),
}
UNINSTRUCTED = GUIDED | {"complex_human_instruction": None}
TEMPLATE = {"prompt_template": {"template": "{}", "crop_start": 0}, "max_sequence_length": 16}
CASES = (
    Case("ltx", seeded(ltx), 128, 192, frames=9, call=GUIDED),
    Case("ltx-i2v", seeded(ltx_i2v), 128, 192, frames=17, call=GUIDED | {"image": picture()}),
    Case("hunyuan", seeded(hunyuan), frames=5, call={"prompt": "a red apple"} | TEMPLATE),
    Case("hunyuan-i2v", seeded(hunyuan_i2v), frames=9, call=LLAVA),
    Case("hunyuan-i2v-replacing", seeded(hunyuan_i2v_replacing), frames=9, call=LLAVA),
    Case("hunyuan-1.5", seeded(hunyuan_15), frames=5, call=PROMPT, settle=without_system),
    Case("cogvideox-2b", seeded(cog), frames=9, call=GUIDED),
    Case("cogvideox-5b", seeded(cog_5b), frames=9, call=GUIDED),
    Case("cogvideox-1.5", seeded(cog_15), frames=9, call=GUIDED),
    Case("cogvideox-i2v", seeded(cog_i2v), frames=9, call=GUIDED | {"image": picture()}),
    Case("mochi", seeded(mochi), frames=7, call=GUIDED),
    Case("sana-video", seeded(sana_video), 128, 192, frames=5, call=UNINSTRUCTED),
    Case("sana-video-i2v", seeded(sana_i2v), 128, 192, frames=9, call=UNINSTRUCTED | {"image": picture()}),
    Case("kandinsky-5", seeded(kandinsky), frames=5, call=QWEN),
    Case("kandinsky-5-i2v", seeded(kandinsky_i2v), frames=17, call=QWEN | {"image": picture()}),
)
