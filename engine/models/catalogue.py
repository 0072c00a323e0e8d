"""The catalogue: which models there are, what they are made for, where they lie. No weights are touched here.

Published models are data, `published.toml`; a folder in diffusers' layout is described by its own configs.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import InvalidInput, ModelNotFound
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.sampling_request import MAX_GUIDANCE
from engine.models.families import FAMILIES, LEVELS, Family, family_of
from engine.models.geometry import geometry_of
from engine.models.solver_choice import solvers_for
from engine.schedules.latent_sizes import Geometry
from engine.strict_json import shown
from engine.switching.scheduler_kinds import UNIPC_FLOW, SolverKind, kind_of, shift_in

ROOT = Path(__file__).parent.parent.parent
SHIPPED = "emoji-wan"
SHIPPED_LEVELS = "emoji-hpdm"
PUBLISHED = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Defaults:
    """What a run uses where nothing else is asked for. Sizes in pixels; `native` sides below it are warned of.

    `shift` is None where the scheduler's own is used: it goes by the size, or there is none. `guidance_2` is the
    second expert's, which denoises at low noise; None for a model of one.
    """

    height: int
    width: int
    frames: int
    fps: int
    steps: int
    shift: float | None
    guidance: float
    guidance_2: float | None = None
    max_sequence_length: int = 512
    negative_prompt: str = ""


@dataclass(frozen=True)
class Part:
    """One network of a model: "denoiser", "vae" or "text" (whatever else is loaded), and its weights' number."""

    name: str
    kind: str
    parameters: float


@dataclass(frozen=True)
class ModelSpec:
    """One model: `location` is a folder or a hub id, `transformer` and `vae` its networks' configs.

    `parts` are known of published models; of a folder they are read from its weights when they are asked for.
    """

    id: str
    title: str
    location: str
    geometry: Geometry
    defaults: Defaults
    transformer: Mapping[str, Any] = field(repr=False)
    examples: tuple[str, ...] = ()
    pipeline: str = "WanPipeline"
    scheduler: Mapping[str, Any] = field(default_factory=lambda: dict(UNIPC_FLOW), repr=False)
    vae: Mapping[str, Any] = field(default_factory=dict, repr=False)
    parts: tuple[Part, ...] = field(default=(), repr=False)
    levels: HpdmConfig | None = field(default=None, repr=False)  # of a hierarchical patch model, which no other has

    @property
    def family(self) -> Family:
        return LEVELS if self.levels else family_of(self.pipeline)

    @property
    def most_guidance(self) -> float:
        """The largest guidance that it takes."""
        return MAX_GUIDANCE if self.levels else 100.0

    @property
    def two_experts(self) -> bool:
        """Whether it has one denoiser for high noise and another for low, each guided by a figure of its own."""
        return self.defaults.guidance_2 is not None

    @property
    def process(self) -> SolverKind:
        """The noise process that it was trained for."""
        return kind_of(self.scheduler)

    @property
    def solvers(self) -> tuple[str, ...]:
        """The solvers that it can be run with, beside its own."""
        return solvers_for(self.pipeline, self.scheduler)

    @property
    def is_local(self) -> bool:
        return Path(self.location).is_dir()


@cache
def catalogue() -> Mapping[str, ModelSpec]:
    """All models by id, the shipped one first; a damaged one is left out, and `find_model` says why."""
    shipped = []
    with contextlib.suppress(ModelNotFound):
        shipped.append(_shipped())
    with contextlib.suppress(ModelNotFound, InvalidInput):
        shipped.append(_shipped_levels())
    return {spec.id: spec for spec in (*shipped, *_published())}


@cache
def _published() -> tuple[ModelSpec, ...]:
    book = tomllib.loads(PUBLISHED.read_text("utf-8"))
    return tuple(_entry(id, one, book) for id, one in book["model"].items() if one["pipeline"] in FAMILIES)


