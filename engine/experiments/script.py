"""A track as a Python script that anyone can run: plain diffusers where that is a page long, else with this engine.

Self-contained are `coherent`, `spectral`, `lightx2v` and `jenga`; a script for another policy imports Resolute, and
says so in its first lines. Texts from people stand in a script only as `repr`, so they can be nothing but texts.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, fill
from typing import Any

from engine.experiments.experiment import SECOND, Experiment, Track
from engine.hpdm.level_choice import level_steps
from engine.models.catalogue import ROOT

TESTED_WITH = "diffusers 0.42"
_TEMPLATES = Path(__file__).with_name("templates")

_FIELD = '''
    def dct(n):
        """The orthonormal DCT-II matrix (n, n): row k is the k-th cosine."""
        k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None, :]
        basis = torch.cos(math.pi * (i + 0.5) * k / n) * math.sqrt(2 / n)
        basis[0] /= math.sqrt(2)
        return basis.float().to(pipe.device)


    def dct2(x):
        return dct(x.shape[-2]) @ x @ dct(x.shape[-1]).T


    def idct2(x):
        return dct(x.shape[-2]).T @ x @ dct(x.shape[-1])


    def graft(low, onto):
        """`onto` with its low block replaced by that of `low`."""
        h, w = (min(a, b) for a, b in zip(low.shape[-2:], onto.shape[-2:], strict=True))
        onto = onto.clone()
        onto[..., :h, :w] = low[..., :h, :w]
        return onto


    field = draw(sizes[-1])  # the full-size run's own noise: every stage sees a crop of its spectrum
    coefficients = dct2(field)


    def start(size):
        return field if size == sizes[-1] else idct2(coefficients[..., : size[0], : size[1]])
'''
_FRESH = """
    def start(size):
        return draw(size)
