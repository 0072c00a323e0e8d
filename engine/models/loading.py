"""Loading pipelines: real diffusers folders and hub ids, safetensors only, with errors that say what to do."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanPipeline

from engine.errors import InvalidInput, ModelNotFound
from engine.models.catalogue import ModelSpec, find_model
from engine.preview import LatentPreview, fit_preview

SOLVERS = {"unipc": UniPCMultistepScheduler, "euler": FlowMatchEulerDiscreteScheduler}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class LoadedModel:
    """A pipeline on its device, with what is fitted to it once."""

    def __init__(self, spec: ModelSpec, pipe: Any, device: torch.device) -> None:
        self.spec, self.pipe, self.device = spec, pipe, device

    @cached_property
    def preview(self) -> LatentPreview:
        return fit_preview(self.pipe.vae, self.spec.geometry.stride[1])


def load_model(name: str, *, device: str | None = None, dtype: str | None = None) -> LoadedModel:
    """Load a model of the catalogue or a diffusers folder; CUDA in bfloat16 where there is a GPU, else CPU float32.

    Raises ModelNotFound with what was tried, or InvalidInput for a device or dtype that does not exist here.
    """
    spec = find_model(name)
    target = _device(device)
    chosen = _dtype(dtype, target)
    offline = not spec.is_local and os.environ.get("HF_HUB_OFFLINE") == "1"
    quiet_libraries()
    try:
        pipe = WanPipeline.from_pretrained(
            spec.location, dtype=chosen, use_safetensors=True, local_files_only=spec.is_local or offline
        )
    except Exception as error:
        raise ModelNotFound(_why_not(spec, error)) from None
    pipe.set_progress_bar_config(disable=True)
    return LoadedModel(spec, pipe.to(target), target)


def quiet_libraries() -> None:
    """Loading bars of the libraries would tear the progress display."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def scheduler_for(pipe: Any, solver: str | None, shift: float) -> Any:
    """The pipeline's scheduler with a shift of its own, or another flow solver ("unipc", "euler") in its place."""
    config = dict(pipe.scheduler.config)
    cls: Any = type(pipe.scheduler) if solver is None else SOLVERS[solver]
    if cls is UniPCMultistepScheduler:
        flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
        return cls.from_config(config | flow | {"flow_shift": shift})
    return cls.from_config(config | {"shift": shift})


def solver_name(scheduler: Any) -> str:
    """The short name of a scheduler's solver, or its class where it has none."""
    return next((name for name, cls in SOLVERS.items() if isinstance(scheduler, cls)), type(scheduler).__name__)


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidInput("device", f"device is {name[:40]!r}; it must be cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise InvalidInput("device", f"device is {name[:40]!r}; it must be cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidInput("device", f"device is {name!r}, but {torch.cuda.device_count()} CUDA devices are here.")
    return device


def _dtype(name: str | None, device: torch.device) -> torch.dtype:
    if name is None:
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise InvalidInput("dtype", f"dtype is {name[:40]!r}; it must be one of {', '.join(DTYPES)}.")
    return DTYPES[name]


def _why_not(spec: ModelSpec, error: Exception) -> str:
    """One sentence in place of the libraries' many: what is missing, where it was looked for, what to do."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if not spec.is_local and os.environ.get("HF_HUB_OFFLINE") == "1":
        return (
            f"{spec.title} ({spec.location}) is not in the local hub cache, and nothing is fetched here; say "
            f"`hf download {spec.location}` once, give the path of a downloaded folder as --model, or start the studio "
            "with RESOLUTE_DOWNLOAD=1."
        )
    if not spec.is_local:
        return (
            f"{spec.title} ({spec.location}) is neither in the local hub cache nor could it be fetched; "
            f"connect once, or give the path of a downloaded folder as --model. ({type(error).__name__}: {first})"
        )
    weights = list(Path(spec.location).glob("*/*.safetensors"))
    if not weights:
        return f"{spec.location} holds no safetensors weights; download it again (pickled weights are not loaded)."
    return f"{spec.location} is incomplete or damaged; download it again. ({type(error).__name__}: {first})"
