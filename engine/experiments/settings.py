"""What a run is asked for, as it comes from outside, and the same once it is checked against a model.

Whoever takes values from people (command line, page, API, documents, links) makes a `Settings` of them and checks
nothing. `checked_settings` knows no tracks: steps of a track's own are checked by `enough_steps`, and a part of a
comparison that is to have guidance of its own is `checked_settings(spec, replace(asked, guidance=…))`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.checked import checked_integer, checked_number, is_integer
from engine.errors import InvalidInput
from engine.experiments.conditions import ROLES, Conditions, checked_conditions
from engine.experiments.lightx2v_config import RunSettings
from engine.hpdm.prompt_words import understand
from engine.models.catalogue import ModelSpec
from engine.models.solver_choice import checked_shift_use, checked_solver
from engine.schedules.latent_sizes import checked_size
from engine.schedules.schedule import checked_steps
from engine.texts import check_plain

MAX_PROMPT = 2000
MAX_SEED = 2**32 - 1  # what torch's generator on the CPU reads of a seed: larger ones only repeat its noise


@dataclass(frozen=True)
class Settings:
    """Values from outside, none of them checked. None is left to `config`, then to the model's own.

    Sizes in pixels. `image`, `last_image` and `video` are a `Picture` or `Clip`, or documents that name them.
    """

    prompt: object
    seed: object = 0
    negative_prompt: object = None
    steps: object = None
    height: object = None
    width: object = None
    frames: object = None
    guidance: object = None
    guidance_2: object = None  # of the second expert
    shift: object = None
    solver: object = None
    image: object = None
    last_image: object = None
    video: object = None
    config: RunSettings = field(default_factory=RunSettings)  # what a LightX2V config says of the run


@dataclass(frozen=True, kw_only=True)
class CheckedSettings:
    """Settings that a model can run. Make them by `checked_settings`. Sizes in pixels, `fps` is the model's."""

    prompt: str
    negative_prompt: str
    seed: int
    height: int
    width: int
    frames: int
    fps: int
    steps: int
    guidance: float
    guidance_2: float | None  # of the second expert; None for a model of one
    shift: float | None  # None: as the model's own scheduler has it, which may go by the size
    solver: str | None
    conditions: Conditions = field(default_factory=Conditions)


def folded_seed(seed: object) -> object:
    """The seed that gives the noise of an earlier document's, which went up to 2**53 - 1; any other as it is."""
    return seed % (MAX_SEED + 1) if is_integer(seed) and MAX_SEED < seed < 2**53 else seed


def checked_settings(spec: ModelSpec, asked: Settings) -> CheckedSettings:
    """What was asked for, checked against a model, with its own values where nothing was.

    A picture that the model needs may be missing: it is asked for when the experiment is run. Raises InvalidInput
    naming field, value and remedy.
    """
    height, width, frames = _size(spec, asked)
    if spec.levels and isinstance(asked.prompt, str):
        understand(asked.prompt, spec.levels.conditions)
    steps = enough_steps(spec, checked_steps(_first(asked.steps, spec.defaults.steps)))
    guidance, guidance_2 = _guidance(spec, asked)
    return CheckedSettings(
        prompt=checked_text("prompt", asked.prompt),
        negative_prompt=_negative(spec, asked),
        seed=checked_integer("seed", asked.seed, 0, MAX_SEED),
        height=height,
        width=width,
        frames=frames,
        fps=spec.defaults.fps,
        steps=steps,
        guidance=guidance,
        guidance_2=guidance_2,
        shift=_shift(spec, asked),
        solver=checked_solver(asked.solver, spec.pipeline, spec.scheduler),
        conditions=checked_conditions(spec, frames, **{role: getattr(asked, role) for role in ROLES}),
    )