def _entry(id: str, one: Mapping[str, Any], book: Mapping[str, Any]) -> ModelSpec:
    """A published model, from its entry and the networks that it names."""
    networks = [book["network"][name] for name in one["parts"] if name in book["network"]]
    vae = next(book["vae"][name] for name in one["parts"] if name in book["vae"])
    configs = [{"_class_name": part["class"], **part["config"]} for part in (networks[0], vae)]
    component = "unet" if networks[0]["class"].startswith("UNet") else "transformer"
    run = one["run"]
    scheduler = dict(book["scheduler"][one["scheduler"]])
    return ModelSpec(
        id=id,
        title=one["title"],
        location=one["hub"],
        geometry=geometry_of(one["pipeline"], {component: configs[0], "vae": configs[1]}),
        defaults=Defaults(
            height=run["size"][0],
            width=run["size"][1],
            frames=run.get("frames", 1),
            fps=run.get("fps", 1),
            steps=run["steps"],
            shift=run.get("shift"),
            guidance=run["guidance"],
            guidance_2=run.get("guidance_2"),
            max_sequence_length=run.get("text", 512),
        ),
        transformer=configs[0],
        pipeline=one["pipeline"],
        scheduler=scheduler,
        vae=configs[1],
        parts=tuple(_part(name, book) for name in one["parts"]),
    )


def _part(name: str, book: Mapping[str, Any]) -> Part:
    for table, kind in (("network", "denoiser"), ("vae", "vae")):
        if name in book[table]:
            return Part(name, kind, book[table][name]["parameters"] * 1e9)
    return Part(name, "text", book["text"][name] * 1e9)


def find_model(name: str) -> ModelSpec:
    """A model by its id, or a diffusers folder by its path. Raises ModelNotFound or InvalidInput."""
    if name in catalogue():
        return catalogue()[name]
    if name == SHIPPED:
        return _shipped()
    if name == SHIPPED_LEVELS:
        return _shipped_levels()
    if "\x00" not in name and len(name) < 1024 and Path(name).is_dir():
        return spec_of_folder(Path(name), Path(name).resolve().name, Path(name).resolve().name)
    raise ModelNotFound(f"model {name[:80]!r} is neither in the catalogue nor a folder here; {_like(name)}.")


def catalogue_model(name: str) -> ModelSpec:
    """A model of the catalogue by its id alone: what a link or a dropped file may name. Raises ModelNotFound.

    Unlike `find_model` it takes no path, so that a stranger's document cannot ask what lies on this disk.
    """
    if name in catalogue():
        return catalogue()[name]
    raise ModelNotFound(f"model {shown(name, 80)!r} is not in the catalogue; {_like(name)}.")


def _like(name: str) -> str:
    """What may have been meant, or where the names are."""
    close = difflib.get_close_matches(name[:80].lower(), catalogue(), 3, cutoff=0.5)
    return f"it has {', '.join(close)}" if close else "`python -m engine models` lists it"


def _shipped() -> ModelSpec:
    return spec_of_folder(ROOT / "weights" / SHIPPED, SHIPPED, "Emoji-Wan (shipped)")


def _shipped_levels() -> ModelSpec:
    return spec_of_folder(ROOT / "weights" / SHIPPED_LEVELS, SHIPPED_LEVELS, "Emoji-HPDM (shipped)")


def _levels_in(folder: Path) -> HpdmConfig | None:
    """The config of a hierarchical patch model, as `hpdm.weights_folder` writes it; None for any other folder."""
    if (folder / "model_index.json").is_file() or not (folder / "config.json").is_file():
        return None
    config = _config(folder / "config.json")
    if config.get("kind") != "hpdm" or not isinstance(config.get("model"), dict):
        return None
    return HpdmConfig.from_json(config["model"])


def _spec_of_levels(folder: Path, id: str, title: str, config: HpdmConfig) -> ModelSpec:
    """A hierarchical patch model: its cells are pixels, its size is its finest level's, and no other."""
    own = _config(folder / "resolute.json") if (folder / "resolute.json").is_file() else {}
    frames, height, width = config.size(config.levels - 1)
    steps = own.get("steps", [32 >> level or 1 for level in range(config.levels)])
    return ModelSpec(
        id=re.sub(r"[^\w.-]", "-", id, flags=re.ASCII),
        title=title,
        location=str(folder),
        geometry=Geometry((1, 1, 1), config.token, config.channels),
        defaults=Defaults(
            height=height,
            width=width,
            frames=frames,
            fps=own.get("fps", 8),
            steps=sum(steps) if isinstance(steps, list) else steps,
            shift=None,
            guidance=own.get("guidance", 1.0),
            max_sequence_length=1,
        ),
        transformer={"_class_name": "Hpdm"},
        examples=tuple(own.get("example_prompts", ())),
        pipeline="Hpdm",
        scheduler={"_class_name": "Hpdm"},
        levels=config,
    )


