"""The catalogue: which models there are, what they are made for, where they lie. No weights are touched here."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import InvalidInput, ModelNotFound
from engine.models.families import Family, family_of
from engine.sizes import Geometry
from engine.strict_json import shown

ROOT = Path(__file__).parent.parent.parent
SHIPPED = "emoji-wan"
SUPPORTED_PIPELINES = ("WanPipeline",)


@dataclass(frozen=True)
class Defaults:
    """What a run uses where nothing else is asked for. Sizes in pixels; `native` sides below it are warned of."""

    height: int
    width: int
    frames: int
    fps: int
    steps: int
    shift: float
    guidance: float
    max_sequence_length: int = 512
    negative_prompt: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """One model: `location` is a folder or a hub id, `transformer` its transformer's config."""

    id: str
    title: str
    location: str
    geometry: Geometry
    defaults: Defaults
    transformer: Mapping[str, Any] = field(repr=False)
    examples: tuple[str, ...] = ()
    pipeline: str = "WanPipeline"

    @property
    def family(self) -> Family:
        return family_of(self.pipeline)

    @property
    def is_local(self) -> bool:
        return Path(self.location).is_dir()


WAN_GEOMETRY = Geometry(stride=(4, 8, 8), patch=(1, 2, 2), channels=16)
_WAN_TRANSFORMER = {
    "patch_size": [1, 2, 2],
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
}
# Published configs of Wan-AI on the hub (transformer/config.json, scheduler flow_shift, README's recommended settings).
_WAN = (
    ModelSpec(
        id="wan2.1-1.3b",
        title="Wan 2.1 T2V 1.3B",
        location="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        geometry=WAN_GEOMETRY,
        defaults=Defaults(480, 832, 81, 16, 50, shift=8.0, guidance=6.0),
        transformer=_WAN_TRANSFORMER | {"num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960},
    ),
    ModelSpec(
        id="wan2.1-14b",
        title="Wan 2.1 T2V 14B",
        location="Wan-AI/Wan2.1-T2V-14B-Diffusers",
        geometry=WAN_GEOMETRY,
        defaults=Defaults(720, 1280, 81, 16, 50, shift=5.0, guidance=5.0),
        transformer=_WAN_TRANSFORMER | {"num_attention_heads": 40, "num_layers": 40, "ffn_dim": 13824},
    ),
)


@cache
def catalogue() -> Mapping[str, ModelSpec]:
    """All models by id, the shipped one first; a damaged one is left out, and `find_model` says why."""
    shipped = []
    with contextlib.suppress(ModelNotFound):
        shipped.append(_shipped())
    return {spec.id: spec for spec in (*shipped, *_WAN)}


def find_model(name: str) -> ModelSpec:
    """A model by its id, or a diffusers folder by its path. Raises ModelNotFound or InvalidInput."""
    if name in catalogue():
        return catalogue()[name]
    if name == SHIPPED:
        return _shipped()
    if "\x00" not in name and len(name) < 1024 and Path(name).is_dir():
        return spec_of_folder(Path(name), Path(name).resolve().name, Path(name).resolve().name)
    raise ModelNotFound(
        f"model {name[:80]!r} is neither in the catalogue ({', '.join(catalogue())}) nor a folder here."
    )


def catalogue_model(name: str) -> ModelSpec:
    """A model of the catalogue by its id alone: what a link or a dropped file may name. Raises ModelNotFound.

    Unlike `find_model` it takes no path, so that a stranger's document cannot ask what lies on this disk.
    """
    if name in catalogue():
        return catalogue()[name]
    raise ModelNotFound(f"model {shown(name, 80)!r} is not in the catalogue ({', '.join(catalogue())}).")


def _shipped() -> ModelSpec:
    return spec_of_folder(ROOT / "weights" / SHIPPED, SHIPPED, "Emoji-Wan (shipped)")


def spec_of_folder(folder: Path, id: str, title: str) -> ModelSpec:
    """Describe a diffusers folder by its configs; `resolute.json` beside them holds a model's own defaults."""
    index = _config(folder / "model_index.json")
    if index.get("_class_name") not in SUPPORTED_PIPELINES:
        raise InvalidInput(
            "model",
            f"{folder.name} is a {index.get('_class_name')}; pipelines that can follow a schedule here are "
            f"{', '.join(SUPPORTED_PIPELINES)}.",
        )
    transformer, vae = _config(folder / "transformer/config.json"), _config(folder / "vae/config.json")
    scheduler = _config(folder / "scheduler/scheduler_config.json")
    stride = vae.get("scale_factor_temporal", 4), *[vae.get("scale_factor_spatial", 8)] * 2
    geometry = Geometry(stride, tuple(transformer["patch_size"]), transformer["in_channels"])
    own = _config(folder / "resolute.json") if (folder / "resolute.json").is_file() else {}
    defaults = Defaults(
        height=own.get("height", 480),
        width=own.get("width", 832),
        frames=own.get("num_frames", 81),
        fps=own.get("fps", 16),
        steps=own.get("steps", 50),
        shift=own.get("shift", scheduler.get("flow_shift") or scheduler.get("shift", 5.0)),
        guidance=own.get("guidance", 5.0),
        max_sequence_length=own.get("max_sequence_length", 512),
        negative_prompt=own.get("negative_prompt", ""),
    )
    return ModelSpec(
        id=re.sub(r"[^\w.-]", "-", id, flags=re.ASCII),
        title=title,
        location=str(folder),
        geometry=geometry,
        defaults=defaults,
        transformer={key: value for key, value in transformer.items() if not key.startswith("_")},
        examples=tuple(own.get("example_prompts", ())),
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelNotFound(f"{path.parent} has no {path.name}; is it a whole diffusers folder?") from None
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"{path} cannot be read ({error}); download the model again.") from None
    if not isinstance(value, dict):
        raise ModelNotFound(f"{path} does not hold a config; download the model again.")
    return value
