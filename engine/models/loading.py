"""Loading pipelines of every covered class: folders and hub ids, safetensors only, with errors that say what to do."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Hashable
from functools import cached_property
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from engine.cuda_allocator import let_segments_grow
from engine.errors import InvalidInput, ModelNotFound, UnsupportedPipeline
from engine.measuring.device import free
from engine.models.acceleration import accelerate
from engine.models.catalogue import ModelSpec, find_model
from engine.models.fetching import INDEX, OnFetch, folder_of
from engine.models.hpdm_pipe import load_pipe
from engine.models.load_errors import load_problem
from engine.models.load_options import QUANTISATIONS, LoadOptions
from engine.models.lora import add_lora
from engine.models.precision import denoising_dtype, dtype_of, dtypes_of, told
from engine.models.preview import LatentPreview, preview_of
from engine.models.weight_files import variant_of
from engine.switching.noise_process import process_of
from engine.switching.scheduler_kinds import SCHEDULERS, config_of, kind_of, shift_in, shift_key

LIBRARIES = ("diffusers", "transformers", "stable_diffusion")  # of components; the last is a safety checker's
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}


class LoadedModel:
    """A pipeline on its device, with what is fitted to it once."""

    def __init__(self, spec: ModelSpec, pipe: Any, device: torch.device, options: LoadOptions | None = None) -> None:
        self.spec, self.pipe, self.device = spec, pipe, device
        self.options = options or LoadOptions()
        self.warm: set[Hashable] = set()  # what has run on it, in the words of `engine.comparing`
        self.compiled_for_all = not self.options.compile  # whether every size runs the code that it will always run

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the network that denoises."""
        return denoising_dtype(self.pipe)

    @cached_property
    def told(self) -> tuple[str, ...]:
        """What differs from plain loading, for reports: one phrase each."""
        return (*self.options.told(), *told(self.pipe, self.options, self.device))

    @cached_property
    def preview(self) -> LatentPreview:
        takes_turns = self.options.offload == "model"
        return preview_of(self.pipe.vae, self.spec.geometry, self.device, linear=takes_turns)


def load_model(
    name: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    options: LoadOptions | None = None,
    on_fetch: OnFetch | None = None,
) -> LoadedModel:
    """Load a model of the catalogue or a diffusers folder: on a GPU in half precision where there is one, else the CPU.

    `device` and `dtype` alone are a short form of `options`. Raises ModelNotFound with what was tried, InvalidInput
    for what does not exist here, RunFailed where memory runs out.
    """
    spec = find_model(name)
    options = options or LoadOptions.parse(device=device, dtype=dtype)
    target = _device(options)
    if target.type == "cuda" and not torch.cuda.is_initialized():
        let_segments_grow(os.environ)  # for who calls this from Python: the command line has done it
    _check_extras(options, target)
    if spec.levels:
        return LoadedModel(spec, load_pipe(spec, options, target), target, options)
    folder = folder_of(spec, on_fetch)
    quiet_libraries()
    if target.type == "cuda" and target.index is not None:
        torch.cuda.set_device(target)  # quantisers put weights on the current card, whatever is asked for later
    _check_folder(spec, folder)
    try:
        return LoadedModel(spec, _pipe(spec, folder, options, target), target, options)
    except Exception as error:
        problem = load_problem(error, folder, options, target)
    free(target)
    raise problem


def _pipe(spec: ModelSpec, folder: Path, options: LoadOptions, target: torch.device) -> Any:
    """The pipeline, placed and accelerated as asked. Raises what the libraries raise."""
    pipe = _class(spec).from_pretrained(
        folder,
        dtype=dtypes_of(spec, options, target),
        variant=variant_of(folder, (path.name for path in folder.iterdir() if path.is_dir())),
        use_safetensors=True,
        local_files_only=True,
        **_quantised(spec, folder, options, dtype_of(options, target)),
    )
    pipe.set_progress_bar_config(disable=True)
    add_lora(pipe, options)
    _lower_peaks(pipe, options)
    _place(pipe, options, target)
    accelerate(pipe, options.attention, options.compile)
    return pipe


def quiet_libraries() -> None:
    """Loading bars of the libraries would tear the progress display."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def scheduler_for(pipe: Any, solver: str | None, shift: float | None) -> Any:
    """The pipeline's scheduler with a shift of its own, or another solver of the same noise process in its place.

    `solver` and `shift` as `make_experiment` has checked them. A shift of None is the scheduler's own. Raises
    UnsupportedPipeline where the formulas of a switch do not describe the result.
    """
    own = pipe.scheduler
    config = config_of(own)
    cls: Any = type(own) if solver is None else getattr(diffusers, SCHEDULERS[kind_of(config)][solver])
    changes: dict[str, Any] = {} if cls is type(own) else _translated(config, cls)
    if shift is not None:
        changes |= {shift_key(cls.__name__): shift, "use_dynamic_shifting": False}
    scheduler = cls.from_config({key: value for key, value in (config | changes).items() if key != "_class_name"})
    process_of(scheduler)
    return scheduler


def _translated(config: dict[str, Any], cls: type) -> dict[str, Any]:
    """What a scheduler of another class must be told of this one."""
    if kind_of(config) == "diffusion":
        return {"clip_sample": False}
    if kind_of(config) == "cogvideox":
        return {}
    if cls.__name__.startswith("FlowMatch"):
        return {"shift": shift_in(config) or 1.0}
    return FLOW | {"flow_shift": shift_in(config) or 1.0, "algorithm_type": "dpmsolver++", "predict_x0": True}


def solver_name(scheduler: Any) -> str:
    """The short name of a scheduler's solver, or its class where it has none."""
    name = type(scheduler).__name__
    classes = SCHEDULERS[kind_of(config_of(scheduler))]
    return next((short for short, known in classes.items() if known == name), name)