def spec_of_folder(folder: Path, id: str, title: str) -> ModelSpec:
    """Describe a diffusers folder by its configs; `resolute.json` beside them holds a model's own defaults.

    Raises InvalidInput with the reason for a pipeline that cannot follow a schedule, ModelNotFound for a broken folder.
    """
    if (levels := _levels_in(folder)) is not None:
        return _spec_of_levels(folder, id, title, levels)
    index = _config(folder / "model_index.json")
    pipeline = str(index.get("_class_name"))
    family = family_of(pipeline)
    configs = _configs(folder, index)
    denoiser = configs.get(next((name for name in family.denoisers if name in configs), ""))
    if denoiser is None or "vae" not in configs:
        raise ModelNotFound(f"{folder} has no {family.denoisers[0]} or no vae; download the model again.")
    scheduler = configs.get("scheduler", {})
    own = _config(folder / "resolute.json") if (folder / "resolute.json").is_file() else {}
    try:
        geometry = geometry_of(pipeline, configs)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelNotFound(f"{folder} has a config that cannot be read ({error!r}); download it again.") from None
    return ModelSpec(
        id=re.sub(r"[^\w.-]", "-", id, flags=re.ASCII),
        title=title,
        location=str(folder),
        geometry=geometry,
        defaults=_defaults(family, scheduler, {**_told_by(denoiser), **own}, _two_experts(family, index, configs)),
        transformer={key: value for key, value in denoiser.items() if key == "_class_name" or key[:1] != "_"},
        examples=tuple(own.get("example_prompts", ())),
        pipeline=pipeline,
        scheduler=scheduler,
        vae=configs["vae"],
    )


def _configs(folder: Path, index: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The configs of a folder's components, as far as they have one; `model_index.json` says which there are."""
    found = {}
    for name, value in index.items():
        if not isinstance(value, list) or len(value) != 2 or value[1] is None or not re.fullmatch(r"\w+", name):
            continue
        file = "scheduler_config.json" if name == "scheduler" else "config.json"
        if (folder / name / file).is_file() or name in ("transformer", "unet", "vae", "scheduler"):
            found[name] = {"_class_name": value[1], **_config(folder / name / file)}
    return found


def _two_experts(family: Family, index: Mapping[str, Any], configs: Mapping[str, Any]) -> bool:
    """Whether a folder's pipeline changes from one denoiser to another, at a level that `model_index.json` says."""
    both = len(family.denoisers) == 2 and all(name in configs for name in family.denoisers)
    return both and index.get("boundary_ratio") is not None


def _told_by(denoiser: Mapping[str, Any]) -> dict[str, Any]:
    """CogVideoX takes texts of one length alone, which its config tells."""
    length = denoiser.get("max_text_seq_length")
    return {"max_sequence_length": length} if length else {}


def _defaults(family: Family, scheduler: Mapping[str, Any], own: Mapping[str, Any], two_experts: bool) -> Defaults:
    """A folder's defaults: those of its `resolute.json`, else of a published model of its pipeline, else Wan's."""
    like = next((spec.defaults for spec in _published() if spec.pipeline == family.pipeline), None)
    still = family.output == "image"
    base = like or Defaults(480, 832, 81, 16, 50, None, 5.0)
    guidance = own.get("guidance", base.guidance)
    return Defaults(
        height=own.get("height", base.height),
        width=own.get("width", base.width),
        frames=1 if still else own.get("num_frames", base.frames),
        fps=own.get("fps", base.fps),
        steps=own.get("steps", base.steps),
        shift=own.get("shift", shift_in(scheduler)),
        guidance=guidance,
        guidance_2=own.get("guidance_2", guidance) if two_experts else None,
        max_sequence_length=own.get("max_sequence_length", base.max_sequence_length),
        negative_prompt=own.get("negative_prompt", "") if family.negative else "",
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
