"""What one forward pass of each kind of denoiser is given, as tensors without values: for counting its work.

Shapes are those that the pipelines give for one sample; `text` is the length of the prompt as it is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from engine.schedules.latent_sizes import LatentSize

Inputs = Mapping[str, Any]
CLIP_TOKENS = 77  # before T5's, in SD3
CLIP_IMAGE_TOKENS = 257  # of the picture that Wan 2.1 is given
GLYPH_TOKENS, IMAGE_TOKENS = 256, 729  # of HunyuanVideo 1.5's second text and of its picture


def inputs_of(
    model: Any, size: LatentSize, text: int, device: torch.device | str = "meta", reference: int = 0
) -> Inputs:
    """Arguments of `model`'s forward at a latent size. Raises KeyError for a class that is not known.

    `reference` counts the tokens of a reference picture behind the latents', for models that see it so (FLUX).
    """
    make = INPUTS[type(model).__name__]
    with torch.device(device):
        inputs = make(model.config, size, text)
        return {**inputs, **_longer(inputs, reference)} if reference else inputs


def _longer(inputs: Inputs, more: int) -> Inputs:
    """Packed latents and their positions with as many tokens more."""
    latents, ids = inputs["hidden_states"], inputs["img_ids"]
    return {
        "hidden_states": torch.cat([latents, torch.ones(1, more, latents.shape[-1])], dim=1),
        "img_ids": torch.cat([ids, torch.ones(*ids.shape[:-2], more, ids.shape[-1])], dim=-2),
    }


def _video(channels: int, size: LatentSize) -> Tensor:
    return torch.ones(1, channels, size.frames, *size.hw)


def _picture(channels: int, size: LatentSize) -> Tensor:
    return torch.ones(1, channels, *size.hw)


def _blocks(channels: int, size: LatentSize) -> Tensor:
    """2x2 latents packed into one token."""
    return torch.ones(1, size.height // 2 * (size.width // 2), channels)


def _time() -> Tensor:
    return torch.ones(1)


def _wan(config: Any, size: LatentSize, text: int) -> Inputs:
    return {
        "hidden_states": _video(config.in_channels, size),
        "timestep": torch.ones(1, dtype=torch.int64),
        "encoder_hidden_states": torch.ones(1, text, config.text_dim),
        "encoder_hidden_states_image": _seen(config),
    }


def _seen(config: Any) -> Tensor | None:
    """What CLIP saw: of one picture, or of the first and the last one in a batch."""
    if not config.image_dim:
        return None
    both = config.pos_embed_seq_len
    return torch.ones(2, both // 2, config.image_dim) if both else torch.ones(1, CLIP_IMAGE_TOKENS, config.image_dim)


def _vace(config: Any, size: LatentSize, text: int) -> Inputs:
    control = {"control_hidden_states": _video(config.vace_in_channels, size)}
    return {**_wan(config, size, text), **control, "control_hidden_states_scale": torch.ones(len(config.vace_layers))}


def _ltx(config: Any, size: LatentSize, text: int) -> Inputs:
    return {
        "hidden_states": torch.ones(1, size.frames * size.height * size.width, config.in_channels),
        "encoder_hidden_states": torch.ones(1, text, config.caption_channels),
        "timestep": _time(),
        "encoder_attention_mask": torch.ones(1, text),
        "num_frames": size.frames,
        "height": size.height,
        "width": size.width,
    }


def _hunyuan(config: Any, size: LatentSize, text: int) -> Inputs:
    return {
        "hidden_states": _video(config.in_channels, size),
        "timestep": _time(),
        "encoder_hidden_states": torch.ones(1, text, config.text_embed_dim),
        "encoder_attention_mask": torch.ones(1, text),
        "pooled_projections": torch.ones(1, config.pooled_projection_dim),
        "guidance": _time() if config.guidance_embeds else None,
    }


def _hunyuan_15(config: Any, size: LatentSize, text: int) -> Inputs:
    return {
        "hidden_states": _video(config.in_channels, size),
        "timestep": _time(),
        "encoder_hidden_states": torch.ones(1, text, config.text_embed_dim),
        "encoder_attention_mask": torch.ones(1, text),
        "encoder_hidden_states_2": torch.ones(1, GLYPH_TOKENS, config.text_embed_2_dim),
        "encoder_attention_mask_2": torch.ones(1, GLYPH_TOKENS),
        "image_embeds": torch.zeros(1, IMAGE_TOKENS, config.image_embed_dim),
    }


def _cog(config: Any, size: LatentSize, text: int) -> Inputs:
    frames = -(-size.frames // (config.patch_size_t or 1))
    tokens = frames * (size.height // config.patch_size) * (size.width // config.patch_size)
    rotary = (torch.ones(tokens, config.attention_head_dim), torch.ones(tokens, config.attention_head_dim))
    if not config.use_rotary_positional_embeddings:
        text = config.max_text_seq_length  # its positions count the text in
    return {
        "hidden_states": torch.ones(1, frames * (config.patch_size_t or 1), config.in_channels, *size.hw),
        "encoder_hidden_states": torch.ones(1, text, config.text_embed_dim),
        "timestep": torch.ones(1, dtype=torch.int64),
        "image_rotary_emb": rotary if config.use_rotary_positional_embeddings else None,
    }


def _mochi(config: Any, size: LatentSize, text: int) -> Inputs:
    return {
        "hidden_states": _video(config.in_channels, size),
        "encoder_hidden_states": torch.ones(1, text, config.text_embed_dim),
        "timestep": _time(),
        "encoder_attention_mask": torch.ones(1, text, dtype=torch.bool),
    }


def _sana_video(config: Any, size: LatentSize, text: int) -> Inputs:
    return _captioned(_video(config.in_channels, size), config, text)


def _sana(config: Any, size: LatentSize, text: int) -> Inputs:
    return _captioned(_picture(config.in_channels, size), config, text)


def _captioned(latents: Tensor, config: Any, text: int) -> Inputs:
    return {
        "hidden_states": latents,
        "encoder_hidden_states": torch.ones(1, text, config.caption_channels),
        "encoder_attention_mask": torch.ones(1, text, dtype=torch.int64),
        "timestep": _time(),
    }


def _kandinsky(config: Any, size: LatentSize, text: int) -> Inputs:
    channels = 2 * config.in_visual_dim + 1 if config.visual_cond else config.in_visual_dim
    patched = [n // side for n, side in zip((size.frames, *size.hw), config.patch_size, strict=True)]
    return {
        "hidden_states": torch.ones(1, size.frames, *size.hw, channels),
        "encoder_hidden_states": torch.ones(1, text, config.in_text_dim),
        "pooled_projections": torch.ones(1, config.in_text_dim2),
        "timestep": _time(),
        "visual_rope_pos": [torch.arange(n) for n in patched],
        "text_rope_pos": torch.arange(text),
    }


def _flux(config: Any, size: LatentSize, text: int) -> Inputs:
    latents = _blocks(config.in_channels, size)
    return {
        "hidden_states": latents,
        "encoder_hidden_states": torch.ones(1, text, config.joint_attention_dim),
        "pooled_projections": torch.ones(1, config.pooled_projection_dim),
        "timestep": _time(),
        "guidance": _time() if config.guidance_embeds else None,
        "img_ids": torch.ones(latents.shape[1], 3),
        "txt_ids": torch.ones(text, 3),
    }


def _flux2(config: Any, size: LatentSize, text: int) -> Inputs:
    latents = _blocks(config.in_channels, size)
    return {
        "hidden_states": latents,
        "encoder_hidden_states": torch.ones(1, text, config.joint_attention_dim),
        "timestep": _time(),
        "guidance": _time() if config.guidance_embeds else None,
        "img_ids": torch.ones(1, latents.shape[1], 4),
        "txt_ids": torch.ones(1, text, 4),
    }


def _chroma(config: Any, size: LatentSize, text: int) -> Inputs:
    latents = _blocks(config.in_channels, size)
    return {
        "hidden_states": latents,
        "encoder_hidden_states": torch.ones(1, text, config.joint_attention_dim),
        "timestep": _time(),
        "img_ids": torch.ones(latents.shape[1], 3),
        "txt_ids": torch.ones(text, 3),
    }


def _qwen(config: Any, size: LatentSize, text: int) -> Inputs:
    return {
        "hidden_states": _blocks(config.in_channels, size),
        "encoder_hidden_states": torch.ones(1, text, config.joint_attention_dim),
        "timestep": _time(),
        "img_shapes": [[(1, size.height // 2, size.width // 2)]],
    }


def _sd3(config: Any, size: LatentSize, text: int) -> Inputs:
    return {
        "hidden_states": _picture(config.in_channels, size),
        "encoder_hidden_states": torch.ones(1, CLIP_TOKENS + text, config.joint_attention_dim),
        "pooled_projections": torch.ones(1, config.pooled_projection_dim),
        "timestep": _time(),
    }


def _aura_flow(config: Any, size: LatentSize, text: int) -> Inputs:
    return {
        "hidden_states": _picture(config.in_channels, size),
        "encoder_hidden_states": torch.ones(1, text, config.joint_attention_dim),
        "timestep": _time(),
    }


def _z_image(config: Any, size: LatentSize, text: int) -> Inputs:
    return {
        "x": [torch.ones(config.in_channels, 1, *size.hw)],
        "t": _time(),
        "cap_feats": [torch.ones(text, config.cap_feat_dim)],
    }


def _unet(config: Any, size: LatentSize, text: int) -> Inputs:
    """CLIP's 77 tokens, whatever `text` is; SDXL is told sizes too."""
    inputs: dict[str, Any] = {
        "sample": _picture(config.in_channels, size),
        "timestep": torch.ones(()),
        "encoder_hidden_states": torch.ones(1, CLIP_TOKENS, config.cross_attention_dim),
    }
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        inputs["added_cond_kwargs"] = {"text_embeds": torch.ones(1, pooled), "time_ids": torch.ones(1, 6)}
    return inputs


INPUTS: Mapping[str, Callable[[Any, LatentSize, int], Inputs]] = {
    "WanTransformer3DModel": _wan,
    "SkyReelsV2Transformer3DModel": _wan,
    "WanVACETransformer3DModel": _vace,
    "LTXVideoTransformer3DModel": _ltx,
    "HunyuanVideoTransformer3DModel": _hunyuan,
    "HunyuanVideo15Transformer3DModel": _hunyuan_15,
    "CogVideoXTransformer3DModel": _cog,
    "MochiTransformer3DModel": _mochi,
    "SanaVideoTransformer3DModel": _sana_video,
    "Kandinsky5Transformer3DModel": _kandinsky,
    "FluxTransformer2DModel": _flux,
    "Flux2Transformer2DModel": _flux2,
    "ChromaTransformer2DModel": _chroma,
    "QwenImageTransformer2DModel": _qwen,
    "SD3Transformer2DModel": _sd3,
    "AuraFlowTransformer2DModel": _aura_flow,
    "SanaTransformer2DModel": _sana,
    "ZImageTransformer2DModel": _z_image,
    "UNet2DConditionModel": _unet,
}
