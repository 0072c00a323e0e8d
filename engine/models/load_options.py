"""How weights are loaded and kept: number type, offload, tiling, quantisation, LoRA. One frozen value. No torch here.

It comes from the operator alone: flags of the command line, or the environment of the studio (RESOLUTE_DTYPE, …).
Nothing here can be asked for by a browser, a link or a dropped file.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.checked import checked_number
from engine.errors import InvalidInput

PREFIX = "RESOLUTE_"
DTYPES = ("bfloat16", "float16", "float32")
SHORT_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
OFFLOADS = ("none", "model", "group")
QUANTISATIONS: Mapping[str, tuple[str, float]] = {  # package, and bytes that a weight takes
    "bnb-8bit": ("bitsandbytes", 1.0),
    "bnb-4bit": ("bitsandbytes", 0.56),
    "torchao-int8": ("torchao", 1.0),
}
# Of diffusers' attention dispatcher, without those that fetch kernels from the hub.
ATTENTION = (
    "native", "_native_flash", "_native_efficient", "_native_cudnn", "_native_math", "flash", "_flash_3", "sage",
    "xformers",
)  # fmt: skip
FLOAT32_VAES = ("AutoencoderKLWan",)  # published to be run in float32, whatever their denoiser runs in
SWITCHES = ("tiling", "slicing", "compile")  # options that are on or off
DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?")


@dataclass(frozen=True)
class LoadOptions:
    """`None` is the machine's own: CUDA in bfloat16 where there is a GPU, else the CPU in float32.

    `offload`: "model" keeps one network at a time on the card, "group" a few of its layers. `tiling` and `slicing`
    are the autoencoder's: they lower the peak of decoding, as does a `vae_dtype` of half precision; None is what it was
    published for (`vae_dtype()`). `quantise`: the denoiser's weights. `lora`: a file, `lora_2` the second expert's.
    `attention` is one of ATTENTION; `compile` compiles the denoiser's blocks, which takes a minute or two at first.
    """

    device: str | None = None
    dtype: str | None = None
    vae_dtype: str | None = None
    offload: str = "none"
    tiling: bool = False
    slicing: bool = False
    quantise: str | None = None
    lora: str | None = None
    lora_2: str | None = None
    lora_scale: float = 1.0
    attention: str | None = None
    compile: bool = False

    @classmethod
    def parse(cls, **values: Any) -> LoadOptions:
        """Check what came from outside. Raises InvalidInput naming the option and the remedy."""
        dtypes = {name: SHORT_DTYPES.get(str(values.get(name)), values.get(name)) for name in ("dtype", "vae_dtype")}
        for name, dtype in dtypes.items():
            _one_of(name, dtype, DTYPES, optional=True)
        _one_of("offload", values.get("offload", "none"), OFFLOADS)
        _one_of("quantise", values.get("quantise"), tuple(QUANTISATIONS), optional=True)
        _one_of("attention", values.get("attention"), ATTENTION, optional=True)
        device = values.get("device")
        if device is not None and not (isinstance(device, str) and DEVICE.fullmatch(device)):
            raise InvalidInput("device", f"device is {str(device)[:40]!r}; it must be cpu, cuda or cuda:N.")
        loras = {name: _lora_file(name, values.get(name)) for name in ("lora", "lora_2")}
        if loras["lora_2"] and not loras["lora"]:
            raise InvalidInput("lora_2", "lora_2 is the second expert's; give the first's as lora too.")
        scale = checked_number("lora_scale", values.get("lora_scale", 1.0), -10, 10)
        if values.get("offload") == "group":
            _check_group(values.get("quantise"), loras["lora"])
        return cls(**values | dtypes | loras | {"lora_scale": scale})

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> LoadOptions:
        """The studio's: RESOLUTE_DEVICE, _DTYPE, _OFFLOAD, _TILING, _SLICING, _QUANTISE, _LORA, _LORA_SCALE, …

        The name of every option.
        """
        values: dict[str, Any] = {}
        for one in fields(cls):
            key = f"{PREFIX}{one.name.upper()}"
            if text := environ.get(key, ""):
                values[one.name] = _read(key, text, one.name)
        return cls.parse(**values)

    def told(self) -> tuple[str, ...]:
        """What differs from plain loading, for reports: one phrase each. A LoRA's folder is not told."""
        files = (("LoRA", self.lora), ("second LoRA", self.lora_2))
        loras = (f"{what} {Path(file).name} ({_digest(file)}) x {self.lora_scale:g}" for what, file in files if file)
        phrases = (
            f"{self.offload} offload" if self.offload != "none" else None,
            "VAE tiling" if self.tiling else None,
            "VAE slicing" if self.slicing else None,
            f"{self.quantise} weights" if self.quantise else None,
            f"{self.attention} attention" if self.attention else None,
            "compiled blocks" if self.compile else None,
            *loras,
        )
        return tuple(phrase for phrase in phrases if phrase)


def vae_dtype(options: LoadOptions, vae: str, dtype: str) -> str:
    """The number type of an autoencoder of a class, beside a denoiser in `dtype`."""
    return options.vae_dtype or ("float32" if vae in FLOAT32_VAES else dtype)


def _read(key: str, text: str, name: str) -> Any:
    if name in SWITCHES:
        if text not in ("0", "1"):
            raise InvalidInput(key, f"{key} is {text[:40]!r}; it must be 0 or 1.")
        return text == "1"
    if name == "lora_scale":
        try:
            return float(text)
        except ValueError:
            raise InvalidInput(key, f"{key} is {text[:40]!r}; it must be a number.") from None
    return text


def _check_group(quantise: str | None, lora: object) -> None:
    """Group offload moves the weights of single layers, which not every kind of weights was made for."""
    if quantise and quantise.startswith("bnb"):
        raise InvalidInput(
            "offload",
            f"offload is 'group' and quantise {quantise!r}: nobody has checked that bitsandbytes' weights can move "
            "layer by layer; use model offload, or torchao-int8 weights.",
        )
    if quantise and lora:
        raise InvalidInput(
            "offload",
            f"offload is 'group' with a LoRA beside {quantise} weights: nobody has checked that its adapters can move "
            "layer by layer; use model offload, or leave quantise out, and the LoRA is put into the weights.",
        )


def _one_of(name: str, value: object, choices: tuple[str, ...], optional: bool = False) -> None:
    if (value is None and optional) or (isinstance(value, str) and value in choices):
        return
    raise InvalidInput(name, f"{name} is {str(value)[:40]!r}; it must be one of {', '.join(choices)}.")


def _lora_file(name: str, value: object) -> str | None:
    if value is None:
        return None
    path = Path(str(value))
    if path.suffix != ".safetensors" or not path.is_file():
        raise InvalidInput(name, f"{name} is {str(value)[:200]!r}; it must be the path of a .safetensors file here.")
    return str(path.resolve())


@lru_cache(maxsize=8)
def _digest(path: str) -> str:
    """The first digits of a file's SHA-256: another file of the same name is another environment."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