"""
_SWITCHES = {
    "coherent": _FIELD
    + '''

    def switch(x, velocity, stepped, old, new, step, size):
        """Resized x0, the predicted noise in the low band, the field's above it, at exactly the next level."""
        sigma, told = old[step - 1], new[step]
        if x.shape[-2:] == size:
            return x + (told - sigma) * velocity
        x0, eps = x - sigma * velocity, x + (1 - sigma) * velocity
        if size[0] * size[1] >= x.shape[-2] * x.shape[-1]:
            x0 = F.interpolate(x0, size=(x.shape[-3], *size), mode="trilinear")
        else:
            gain = math.sqrt(size[0] * size[1] / (x.shape[-2] * x.shape[-1]))
            x0 = gain * idct2(graft(dct2(x0), x.new_zeros((*x.shape[:-2], *size))))
        noise = idct2(graft(dct2(eps), coefficients[..., : size[0], : size[1]]))
        return (1 - told) * x0 + told * noise
    ''',
    "spectral": _FIELD
    + '''

    def switch(x, velocity, stepped, old, new, step, size):
        """The noisy state's coefficients, the field's band around them at the same level, and a gain."""
        q = math.sqrt(size[0] * size[1] / (x.shape[-2] * x.shape[-1]))
        band = old[step] * coefficients[..., : size[0], : size[1]]
        return q / (1 + (q - 1) * old[step]) * idct2(graft(dct2(stepped), band))
    ''',
    "lightx2v": _FRESH
    + '''

    def switch(x, velocity, stepped, old, new, step, size):
        """Trilinear x0, fresh noise at the level just left: the step is taken no further."""
        x0 = F.interpolate(x - old[step - 1] * velocity, size=(x.shape[-3], *size), mode="trilinear")
        return (1 - old[step - 1]) * x0 + old[step - 1] * draw(size)
    ''',
    "jenga": _FRESH
    + '''

    def switch(x, velocity, stepped, old, new, step, size):
        """x0 read with the new table's level of the old step, trilinear, fresh noise at the next level."""
        x0 = F.interpolate(x - new[step - 1] * velocity, size=(x.shape[-3], *size), mode="trilinear")
        return (1 - new[step]) * x0 + new[step] * draw(size)
    ''',
}
SELF_CONTAINED = tuple(_SWITCHES)
_CACHE = ("calibration import Calibration", "choice import parse_cache")
_SOLVERS = {
    "unipc": "UniPCMultistepScheduler",
    "euler": "FlowMatchEulerDiscreteScheduler",
    None: "type(pipe.scheduler)",
}


def diffusers_snippet(experiment: Experiment, track: Track) -> str:
    """One track of an experiment as the text of a runnable Python script; it leaves `frames` and writes an mp4.

    The script takes the model's folder or hub id as its argument; left out, it is the experiment's model. The track's
    schedule must fit the experiment's size, as `make_experiment` has checked.
    """
    if track.levels:
        return _by_levels(experiment, track)
    plain = track.policy.name in SELF_CONTAINED and experiment.spec.pipeline == "WanPipeline"
    own = experiment.solver in _SOLVERS and experiment.shift is not None and track.cache is None
    return (_with_diffusers if plain and own else _with_engine)(experiment, track)


def _with_diffusers(experiment: Experiment, track: Track) -> str:
    used = "math, sys" if track.policy.field_first else "sys"
    imports = [
        *(f"import {name}" for name in used.split(", ")),
        "",
        "import torch",
        *([] if track.policy.name == "spectral" else ["import torch.nn.functional as F"]),
        f"from diffusers import {_imported(experiment)}WanPipeline",
        "from diffusers.utils import export_to_video",
    ]
    stages = [
        "# first and last step, height and width in pixels, what the shift is multiplied by",
        "STAGES = [",
        *(f"    {plan!r}," for plan in _stages(experiment, track)),
        "]",
    ]
    body = (_TEMPLATES / "script_diffusers.txt").read_text("utf-8")
    body = body.replace("@SOLVER@", _SOLVERS[experiment.solver])
    body = body.replace("@SECOND@", "" if experiment.guidance_2 is None else f"{SECOND}=GUIDANCE_2, ")
    body = body.replace("@SWITCH@", dedent(_SWITCHES[track.policy.name]).strip())
    needs = f"Needs torch, {TESTED_WITH} or newer, transformers, ftfy and imageio[ffmpeg]; nothing of Resolute."
    return _script(track, needs, imports, [*_settings(experiment, track), *stages], body)


def _by_levels(experiment: Experiment, track: Track) -> str:
    """A track of a hierarchical patch model: no pipeline of diffusers runs it."""
    levels = track.levels
    assert levels is not None
    imports = [
        "import sys",
        "from pathlib import Path",
        "",
        "from engine.hpdm.sampling_request import make_request",
        "from engine.hpdm.pyramid_run import frames, run_hpdm",
        "from engine.hpdm.weights_folder import load_hpdm",
        "from engine.measuring.video import write_mp4",
    ]
    settings = [
        f"MODEL = sys.argv[1] if len(sys.argv) > 1 else {_location(experiment)!r}",
        *_assigned(
            {
                "PROMPT": experiment.prompt,
                "SEED": experiment.seed,
                "LEVELS": levels.levels,
                "STEPS": level_steps(track.schedule),
                "OVERLAP": levels.overlap,
                "CACHE": levels.context,
                "HEUN": levels.heun,
                "GUIDANCE": experiment.guidance,
                "FRAMES": experiment.frames,
                "FPS": experiment.fps,
                "FILE": f"{track.slug}-level-{{}}.mp4",
            }
        ),
    ]
    head = [
        '"""A hierarchical patch model, level by level, made by Resolute.',
        "",
        f"Track: {levels.told}.",
        "No pipeline of diffusers runs such a model: this needs Resolute; run it in Resolute's folder.",
        "",
        "    python THIS_FILE.py [model folder]",
        '"""',
    ]
    body = (_TEMPLATES / "script_levels.txt").read_text("utf-8")
    return "\n".join([*head, "", *imports, "", *settings, "", body.rstrip(), ""])


def _imported(experiment: Experiment) -> str:
    names = ["UniPCMultistepScheduler"]
    if experiment.solver == "euler":
        names.insert(0, "FlowMatchEulerDiscreteScheduler")
    return "".join(f"{name}, " for name in names)


def _with_engine(experiment: Experiment, track: Track) -> str:
    imports = [
        "import sys",
        "",
        "from engine.models.loading import load_model, scheduler_for",
        "from engine.switching.policies import policy_named",
        "from engine.schedules.schedule import parse_schedule",
        "from engine.schedules.latent_sizes import full_size, stage_sizes",
        "from engine.sampling.run_request import StagedRequest",
        "from engine.sampling.pipeline_run import run_staged",
        "from engine.measuring.video import write_mp4",
    ]
    more: dict[str, Any] = {
        "HEIGHT": experiment.height,
        "WIDTH": experiment.width,
        "SOLVER": experiment.solver,
        "POLICY": track.policy.name,
        "RATES": list(track.schedule.rates),
        "SWITCHES": list(track.schedule.switch_steps),
    }
    caching = ""
    if track.cache:  # a cache is not a page of code either
        imports[2:2] = ["from dataclasses import replace", "", *(f"from engine.caches.{part}" for part in _CACHE)]
        more["CACHE"] = track.cache.document()
        caching = "cache = Calibration(model.spec, HEIGHT).complete(parse_cache(CACHE), request)\n"
        caching += "request = replace(request, cache=cache)\n"
    if any(experiment.conditions.given()):
        roles = [role for role, _ in experiment.conditions.given()]
        imports[2:2] = ["from engine.experiments.control_video import cut_clip"] if "video" in roles else []
        imports[2:2] = ["from engine.experiments.conditions import cut_file"] if set(roles) - {"video"} else []
        more |= {role.upper(): picture.file for role, picture in experiment.conditions.given()}
    settings = [*_settings(experiment, track), *_assigned(more)]
    what = f"cache {track.cache.name}" if track.cache else f"policy {track.policy.name}"
    needs = f"The {what} is not a page of code: this needs Resolute; run it in Resolute's folder."
    body = (_TEMPLATES / "script_engine.txt").read_text("utf-8").replace("@CALL@", _call(experiment))
    body = body.replace("@CACHE@", caching)
    return _script(track, needs, imports, settings, body)


def _call(experiment: Experiment) -> str:
    """The pipeline's own arguments, each by the name of the constant that holds it."""
    family = experiment.spec.family
    names = {
        "prompt": "PROMPT",
        "negative_prompt": "NEGATIVE_PROMPT",
        family.guidance: "GUIDANCE",
        SECOND: "GUIDANCE_2",
        family.frames: "FRAMES",
        family.text_length: "TEXT_LENGTH",
    }
    lines = [f'        "{argument}": {names[argument]},' for argument in experiment.call()]
    lines += [
        f'        "{role}": cut_clip(VIDEO, FRAMES, HEIGHT, WIDTH),'
        if role == "video"
        else f'        "{role}": cut_file({role.upper()}, HEIGHT, WIDTH),'
        for role, _ in experiment.conditions.given()
    ]
    return "\n".join(["", *lines, "    "])


def _script(track: Track, needs: str, imports: list[str], settings: list[str], body: str) -> str:
    """Docstring, imports, settings and body. Only words of this project stand outside of `settings`."""
    head = [
        '"""A Wan pipeline along a resolution schedule, made by Resolute.',
        "",
        fill(f"Schedule: {track.schedule}. Policy {track.policy.name}: {track.policy.summary}", 110),
        fill(needs, 110),
        "",
        "    python THIS_FILE.py [model folder or hub id]",
        '"""',
    ]
    return "\n".join([*head, "", *imports, "", *settings, "", body.rstrip(), ""])


def _settings(experiment: Experiment, track: Track) -> list[str]:
    model = f"MODEL = sys.argv[1] if len(sys.argv) > 1 else {_location(experiment)!r}"
    return [
        model,
        *_assigned(
            {
                "PROMPT": experiment.prompt,
                "NEGATIVE_PROMPT": experiment.negative_prompt,
                "SEED": experiment.seed,
                "STEPS": experiment.steps,
                "FRAMES": experiment.frames,
                "FPS": experiment.fps,
                "GUIDANCE": experiment.guidance,
                **({} if experiment.guidance_2 is None else {"GUIDANCE_2": experiment.guidance_2}),
                "SHIFT": experiment.shift,
                "TEXT_LENGTH": experiment.spec.defaults.max_sequence_length,
                "FILE": f"{track.slug}.mp4",
            }
        ),
    ]


def _assigned(values: dict[str, Any]) -> list[str]:
    return [f"{name} = {value!r}" for name, value in values.items()]


def _location(experiment: Experiment) -> str:
    """The model as another machine may know it: a hub id, or a folder below the repository; never a whole path."""
    spec = experiment.spec
    if not spec.is_local:
        return spec.location
    folder = Path(spec.location).resolve()
    return folder.relative_to(ROOT).as_posix() if folder.is_relative_to(ROOT) else folder.name


def _stages(experiment: Experiment, track: Track) -> list[tuple[int, int, int, int, float]]:
    """First and last step, height and width in pixels, and the shift's factor of every stage."""
    sizes, stride = experiment.sizes(track.schedule), experiment.spec.geometry.stride
    ratios = (1.0,) if len(sizes) == 1 else track.policy.shift_ratios(experiment.shift or 1.0, sizes)
    return [
        (stage.first, stage.last, size.height * stride[1], size.width * stride[2], ratio)
        for stage, size, ratio in zip(track.schedule.stages, sizes, ratios, strict=True)
    ]
