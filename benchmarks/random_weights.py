"""Pipelines at published configs with random weights: the arithmetic of the real ones, and nothing to download.

Text is left out: the prompt is given as random embeddings of the size that the text encoder would give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import diffusers
import torch
from diffusers import StableDiffusion3Pipeline, WanPipeline

from engine.models.catalogue import Defaults, ModelSpec, catalogue_model
from engine.models.loading import scheduler_for

# What the CPU form changes in a network's config: the same code on a two-layer network.
SMALL: dict[str, dict[str, Any]] = {
    "WanTransformer3DModel": {"num_layers": 2, "num_attention_heads": 4, "attention_head_dim": 32, "ffn_dim": 512,
                              "text_dim": 64},
    "SD3Transformer2DModel": {"num_layers": 2, "num_attention_heads": 4, "attention_head_dim": 32,
                              "joint_attention_dim": 64, "caption_projection_dim": 128, "pooled_projection_dim": 32},
    "AutoencoderKLWan": {"base_dim": 8, "num_res_blocks": 1},
    "AutoencoderKL": {"block_out_channels": [8, 16, 16, 16], "layers_per_block": 1, "norm_num_groups": 4},
}  # fmt: skip
SMALL_SIZES = {"wan2.1-1.3b": (256, 384, 9), "sd3-medium": (512, 512, 1)}


@dataclass(frozen=True)
class Subject:
    """A pipeline to time, described as the catalogue describes it, and the arguments of its call."""

    spec: ModelSpec
    pipe: Any
    call: dict[str, Any]
    batch: int  # samples of one forward pass: 2 where the pipeline puts both of guidance into one

    @property
    def passes(self) -> int:
        """Forward passes of one step, as the pipeline makes them."""
        return self.spec.family.passes(self.spec.defaults.guidance) // self.batch


def described(name: str, small: bool) -> ModelSpec:
    """A catalogue model at its published config and size, or at those of the form for a CPU."""
    spec = catalogue_model(name)
    if not small:
        return spec
    height, width, frames = SMALL_SIZES[name]
    own = replace(spec.defaults, height=height, width=width, frames=frames, steps=8, max_sequence_length=16)
    return replace(spec, defaults=own, transformer=_smaller(spec.transformer), vae=_smaller(spec.vae))


def subject(name: str, device: torch.device, small: bool) -> Subject:
    """Build a catalogue model with random weights: bfloat16 on a GPU, and `small` (float32) for the CPU form."""
    spec = described(name, small)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    torch.manual_seed(0)
    vae = _image_vae(spec.vae) if spec.vae["_class_name"] == "AutoencoderKL" else spec.vae
    networks = [_network(config, device, dtype) for config in (spec.transformer, vae)]
    scheduler = getattr(diffusers, spec.scheduler["_class_name"]).from_config(dict(spec.scheduler))
    build, call, batch = _BUILDERS[spec.pipeline]
    pipe = build(networks[0], networks[1], scheduler)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = scheduler_for(pipe, None, spec.defaults.shift)
    arguments = call(spec.transformer, spec.defaults, device, dtype)
    return Subject(spec, pipe, arguments | {"guidance_scale": spec.defaults.guidance}, batch)


def _smaller(config: Any) -> dict[str, Any]:
    return {**config, **SMALL.get(str(config["_class_name"]), {})}


def _image_vae(config: Any) -> dict[str, Any]:
    """The catalogue keeps of this autoencoder what sizes need; its blocks are all of the plain kind."""
    count = len(config["block_out_channels"])
    kinds = {"down_block_types": ["DownEncoderBlock2D"] * count, "up_block_types": ["UpDecoderBlock2D"] * count}
    return {"shift_factor": 0.0, "layers_per_block": 2, **kinds, **config}


def _network(config: Any, device: torch.device, dtype: torch.dtype) -> Any:
    cls = getattr(diffusers, config["_class_name"])
    with torch.device(device):
        network = cls.from_config({k: v for k, v in config.items() if not k.startswith("_")}).eval()
    exact = tuple(getattr(cls, "_keep_in_fp32_modules", None) or ())
    for name, parameter in network.named_parameters():  # as `from_pretrained` casts
        if not any(part in exact for part in name.split(".")):
            parameter.data = parameter.data.to(dtype)
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point() and not any(part in exact for part in name.split(".")):
            buffer.data = buffer.data.to(dtype)
    return network


def _wan(transformer: Any, vae: Any, scheduler: Any) -> Any:
    return WanPipeline(tokenizer=None, text_encoder=None, vae=vae, scheduler=scheduler, transformer=transformer)


def _sd3(transformer: Any, vae: Any, scheduler: Any) -> Any:
    left_out: dict[str, Any] = {f"{part}{n}": None for part in ("text_encoder", "tokenizer") for n in ("", "_2", "_3")}
    return StableDiffusion3Pipeline(transformer=transformer, scheduler=scheduler, vae=vae, **left_out)


def _wan_call(config: Any, own: Defaults, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    def text() -> Any:
        return torch.randn((1, own.max_sequence_length, config["text_dim"]), device=device, dtype=dtype)

    return {"prompt_embeds": text(), "negative_prompt_embeds": text(), "num_frames": own.frames}


def _sd3_call(config: Any, own: Defaults, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    def text() -> Any:  # CLIP's 77 tokens and T5's
        shape = (1, 77 + own.max_sequence_length, config["joint_attention_dim"])
        return torch.randn(shape, device=device, dtype=dtype)

    def pooled() -> Any:
        return torch.randn((1, config["pooled_projection_dim"]), device=device, dtype=dtype)

    return {
        "prompt_embeds": text(), "negative_prompt_embeds": text(), "pooled_prompt_embeds": pooled(),
        "negative_pooled_prompt_embeds": pooled(),
    }  # fmt: skip


_BUILDERS: dict[str, tuple[Callable[..., Any], Callable[..., Any], int]] = {
    "WanPipeline": (_wan, _wan_call, 1),
    "StableDiffusion3Pipeline": (_sd3, _sd3_call, 2),
}
