"""The settings of an experiment as fields of the page: their ranges for a model, and reading them back."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from engine.experiments.conditions import ROLES, roles_of
from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.settings import MAX_PROMPT, Settings
from engine.models.availability import Availability, studio_models
from engine.models.catalogue import SHIPPED, ModelSpec, catalogue, catalogue_model
from engine.schedules.schedule import MAX_STEPS
from engine.wording import gb_text
from ui.picture.picture import PictureField
from ui.shared.changing_dropdown import Choice

OWN_SOLVER = "model's own"
DICE_SIDES = 1_000_000  # seeds that a person can say aloud


@dataclass(frozen=True)
class Form:
    """The components; their values come to handlers as one dictionary, never as a positional list."""

    model: gr.Dropdown
    prompt: gr.Textbox
    negative: gr.Textbox
    seed: gr.Number
    steps: gr.Number
    height: gr.Number
    width: gr.Number
    frames: gr.Number
    guidance: gr.Number
    guidance_2: gr.Number
    shift: gr.Number
    solver: gr.Dropdown
    image: PictureField
    last_image: PictureField
    video: PictureField

    @property
    def components(self) -> list[Any]:
        return [getattr(self, field.name) for field in fields(self)]

    def read(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        """The values of a handler's dictionary by field name."""
        return {field.name: values[getattr(self, field.name)] for field in fields(self)}


def model_choices() -> list[tuple[str, str]]:
    """Title and id of every model, those on this machine first; others say so, and which the card is too small for."""
    found = sorted(studio_models(), key=lambda one: one.place not in ("here", "cached"))
    return [(_label(one), one.spec.id) for one in found]


def _label(one: Availability) -> str:
    told = ["hierarchical patch diffusion"] if one.spec.levels else []
    told += [] if one.place == "here" else [one.told]
    if one.too_large and one.peak_bytes:
        told.append(f"needs about {gb_text(one.peak_bytes, 0)} of the card")
    return " · ".join([one.spec.title, *told])


def known_model(name: object) -> ModelSpec:
    """A model of the catalogue: what a browser says never names a folder."""
    return catalogue_model(name if isinstance(name, str) else str(name))


def default_model() -> ModelSpec:
    """The shipped model, or the first there is."""
    return catalogue().get(SHIPPED) or next(iter(catalogue().values()))


def experiment_of(values: Mapping[str, Any], tracks: list[Track]) -> Experiment:
    """The experiment that the fields describe. Raises InvalidInput naming the field."""
    spec = known_model(values["model"])
    return make_experiment(spec, tracks, _settings(values, spec))


def _settings(values: Mapping[str, Any], spec: ModelSpec) -> Settings:
    """What the fields ask for, unchecked."""
    return Settings(
        prompt=values["prompt"],
        negative_prompt=values["negative"],
        seed=whole(values["seed"]),
        steps=whole(values["steps"]),
        height=whole(values["height"]),
        width=whole(values["width"]),
        frames=whole(values["frames"]),
        guidance=values["guidance"],
        guidance_2=values["guidance_2"] if spec.two_experts else None,  # else the field is hidden
        shift=values["shift"],
        solver=None if values["solver"] in (None, OWN_SOLVER) else values["solver"],
        **{role: values[role] for role in ROLES},
    )


def whole(value: Any) -> Any:
    """A browser's 30.0 is the integer 30; anything else stays what it is, for the parser to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def roll() -> int:
    """A new seed."""
    return secrets.randbelow(DICE_SIDES)


def values_of(experiment: Experiment) -> dict[str, Any]:
    """What the fields show for an experiment, by field name."""
    return {
        "model": experiment.spec.id,
        "prompt": experiment.prompt,
        "negative": experiment.negative_prompt,
        "seed": experiment.seed,
        "steps": experiment.steps,
        "height": experiment.height,
        "width": experiment.width,
        "frames": experiment.frames,
        "guidance": experiment.guidance,
        "guidance_2": experiment.guidance_2,
        "shift": experiment.shift,
        "solver": experiment.solver or OWN_SOLVER,
        **dict.fromkeys(ROLES),
        **experiment.conditions.document(),
    }


def default_values(spec: ModelSpec) -> dict[str, Any]:
    """What a model's fields show where nothing else is asked for."""
    own = spec.defaults
    return {
        "model": spec.id,
        "prompt": (spec.examples or ("",))[0],
        "negative": own.negative_prompt,
        "seed": 1,
        "steps": own.steps,
        "height": own.height,
        "width": own.width,
        "frames": own.frames,
        "guidance": own.guidance,
        "guidance_2": own.guidance_2,
        "shift": own.shift,
        "solver": OWN_SOLVER,
        **dict.fromkeys(ROLES),
    }


def kept_pictures(values: Mapping[str, Any], spec: ModelSpec) -> dict[str, Any]:
    """The pictures of the fields that another model takes too."""
    return {role: values[role] for role in roles_of(spec)}


