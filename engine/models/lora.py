"""A LoRA in a pipeline's weights: of one denoiser, or of both experts, from a file each or from one that has both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import InvalidInput
from engine.measuring.device import out_of_memory
from engine.models.denoisers import denoisers_of
from engine.models.load_options import LoadOptions
from engine.wording import first_line

FIRST, SECOND = "transformer", "transformer_2"  # the experts for high and for low noise, as components
ADAPTER = "lora"


def add_lora(pipe: Any, options: LoadOptions) -> None:
    """Put a LoRA into the weights, so that nothing of it is left to compute at every step.

    Quantised weights keep it beside them. Of two experts both get their own. Raises InvalidInput for a file that is
    no LoRA of this pipeline, and where one of two experts would be left without.
    """
    if options.lora is None:
        return
    file = Path(options.lora)
    if not hasattr(pipe, "load_lora_weights"):
        raise InvalidInput("lora", f"{type(pipe).__name__} takes no LoRA; leave it out.")
    two = SECOND in denoisers_of(pipe)
    if options.lora_2 is not None and not two:
        raise InvalidInput("lora_2", f"lora_2 is given, and this {type(pipe).__name__} has one expert; leave it out.")
    try:
        if options.lora_2 is not None:
            _load(pipe, file)
            file = Path(options.lora_2)
            _load(pipe, file, load_into_transformer_2=True)
        elif _parts(file) == {FIRST, SECOND} and two:
            _load_both(pipe, file)
        else:
            _check_one(file, two)
            _load(pipe, file)
        _settle(pipe, options, two)
    except InvalidInput:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise InvalidInput("lora", f"{file.name} is no LoRA for {type(pipe).__name__} ({first_line(error)}).") from None


def _check_one(file: Path, two: bool) -> None:
    """Refuse a file of one expert for a model of two, and of two for a model of one."""
    if two:
        raise InvalidInput(
            "lora", f"{file.name} is for one expert, and this model has two; give the second's file as lora_2 too."
        )
    if SECOND in _parts(file):
        raise InvalidInput("lora", f"{file.name} is for two experts, and this model has one; use another LoRA.")


def _parts(file: Path) -> set[str]:
    """Which experts a file names; none where its names are not diffusers' own."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return {key.partition(".")[0] for key in opened.keys()} & {FIRST, SECOND}  # noqa: SIM118


def _load(pipe: Any, file: Path, **more: Any) -> None:
    pipe.load_lora_weights(file.parent, weight_name=file.name, local_files_only=True, adapter_name=ADAPTER, **more)


def _load_both(pipe: Any, file: Path) -> None:
    """Each expert's part of one file into that expert."""
    weights, metadata = pipe.lora_state_dict(
        file.parent, weight_name=file.name, local_files_only=True, return_lora_metadata=True
    )
    for name in (FIRST, SECOND):
        pipe.load_lora_into_transformer(
            _of(name, weights),
            transformer=getattr(pipe, name),
            adapter_name=ADAPTER,
            metadata=_of(name, metadata) if metadata else None,
            _pipeline=pipe,
        )


def _of(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """What of a file is one expert's, by the names that diffusers gives the first."""
    return {f"{FIRST}.{key.partition('.')[2]}": value for key, value in values.items() if key.startswith(f"{name}.")}


def _settle(pipe: Any, options: LoadOptions, two: bool) -> None:
    """As strongly as asked: into the weights, or beside them where they are quantised."""
    if options.quantise is None:
        pipe.fuse_lora(lora_scale=options.lora_scale, **({"components": [FIRST, SECOND]} if two else {}))
        pipe.unload_lora_weights()
    else:
        pipe.set_adapters([ADAPTER], options.lora_scale)
