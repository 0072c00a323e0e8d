"""The command line's flags for `LoadOptions`: one table, given to every command that loads a model."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from engine.cli.flag_groups import grouped
from engine.models.load_options import ATTENTION, QUANTISATIONS, LoadOptions

Offload = Annotated[str, typer.Option(help="none; model: one network on the card at a time; group: a few layers.")]
Tiling = Annotated[bool, typer.Option("--vae-tiling", help="Decode in tiles: a lower peak, maybe faint seams.")]
Quantise = Annotated[str | None, typer.Option(help=f"{', '.join(QUANTISATIONS)}: the denoiser's weights; an extra.")]
_FLAGS: dict[str, Any] = {  # by the field of LoadOptions
    "device": Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")],
    "dtype": Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; fp32, bf16 and fp16 for short.")],
    "vae_dtype": Annotated[
        str | None, typer.Option(help="The same for the autoencoder; float32 for Wan's, else the denoiser's.")
    ],
    "offload": Offload,
    "tiling": Tiling,
    "slicing": Annotated[bool, typer.Option("--vae-slicing", help="Decode the pictures of a batch one by one.")],
    "quantise": Quantise,
    "lora": Annotated[str | None, typer.Option(help="A .safetensors file with a LoRA; needs the extra peft.")],
    "lora_2": Annotated[str | None, typer.Option("--lora-2", help="That of the second expert (low noise).")],
    "lora_scale": Annotated[float, typer.Option(help="How strongly the LoRA acts.")],
    "attention": Annotated[
        str | None, typer.Option(help=f"{', '.join(ATTENTION)}; diffusers' own choice where left out.")
    ],
    "compile": Annotated[
        bool, typer.Option("--compile", help="Compile the denoiser's blocks: slow to start, then faster.")
    ],
}


# A typer command whose parameter `options` is a `LoadOptions`: the flags stand where it stood, and make it.
with_load_flags = grouped(
    "options",
    [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(LoadOptions(), name), annotation=kind)
        for name, kind in _FLAGS.items()
    ],
    LoadOptions.parse,
)