def ranges(spec: ModelSpec) -> dict[str, dict[str, Any]]:
    """Properties of the fields that depend on the model: what it can cut evenly, up to twice its own size."""
    own, geometry = spec.defaults, spec.geometry
    height, width = geometry.multiple
    stride, still = geometry.stride[0], spec.family.output == "image"
    if spec.levels:
        return _fixed(spec)
    length = {"step": stride, "info": "a still" if still else f"{stride}k + 1", "interactive": not still}
    flow = spec.process in ("flow", "inverted")
    shift = "of sigma; empty: its own" if spec.defaults.shift is None else "of sigma"
    free: dict[str, Any] = {"interactive": True}
    return {
        "height": free | {"minimum": 2 * height, "maximum": 2 * own.height, "step": height, "info": _multiples(height)},
        "width": free | {"minimum": 2 * width, "maximum": 2 * own.width, "step": width, "info": _multiples(width)},
        "frames": {"minimum": 1, "maximum": 1 if still else 2 * own.frames - 1, **length},
        "guidance_2": {"visible": spec.two_experts},
        "shift": {"info": shift if flow else "no flow, no shift", "interactive": flow},
        "solver": {"choices": [OWN_SOLVER, *spec.solvers]},
        "negative": {"interactive": spec.family.negative},
        **{role: _picture(spec, role) for role in ROLES},
    }


def _multiples(of: int) -> str:
    return f"multiples of {of}"


def _fixed(spec: ModelSpec) -> dict[str, dict[str, Any]]:
    """The same of a model by levels: one size, one length, no shift, no solver; lower levels are smaller videos."""
    free = {"minimum": None, "maximum": None, "step": 1}  # Gradio would judge what another field's event still sends
    only = {name: free | {"interactive": False, "info": "the finest level's"} for name in ("height", "width", "frames")}
    return only | {
        "guidance_2": {"visible": False},
        "shift": {"info": "no flow, no shift", "interactive": False},
        "solver": {"choices": [OWN_SOLVER]},
        "negative": {"interactive": False},
        **{role: _picture(spec, role) for role in ROLES},
    }


def _picture(spec: ModelSpec, role: str) -> dict[str, Any]:
    """A picture's or video's field: there where the model takes one, and named by what it does with it."""
    if role == "video":
        return {"visible": role in roles_of(spec), "label": "Control video (may be empty)", "film": True}
    what = "Last frame" if role == "last_image" else "First frame" if spec.family.output == "video" else "Picture"
    needed = role in spec.family.needs
    return {"visible": role in roles_of(spec), "label": what if needed else f"{what} (may be empty)"}


def build_form() -> Form:
    """Make the fields with the default model's values; the caller places them by `render()`."""
    spec = default_model()
    values, limits = default_values(spec), ranges(spec)
    number: dict[str, Any] = {"render": False, "min_width": 90}
    return Form(
        model=gr.Dropdown(
            model_choices(), value=values["model"], label="Model", elem_id="model", render=False, scale=2
        ),
        prompt=gr.Textbox(
            values["prompt"], label="Prompt", lines=2, max_lines=5, max_length=MAX_PROMPT, render=False,
            elem_id="prompt", autofocus=False, placeholder="What to show",
        ),
        negative=gr.Textbox(
            values["negative"], label="Negative prompt", lines=1, max_lines=4, max_length=MAX_PROMPT, render=False,
            placeholder="What not to show", **limits["negative"],
        ),
        seed=gr.Number(values["seed"], label="Seed", precision=0, minimum=0, elem_id="seed", **number),
        steps=gr.Number(
            values["steps"], label="Steps", precision=0, minimum=1, maximum=MAX_STEPS, elem_id="steps", **number
        ),
        height=gr.Number(values["height"], label="Height", precision=0, **number, **limits["height"]),
        width=gr.Number(values["width"], label="Width", precision=0, **number, **limits["width"]),
        frames=gr.Number(values["frames"], label="Frames", precision=0, **number, **limits["frames"]),
        guidance=gr.Number(
            values["guidance"], label="Guidance", minimum=0, maximum=100, step=0.5, info="1 turns it off", **number
        ),
        guidance_2=gr.Number(
            values["guidance_2"], label="Second guidance", minimum=0, maximum=100, step=0.5,
            info="of the low-noise expert", **number, **limits["guidance_2"],
        ),
        shift=gr.Number(
            values["shift"], label="Shift", minimum=0.01, maximum=100, step=0.5, **number, **limits["shift"]
        ),
        solver=Choice(value=OWN_SOLVER, label="Solver", info="of its noise process", **number, **limits["solver"]),
        image=PictureField(None, render=False, elem_id="image", **limits["image"]),
        last_image=PictureField(None, render=False, elem_id="last-image", **limits["last_image"]),
        video=PictureField(None, render=False, elem_id="control-video", **limits["video"]),
    )  # fmt: skip
