"""Which files of a component are its weights, where a repository has them in several variants. No torch here.

A variant stands in the name: `model.fp16.safetensors`, `diffusion_pytorch_model.fp16-00001-of-00002.safetensors`. Files
without one are what is meant; a variant is taken only where there is nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(
    r"[\w-]+?(?:-\d{5}-of-\d{5})?(?:\.(?P<variant>[A-Za-z]\w*))?(?:-\d{5}-of-\d{5})?\.safetensors(?:\.index\.json)?"
)
TWINS = ("fp16", "bf16")  # variants that are the same weights in half precision, the first of them first


def variant_in(name: str) -> str | None:
    """The variant that a file's name says; None for plain weights, and for what is no name of weights."""
    found = _NAME.fullmatch(name)
    return found["variant"] if found else None


def only_variant(names: Iterable[str]) -> str | None:
    """The variant that a component's weights are to be read as; None where there are plain ones, or none at all."""
    variants = {variant_in(name) for name in names if name.endswith(".safetensors")}
    if None in variants:
        return None
    return next((one for one in TWINS if one in variants), None)


def variant_of(folder: Path, components: Iterable[str]) -> str | None:
    """The variant that some component of a model's folder has alone; None where all have plain weights."""
    found = (only_variant(file.name for file in (folder / name).glob("*.safetensors")) for name in components)
    return next(filter(None, found), None)


def weights_in(component: Path) -> list[Path]:
    """The weights that are loaded from a component's folder: of one variant."""
    files = sorted(component.glob("*.safetensors"))
    variant = only_variant(file.name for file in files)
    return [file for file in files if variant_in(file.name) == variant]
