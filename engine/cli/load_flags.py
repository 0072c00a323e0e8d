"""The command line's flags for `LoadOptions`: one table, given to every command that loads a model."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from engine.models.load_options import ATTENTION, QUANTISATIONS, LoadOptions

Offload = Annotated[str, typer.Option(help="none; model: one network on the card at a time; group: a few layers.")]
Tiling = Annotated[bool, typer.Option("--vae-tiling", help="Decode in tiles: a lower peak, maybe faint seams.")]
Quantise = Annotated[str | None, typer.Option(help=f"{', '.join(QUANTISATIONS)}: the denoiser's weights; an extra.")]
_FLAGS: dict[str, Any] = {  # by the field of LoadOptions
    "device": Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")],
    "dtype": Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; fp32, bf16 and fp16 for short.")],
    "offload": Offload,
    "tiling": Tiling,
    "slicing": Annotated[bool, typer.Option("--vae-slicing", help="Decode the pictures of a batch one by one.")],
    "quantise": Quantise,
    "lora": Annotated[str | None, typer.Option(help="A .safetensors file with a LoRA; needs the extra peft.")],
    "lora_scale": Annotated[float, typer.Option(help="How strongly the LoRA acts.")],
    "attention": Annotated[
        str | None, typer.Option(help=f"{', '.join(ATTENTION)}; diffusers' own choice where left out.")
    ],
    "compile": Annotated[
        bool, typer.Option("--compile", help="Compile the denoiser's blocks: slow to start, then faster.")
    ],
}


def with_load_flags(command: Callable[..., None]) -> Callable[..., None]:
    """A typer command whose parameter `options` is a `LoadOptions`: the flags stand where it stood, and make it."""
    own = inspect.signature(command, eval_str=True)
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(LoadOptions(), name), annotation=kind)
        for name, kind in _FLAGS.items()
    ]
    shown: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        shown += flags if parameter.name == "options" else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        options = LoadOptions.parse(**{name: values.pop(name) for name in _FLAGS})
        command(**values, options=options)

    run.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in shown} | {"return": None}
    return run
