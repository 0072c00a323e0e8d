"""Why a model could not be loaded, in one sentence: memory, a package, the quantiser, the files, or something else."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from engine.errors import InvalidInput, ModelNotFound, ResoluteError, RunFailed
from engine.measuring.device import out_of_memory
from engine.models.load_options import LoadOptions
from engine.wording import first_line

log = logging.getLogger(__name__)
PACKAGES = {  # what pip calls a module or a library, where that is another name
    "google": "protobuf", "PIL": "pillow", "bs4": "beautifulsoup4", "Beautiful": "beautifulsoup4",
    "cv2": "opencv-python", "OpenCV": "opencv-python", "sklearn": "scikit-learn", "PyAv": "av",
    "Accelerate": "accelerate",
}  # fmt: skip
QUANTISERS = ("diffusers.quantizers", "transformers.quantizers", "torchao", "bitsandbytes")  # packages
NEEDED = (
    "transformer",
    "unet",
    "vae",
    "text_encoder",
    "tokenizer",
    "scheduler",
)  # components that no pipeline leaves out
_NAMED = (  # how the libraries name a package that they miss
    re.compile(r"pip install (?:-\S+ )*['\"]?([A-Za-z][\w-]+)"),
    re.compile(r"requires (?:the )?(?:🤗 )?([A-Za-z][\w-]+)"),
    re.compile(r"need to have ([A-Za-z][\w-]+)[^.]* installed"),
)


def load_problem(error: Exception, folder: Path, options: LoadOptions, target: torch.device) -> Exception:
    """The error that a person gets for one that loading ended with; it keeps no frame, and so no tensor, of the first.

    What nobody foresaw is ModelNotFound with the library's own first line, and where it happened goes to the log.
    """
    if isinstance(error, ResoluteError):
        return _bare(error)
    level = logging.INFO
    if out_of_memory(error):
        told: Exception = RunFailed(
            f"out of memory while loading {folder.name} onto {target}; {_smaller(options, target)}."
        )
    elif package := _package(error):
        told = InvalidInput(
            "model", f"{folder.name} needs the package {package}, which is not installed: pip install {package}."
        )
    elif fault := damage(folder):
        told = ModelNotFound(f"{folder} is incomplete or damaged; download it again. ({fault})")
    elif options.quantise and _in_quantiser(error):
        told = InvalidInput("quantise", f"{options.quantise} cannot be used here: {first_line(error)}")
    else:
        level = logging.WARNING
        told = ModelNotFound(
            f"{folder} cannot be loaded, though its files are whole. ({type(error).__name__}: {first_line(error)})"
        )
    place = f"It happened here:\n{traceback.format_exc()}"
    log.log(level, "%s was not loaded. %s", folder.name, place)  # as text: a record would keep the frames
    told.add_note(place)
    return _bare(told)


def _bare(error: Exception) -> Exception:
    """An error without the frames that it went through, and without those of others that it came from."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def damage(folder: Path) -> str | None:
    """What of a model's folder is absent or cut off, in a few words; None where all that it names is there, whole."""
    index = _json(folder / "model_index.json")
    if index is None:
        return "model_index.json cannot be read"
    for name, value in index.items():
        if name[:1] == "_" or not isinstance(value, list):
            continue
        if value[:2] == [None, None]:
            if name in NEEDED:
                return f"it has no {name}"
        elif fault := next(_faults(folder / name), None):
            return f"{name}: {fault}"
    return None


def _faults(part: Path) -> Iterator[str]:
    """What is wrong with a component's files."""
    if not part.is_dir() or not any(part.iterdir()):
        yield "no files"
        return
    for file in sorted(part.glob("*.json")):
        whole = _json(file)
        if whole is None:
            yield f"{file.name} cannot be read"
        elif file.name.endswith(".safetensors.index.json"):
            shards = sorted(set(whole.get("weight_map", {}).values()))
            yield from (f"{shard} is missing" for shard in shards if not (part / shard).is_file())
    yield from (f"{file.name} is cut off" for file in sorted(part.glob("*.safetensors")) if not whole_weights(file))


def whole_weights(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= size - 8:
                return False
            header = json.loads(opened.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def _json(file: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _package(error: BaseException) -> str | None:
    """The package that an error misses, by the name that pip knows; None where it is no such error."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        return PACKAGES.get(module, module)
    text = str(error)
    if isinstance(error, ImportError) or "installed to convert a slow tokenizer" in text:
        found = next((match for pattern in _NAMED if (match := pattern.search(text))), None)
        if found:
            return PACKAGES.get(found[1], found[1])
    return None


def _in_quantiser(error: BaseException) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(str(frame.f_globals.get("__name__", "")).startswith(QUANTISERS) for frame, _ in frames)


def _smaller(options: LoadOptions, target: torch.device) -> str:
    """What would need less memory than was asked for."""
    if target.type == "cpu":
        return "close other programs, or use a smaller model or a half-precision dtype"
    offload = {"none": "offload model, ", "model": "offload group, ", "group": ""}[options.offload]
    quantised = "" if options.quantise else "quantised weights, "
    others = f"{offload}{quantised}"
    return f"use {others}or a smaller model" if others else "use a smaller model"
