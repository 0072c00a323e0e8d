"""Number types: in which the networks of a pipeline are loaded, and in which they are."""

from __future__ import annotations

from typing import Any

import torch

from engine.models.catalogue import ModelSpec
from engine.models.denoisers import denoisers_of
from engine.models.load_options import LoadOptions, vae_dtype

AMPERE = (8, 0)  # the first compute capability that has bfloat16 in hardware


def dtype_of(options: LoadOptions, device: torch.device) -> torch.dtype:
    """The denoiser's: as asked; else float32 on the CPU, and on a card bfloat16, or float16 where it has none."""
    if options.dtype is not None:
        return _named(options.dtype)
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if has_bfloat16(device) else torch.float16


def dtypes_of(spec: ModelSpec, options: LoadOptions, device: torch.device) -> dict[str, torch.dtype]:
    """By component as `from_pretrained` takes it, with the `default` of those that are not named."""
    default = dtype_of(options, device)
    vae = vae_dtype(options, str(spec.vae.get("_class_name")), str(default).removeprefix("torch."))
    return {"default": default, "vae": _named(vae)}


def has_bfloat16(device: torch.device) -> bool:
    """Whether a card computes in bfloat16, and does not only stand in for it; AMD's do."""
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= AMPERE


def denoising_dtype(pipe: Any) -> torch.dtype:
    """The number type of the network that denoises; a pipeline's own is that of whichever network it names first."""
    network: Any = next(iter(denoisers_of(pipe).values()), pipe)
    dtype: torch.dtype = network.dtype
    return dtype


def told(pipe: Any, options: LoadOptions, device: torch.device) -> tuple[str, ...]:
    """What of the number types is to be known beside the denoiser's, one phrase each."""
    own, vae = denoising_dtype(pipe), getattr(getattr(pipe, "vae", None), "dtype", None)
    phrases = []
    if vae is not None and vae != own:
        phrases.append(f"VAE in {_name(vae)}")
    if device.type == "cuda" and not has_bfloat16(device):
        if options.dtype is None:
            phrases.append("float16, as this card has no bfloat16")
        elif own == torch.bfloat16:
            phrases.append("bfloat16, which this card only stands in for")
    return tuple(phrases)


def _named(name: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
