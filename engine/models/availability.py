"""Which models are here, on this disk or in the hub cache, and whether one fits the card. No torch here."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import psutil

from engine.errors import InvalidInput
from engine.models.catalogue import ModelSpec, catalogue
from engine.models.load_options import LoadOptions
from engine.models.memory_estimate import fits, needed, parts_of
from engine.wording import gb_text

Place = Literal["here", "cached", "incomplete", "to fetch"]
PLACES: Mapping[Place, str] = {
    "here": "here",
    "cached": "in the hub cache",
    "incomplete": "its weights are missing",
    "to fetch": "must be fetched",
}


@dataclass(frozen=True)
class Availability:
    """One model: where it is, bytes to fetch (half-precision weights; what is published may be larger), and whether it
    fits: `too_large` is one sentence, None where it fits or the card is not known."""

    spec: ModelSpec
    place: Place
    fetch_bytes: float | None
    peak_bytes: float | None
    too_large: str | None

    @property
    def told(self) -> str:
        """Where it is, in a few words."""
        size = f", about {gb_text(self.fetch_bytes, 0)}" if self.fetch_bytes else ""
        return PLACES[self.place] + size

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "place": self.place,
            "fetch_bytes": self.fetch_bytes,
            "peak_bytes": self.peak_bytes,
            "too_large": self.too_large,
        }


def availability(
    spec: ModelSpec, options: LoadOptions | None = None, card: float | None = None, host: float | None = None
) -> Availability:
    """Look at one model; nothing is fetched. `card` and `host` are bytes of the card's and the machine's own memory."""
    options, place = options or LoadOptions(), _place(spec)
    need = needed(spec, options)
    fetch = sum(part.parameters for part in parts_of(spec)) * 2 if place == "to fetch" else None
    return Availability(
        spec=spec,
        place=place,
        fetch_bytes=fetch or None,
        peak_bytes=need.peak if need else None,
        too_large=fits(spec, options, card, host) if card else None,
    )


def all_available(
    options: LoadOptions | None = None, card: float | None = None, host: float | None = None
) -> list[Availability]:
    """Every model of the catalogue, in its order."""
    return [availability(spec, options, card, host) for spec in catalogue().values()]


def studio_models() -> list[Availability]:
    """The same as the studio has it: with the operator's options, on this machine's card."""
    try:
        options = LoadOptions.from_environment()
    except InvalidInput:  # told where a model is loaded, and by `doctor`
        options = LoadOptions()
    return all_available(options, None if options.device == "cpu" else card_bytes(options.device), host_bytes())


def card_bytes(device: str | None = None) -> float | None:
    """Memory of a GPU, `cuda` or `cuda:N`, by the driver's own tool; None where there is none. Asked once a process.

    N counts what `CUDA_VISIBLE_DEVICES` leaves, in the driver's order (by bus).
    """
    number = int((device or "").partition(":")[2] or 0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _memory_of(str(number))
    names = [name.strip() for name in visible.split(",") if name.strip()]
    return _memory_of(names[number]) if number < len(names) else None


@cache
def _memory_of(card: str) -> float | None:
    """Of a card by its number or UUID."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "-i", card, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        done = subprocess.run(query, capture_output=True, text=True, timeout=20)
        return float(done.stdout.splitlines()[0]) * 2**20
    return None


def host_bytes() -> float:
    """The machine's own memory."""
    return float(psutil.virtual_memory().total)


def _place(spec: ModelSpec) -> Place:
    if spec.is_local:
        return "here" if _whole(Path(spec.location), spec) else "incomplete"
    index = _hub_cache() / f"models--{spec.location.replace('/', '--')}"
    folders = sorted((index / "snapshots").glob("*/model_index.json")) if index.is_dir() else []
    return "cached" if any(_whole(file.parent, spec) for file in folders) else "to fetch"


def _whole(folder: Path, spec: ModelSpec) -> bool:
    """Whether the index and weights of a denoiser and the autoencoder are there; loading looks closer."""
    if spec.levels:
        return (folder / "model.safetensors").is_file()
    parts = (*spec.family.denoisers[:1], "vae")
    return (folder / "model_index.json").is_file() and all(any(folder.glob(f"{part}/*.safetensors")) for part in parts)


def _hub_cache() -> Path:
    """Where huggingface_hub keeps models, without importing it: that takes longer than the page may."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