def _class(spec: ModelSpec) -> Any:
    """The pipeline's class: a name of our own table, never one that a file holds."""
    found = getattr(diffusers, spec.family.pipeline, None)
    if found is None:
        raise UnsupportedPipeline(f"diffusers {diffusers.__version__} has no {spec.pipeline}; install a newer one.")
    return found


def _check_folder(spec: ModelSpec, folder: Path) -> None:
    """What the libraries would report in words that mislead: components that are missing, pickled or foreign."""
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
    except FileNotFoundError:
        raise ModelNotFound(f"{folder} has no {INDEX}; is it a whole diffusers folder?") from None
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"{folder / INDEX} cannot be read ({error}); download the model again.") from None
    for name, value in index.items():
        if not isinstance(value, list) or len(value) != 2 or not all(isinstance(word, str) for word in value):
            continue
        if value[0] not in LIBRARIES:
            raise ModelNotFound(
                f"{folder.name} wants {str(value[1])[:80]} of {str(value[0])[:80]}, which is no part of diffusers; "
                "models that bring code of their own are not loaded."
            )
        if (folder / name / "config.json").is_file() and not list((folder / name).glob("*.safetensors")):
            pickled = any(path.suffix in (".bin", ".pt", ".ckpt", ".pth") for path in (folder / name).iterdir())
            why = "only pickled weights, which are not loaded" if pickled else "no safetensors weights"
            raise ModelNotFound(f"{folder / name} holds {why}; download it again as safetensors.")
        if not (folder / name).is_dir():
            raise ModelNotFound(f"{folder} lacks its {name}; it is incomplete: download it again.")


def _check_extras(options: LoadOptions, target: torch.device) -> None:
    needed = []
    if options.quantise:
        needed.append(("quantise", QUANTISATIONS[options.quantise][0]))
    if options.lora:
        needed.append(("lora", "peft"))
    for field, package in needed:
        if importlib.util.find_spec(package) is None:
            raise InvalidInput(
                field, f"{field} needs the package {package}, which is not installed: pip install {package}."
            )
    if options.quantise and options.quantise.startswith("bnb") and target.type == "cpu":
        raise InvalidInput("quantise", f"{options.quantise} needs a GPU; use torchao-int8 on the CPU, or leave it out.")


def _quantised(spec: ModelSpec, folder: Path, options: LoadOptions, dtype: torch.dtype) -> dict[str, Any]:
    """Keyword arguments that quantise the denoiser while it is loaded."""
    if options.quantise is None:
        return {}
    denoisers = [name for name in spec.family.denoisers if (folder / name).is_dir()]
    from diffusers.quantizers.pipe_quant_config import PipelineQuantizationConfig

    if options.quantise == "torchao-int8":
        from diffusers import TorchAoConfig
        from torchao.quantization import Int8WeightOnlyConfig

        mapping: Any = {name: TorchAoConfig(Int8WeightOnlyConfig()) for name in denoisers}
        return {"quantization_config": PipelineQuantizationConfig(quant_mapping=mapping)}
    bits = options.quantise.removeprefix("bnb-")
    kwargs: dict[str, Any] = {f"load_in_{bits}": True}
    if bits == "4bit":
        kwargs |= {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
    return {
        "quantization_config": PipelineQuantizationConfig(
            quant_backend=f"bitsandbytes_{bits}",
            quant_kwargs=kwargs,
            components_to_quantize=denoisers,
        )
    }


def _lower_peaks(pipe: Any, options: LoadOptions) -> None:
    for name, wanted in (("tiling", options.tiling), ("slicing", options.slicing)):
        if not wanted:
            continue
        try:
            getattr(pipe.vae, f"enable_{name}")()
        except (AttributeError, NotImplementedError):
            raise InvalidInput(name, f"{type(pipe.vae).__name__} has no {name}; leave it out.") from None


def _place(pipe: Any, options: LoadOptions, target: torch.device) -> None:
    """Put the networks where they run from."""
    if options.offload == "none":
        pipe.to(target)
    elif target.type == "cpu":
        raise InvalidInput(
            "offload", "offload moves weights between a GPU and the CPU, and runs here use the CPU alone."
        )
    elif options.offload == "model":
        pipe.enable_model_cpu_offload(device=target)
    else:
        # The autoencoder stays: it is small, may decode in tiles, and nothing is fetched ahead for `decode`.
        pipe.enable_group_offload(
            onload_device=target, offload_type="leaf_level", use_stream=True, exclude_modules=["vae"]
        )


def _device(options: LoadOptions) -> torch.device:
    if options.device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(options.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidInput(
            "device", f"device is {options.device!r}, but {torch.cuda.device_count()} CUDA devices are here."
        )
    return device