def checked_text(field: str, value: object, limit: int = MAX_PROMPT, *, empty: bool = False, lines: bool = True) -> str:
    """Text of at most `limit` characters that may stand anywhere (`engine.texts`), blank only where `empty`.

    With `lines` it may hold line ends and tabs. Raises InvalidInput.
    """
    if not isinstance(value, str) or not (empty or value.strip()):
        raise InvalidInput(
            field, f"{field} is {'empty' if isinstance(value, str) else 'not text'}; write what to show."
        )
    if len(value) > limit:
        raise InvalidInput(field, f"{field} has {len(value):,} characters; at most {limit:,} are taken.")
    check_plain(field, value, lines=lines)
    return value


def _size(spec: ModelSpec, asked: Settings) -> tuple[int, int, int]:
    """Height, width and frames in pixels; a model by levels makes one size."""
    own, config = spec.defaults, asked.config
    size = checked_size(
        spec.geometry,
        _first(asked.height, config.height, own.height),
        _first(asked.width, config.width, own.width),
        _frames(spec, asked),
    )
    if spec.levels and size != (own.height, own.width, own.frames):
        raise InvalidInput(
            "height",
            f"{spec.title} makes {own.width}x{own.height} with {own.frames} frames and no other size; "
            "stop at a lower level for a smaller video.",
        )
    return size


def _frames(spec: ModelSpec, asked: Settings) -> object:
    """The number of frames; a still has one, whatever length a LightX2V config was made for."""
    if spec.family.output == "video":
        return _first(asked.frames, asked.config.frames, spec.defaults.frames)
    if asked.frames not in (None, 1):
        raise InvalidInput("frames", f"frames is {str(asked.frames)[:40]}; {spec.title} makes stills, which have 1.")
    return 1


def enough_steps(spec: ModelSpec, count: int, whose: str = "steps") -> int:
    """A number of steps that the model can make a table of; `whose` names them in the refusal. Raises InvalidInput."""
    if count < spec.family.least_steps:
        raise InvalidInput("steps", f"{whose} is {count}; {spec.title} needs at least {spec.family.least_steps}.")
    return count


def _guidance(spec: ModelSpec, asked: Settings) -> tuple[float, float | None]:
    """Guidance, and that of the second expert: None for a model of one, whatever a LightX2V config was made for.

    Pipelines go by the first alone whether they guide at all, so a second that is left out is off with it.
    """
    own, most, config = spec.defaults, spec.most_guidance, asked.config
    first = checked_number("guidance", _first(asked.guidance, config.guidance, own.guidance), 0.0, most)
    if not spec.two_experts:
        if asked.guidance_2 is None:
            return first, None
        raise InvalidInput(
            "guidance_2", f"guidance_2 is {str(asked.guidance_2)[:40]}; {spec.title} has one expert: leave it out."
        )
    off = first <= 1 and (asked.guidance is not None or config.guidance_2 is None)
    found = _first(asked.guidance_2, first if off else None, config.guidance_2, own.guidance_2)
    second = checked_number("guidance_2", found, 0.0, most)
    if first <= 1 < second:
        raise InvalidInput(
            "guidance_2",
            f"guidance_2 is {second:g} beside guidance {first:g}, which turns it off for both experts; "
            "set guidance_2 to 1, or guidance above 1.",
        )
    return first, second


def _shift(spec: ModelSpec, asked: Settings) -> float | None:
    """The flow's shift; None leaves the model's own scheduler as it is. A LightX2V config's is for flows alone."""
    if spec.levels:
        if asked.shift is not None:
            raise InvalidInput("shift", f"{spec.title} has noise levels of its own; leave shift out.")
        return None
    checked_shift_use(asked.shift, spec.title, spec.scheduler)
    flow = spec.process in ("flow", "inverted")
    value = _first(asked.shift, asked.config.shift if flow else None, spec.defaults.shift)
    return None if value is None else checked_number("shift", value, 0.01, 100.0)


def _negative(spec: ModelSpec, asked: Settings) -> str:
    text = checked_text("negative_prompt", _first(asked.negative_prompt, spec.defaults.negative_prompt), empty=True)
    if text.strip() and not spec.family.negative:
        raise InvalidInput("negative_prompt", f"{spec.title} takes no negative prompt; leave it empty.")
    return text


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
