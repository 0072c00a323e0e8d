"""A track as a Python script that anyone can run: with plain diffusers where it can, else with this engine.

Self-contained are the tracks of Wan pipelines, with the policy's own source in them; a script with a cache, another
solver or another pipeline imports Resolute, and says so in its first lines. Texts from people stand in a script only as
`repr`, so they can be nothing but texts.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

from engine.experiments.experiment import SECOND, Experiment, Track
from engine.experiments.policy_source import definitions, fields_used, import_lines
from engine.hpdm.level_choice import level_steps
from engine.models.catalogue import ROOT
from engine.switching.policies import Policy

TESTED_WITH = "diffusers 0.42"
_TEMPLATES = Path(__file__).with_name("templates")

_SWITCH = {  # the fields of a `Switch` in a script's words; `step` is the old stage's last, counted from 1
    "x": "old.saw",
    "velocity": "old.answer",
    "stepped": "old.outcome",
    "step": "step - 1",
    "old": "old.levels",
    "new": "new.levels",
    "size": "size",
    "field": "lambda: noise",
    "fresh": "lambda: draw(size)",
    "known": "lambda: anchor.expect(size, old.levels[step])",
}
_NOISE = "noise = NoiseField(draw(sizes[-1]))  # the full-size run's own: every stage sees a crop of its spectrum\n"
_COUNT = "        self.taken = first - 1\n"
_CORRECT = """        x, velocity = corrected(x, velocity, self.levels[self.taken])
        self.taken += 1
"""
_BASELINE = "        high = int((self.timesteps >= 1000 * BOUNDARY).sum())  # steps of the expert for high noise\n"
_BOUNDARY = """        told = [*self.timesteps.tolist(), 0.0]
        self.boundary = (told[high - 1] + told[high]) / 2000 if high else 2.0  # experts change at the same step
"""
_CACHE = [
    "from engine.caches.cache_choice import parse_cache",
    "from engine.sampling.cache_calibration import Calibration",
]
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
    plain = experiment.spec.pipeline == "WanPipeline" and experiment.solver in _SOLVERS
    known = experiment.shift is not None and track.cache is None
    return (_with_diffusers if plain and known else _with_engine)(experiment, track)


def _with_diffusers(experiment: Experiment, track: Track) -> str:
    stages = [
        "# first and last step, height and width in pixels, what the shift is multiplied by",
        "STAGES = [",
        *(f"    {plan!r}," for plan in _stages(experiment, track)),
        "]",
    ]
    body = (_TEMPLATES / "script_diffusers.txt").read_text("utf-8")
    body = body.replace("@SOLVER@", _SOLVERS[experiment.solver])
    body = body.replace("@SECOND@", "" if experiment.guidance_2 is None else f"{SECOND}=GUIDANCE_2, ")
    two = experiment.guidance_2 is not None and len(track.schedule.stages) > 1 and not track.policy.own_experts
    body = _with_policy(_with_experts(body, two), track.policy)
    own = [("sys", "", "sys"), ("torch", "", "torch"), ("diffusers.utils", "export_to_video", "export_to_video")]
    own += [("diffusers", name, name) for name in _classes(experiment)]
    needs = f"Needs torch, {TESTED_WITH} or newer, transformers, ftfy and imageio[ffmpeg]; imports nothing of Resolute."
    imports = ["from __future__ import annotations", "", *import_lines(body, own)]
    return _script(track, needs, imports, [*_settings(experiment, track), *stages], body)


def _with_policy(body: str, policy: Policy) -> str:
    """The body with a policy's source and what ties it to the run."""
    given = _NOISE * policy.field_first
    if policy.anchors:
        given += (_TEMPLATES / "script_anchor.txt").read_text("utf-8")
    filled = {
        "        @COUNT@\n": _COUNT * policy.anchors,
        "        @CORRECT@\n": _CORRECT * policy.anchors,
        "@POLICY@": (given + "\n\n" * bool(given)) + _switch(policy),
        "@START@": "noise.crop(sizes[0])" if policy.field_first else "draw(sizes[0])",
    }
    for mark, text in filled.items():
        body = body.replace(mark, text)
    return body.replace("@SOURCE@", definitions(body.replace("@SOURCE@", "")))


def _with_experts(body: str, two: bool) -> str:
    """The body with what makes two experts change at the baseline's step, or without it."""
    filled = {
        "        @BASELINE@\n": _BASELINE * two,
        "        @BOUNDARY@\n": _BOUNDARY * two,
        "    @EXPERTS@\n": "    pipe.register_to_config(boundary_ratio=schedulers[k].boundary)\n" * two,
        "Solver = ": "BOUNDARY = pipe.config.boundary_ratio\n" * two + "Solver = ",
    }
    for mark, text in filled.items():
        body = body.replace(mark, text)
    return body


def _switch(policy: Policy) -> str:
    lines = [
        "def switch(old, new, step, size):",
        '    """The latents that a stage starts from, after the stage of scheduler `old` has run to `step`."""',
        f"    return {policy.way}(",
        "        Switch(",
        *(f"            {name}={_SWITCH[name]}," for name in fields_used(policy.way)),
        "        )",
        "    )",
    ]
    return "\n".join(lines)


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


def _classes(experiment: Experiment) -> list[str]:
    """What a script needs of diffusers."""
    euler = ["FlowMatchEulerDiscreteScheduler"] if experiment.solver == "euler" else []
    return [*euler, "UniPCMultistepScheduler", "WanPipeline"]


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
        imports[2:2] = ["from dataclasses import replace", "", *_CACHE]
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
                "STEPS": track.schedule.infer_steps,
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
    schedule, stride = experiment.as_run(track), experiment.spec.geometry.stride
    sizes = experiment.sizes(schedule)
    ratios = (1.0,) if len(sizes) == 1 else track.policy.shift_ratios(experiment.shift or 1.0, sizes)
    return [
        (stage.first, stage.last, size.height * stride[1], size.width * stride[2], ratio)
        for stage, size, ratio in zip(schedule.stages, sizes, ratios, strict=True)
    ]
