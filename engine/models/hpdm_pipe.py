"""A hierarchical patch model on its device, in the shape that everything which runs models expects."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from engine.errors import InvalidInput, ModelNotFound, RunFailed
from engine.hpdm.hpdm_model import Hpdm
from engine.hpdm.weights_folder import load_hpdm
from engine.measuring.device import out_of_memory
from engine.models.catalogue import ModelSpec
from engine.models.load_options import LoadOptions
from engine.wording import first_line


class HpdmPipe:
    """The network under the names that a pipeline has; it has no scheduler, text encoder or autoencoder."""

    def __init__(self, network: Hpdm) -> None:
        self.network = network

    @cached_property
    def dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    @cached_property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device


def load_pipe(spec: ModelSpec, options: LoadOptions, device: torch.device) -> HpdmPipe:
    """Load the network.

    Raises InvalidInput for an option that it does not take, ModelNotFound for damaged weights, and RunFailed where
    memory runs out.
    """
    _check(spec, options)
    try:
        return HpdmPipe(load_hpdm(Path(spec.location), device))
    except (InvalidInput, ModelNotFound):
        raise
    except Exception as error:
        if out_of_memory(error):
            told = (
                f"out of memory while loading {spec.title} onto {device}; close other programs, or use another device."
            )
            raise RunFailed(told) from None
        raise ModelNotFound(
            f"{spec.location} is incomplete or damaged; export it again. ({type(error).__name__}: {first_line(error)})"
        ) from None


def _check(spec: ModelSpec, options: LoadOptions) -> None:
    wrong: dict[str, Any] = {
        "dtype": options.dtype not in (None, "float32"), "offload": options.offload != "none",
        "tiling": options.tiling, "slicing": options.slicing, "quantise": options.quantise is not None,
        "lora": options.lora is not None, "attention": options.attention is not None, "compile": options.compile,
        "vae_dtype": options.vae_dtype is not None,
    }  # fmt: skip
    for name, given in wrong.items():
        if given:
            raise InvalidInput(name, f"{spec.title} runs in float32 and takes no {name}; leave it out.")
