"""The command line: `python -m engine compare | reproduce | models | cost | doctor | schedule check`.

Bad input ends with one sentence on standard error and exit code 2.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.caches.cache_choice import TECHNIQUES, parse_shorthand
from engine.cli.load_flags import Offload, Quantise, Tiling, with_load_flags
from engine.errors import InvalidInput, ModelNotFound, ResoluteError
from engine.experiments.conditions import ROLES, check_complete, input_file
from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.level_tracks import default_level_tracks, level_track
from engine.experiments.lightx2v_config import RunSettings, with_cache
from engine.experiments.presets import Preset, load_preset, preset_names
from engine.hpdm.level_choice import parse_level_words
from engine.models.catalogue import ModelSpec, find_model
from engine.models.load_options import LoadOptions
from engine.models.solver_choice import SOLVERS
from engine.schedules.lightx2v_keys import export
from engine.switching.policies import DEFAULT_POLICY, POLICIES, policy_named

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Resolution schedules for diffusion models.")
schedules = typer.Typer(no_args_is_help=True, help="Look at schedule files.")
app.add_typer(schedules, name="schedule")

ModelName = Annotated[str, typer.Option(help="A model of the catalogue, or the path of a diffusers folder.")]
Schedules = Annotated[
    list[str], typer.Option("--schedule", "-s", help="A preset, a JSON file, or shorthand: 0.75@50%, 1/0.75@20%/70%.")
]
Height = Annotated[int | None, typer.Option(help="Pixels; the model's own where left out.")]
Width = Annotated[int | None, typer.Option(help="Pixels.")]
Frames = Annotated[int | None, typer.Option(help="Number of frames.")]
Guidance = Annotated[float | None, typer.Option(help="Classifier-free guidance; 1 turns it off.")]
Guidance2 = Annotated[
    float | None,
    typer.Option("--guidance-2", help="Guidance of the second expert (low noise), where the model has two."),
]
Out = Annotated[Path, typer.Option(help="Folder for the report and the videos.")]
NoiseFloor = Annotated[bool, typer.Option(help="Run the baseline twice and report how much that differs.")]
JsonOnly = Annotated[bool, typer.Option("--json", help="Print JSON alone.")]
Image = Annotated[Path | None, typer.Option(help="A PNG, JPEG or WebP: the first frame, or what an edit starts from.")]
LastImage = Annotated[Path | None, typer.Option(help="A picture of the last frame, where the model takes one.")]
ControlVideo = Annotated[Path | None, typer.Option(help="An mp4 to follow frame by frame, where the model takes one.")]
OWN = LoadOptions()
Steps = Annotated[int | None, typer.Option(help="Denoising steps of all runs; schedules are scaled to it.")]


@app.command()
@with_load_flags
def compare(
    prompt: Annotated[str, typer.Option(help="What to show.")],
    out: Out,
    schedule: Annotated[
        list[str] | None,
        typer.Option("--schedule", "-s", help="A preset, a JSON file, or shorthand: 0.75@50%, 1/0.75@20%/70%."),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(
            help="For a hierarchical patch model in place of a schedule: levels=2,overlap=none,context=off,heun=true; "
            "overlap none, spatial or full, context off, device or cpu. None given: some that show what they do."
        ),
    ] = None,
    model: ModelName = "emoji-wan",
    seed: Annotated[int, typer.Option(help="The same for all runs.")] = 0,
    steps: Steps = None,
    policy: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(POLICIES)}. Several: every schedule under each.")
    ] = None,
    cache: Annotated[
        list[str] | None,
        typer.Option(
            help=f"none, {', '.join(TECHNIQUES)}; teacache:0.1 sets its main figure, pab:2,cross_range=4 others. "
            "Several: every schedule under each. For one schedule alone write it behind its name: u-0.75+teacache:0.1."
        ),
    ] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What not to show.")] = None,
    image: Image = None,
    last_image: LastImage = None,
    video: ControlVideo = None,
    height: Height = None,
    width: Width = None,
    frames: Frames = None,
    guidance: Guidance = None,
    guidance_2: Guidance2 = None,
    shift: Annotated[float | None, typer.Option(help="Flow shift of the full-resolution run.")] = None,
    solver: Annotated[
        str | None, typer.Option(help=f"{', '.join(SOLVERS)}, as it fits; its own where left out.")
    ] = None,
    settings_from: Annotated[
        Path | None, typer.Option(help="A LightX2V config whose size, length, shift and guidance to use.")
    ] = None,
    options: LoadOptions = OWN,
    noise_floor: NoiseFloor = True,
    json_only: JsonOnly = False,
) -> None:
    """Run schedules beside the full-resolution baseline and report what each costs and how far off it is."""
    spec = find_model(model)
    count = steps if steps is not None else spec.defaults.steps
    given = _settings(settings_from, count, spec)
    if spec.levels:
        tracks = _level_tracks(spec, schedule, policy, cache, track)
    elif track or not schedule:
        wrong = f"{spec.title} has no levels; choose a --schedule." if track else "give at least one --schedule."
        raise InvalidInput("track" if track else "schedule", wrong)
    else:
        tracks = _tracks([load_preset(name, count) for name in schedule], policy or [], cache or [])
    experiment = make_experiment(
        spec,
        tracks,
        prompt=prompt,
        seed=seed,
        negative_prompt=negative_prompt,
        steps=count,
        height=height,
        width=width,
        frames=frames,
        guidance=guidance,
        guidance_2=guidance_2,
        shift=shift,
        solver=solver,
        settings=given,
        **_inputs(image, last_image, video),
    )
    _run(experiment, model, out, options, noise_floor, json_only)


@app.command()
@with_load_flags
def reproduce(
    file: Annotated[Path, typer.Argument(help="A video or a report.json made by `compare`.")],
    out: Out,
    image: Image = None,
    last_image: LastImage = None,
    video: ControlVideo = None,
    options: LoadOptions = OWN,
    noise_floor: NoiseFloor = True,
    json_only: JsonOnly = False,
) -> None:
    """Run again what a video or a report came from: same model, prompt, seed and schedules."""
    from engine.experiments.documents import load_experiment

    experiment = load_experiment(file)
    given = experiment.conditions.given_again(_inputs(image, last_image, video))
    experiment = replace(experiment, conditions=given)
    _run(experiment, experiment.spec.id, out, options, noise_floor, json_only)


def _inputs(*paths: Path | None) -> dict[str, Any]:
    """What a run starts from, by its role; the paths are in the order of the roles."""
    return {role: input_file(path, role) for role, path in zip(ROLES, paths, strict=True) if path}


def _run(
    experiment: Experiment,
    model: str,
    out: Path,
    options: LoadOptions,
    noise_floor: bool,
    json_only: bool,
) -> None:
    """Load the model, compare, print; exit code 1 where a run did not finish."""
    check_complete(experiment.spec, experiment.conditions)
    _checked_out(out)
    experiment.conditions.filled(out).check_here()
    from engine.cli.terminal import Fetching, ProgressLines, print_report
    from engine.comparing.comparison import compare as run_comparison
    from engine.models.loading import load_model

    with Fetching(quiet=json_only) as fetching:
        loaded = load_model(model, options=options, on_fetch=fetching)
    with ProgressLines(quiet=json_only) as listener:
        report = run_comparison(experiment, loaded, out, listener, noise_floor=noise_floor)
    if json_only:
        sys.stdout.write((out / "report.json").read_text("utf-8"))
    else:
        print_report(report, out)
    if any(run.status != "done" for run in report.runs):
        raise typer.Exit(1)


@app.command()
def models(
    card_gb: Annotated[
        float | None, typer.Option(help="Memory of a card to judge by; this machine's where left out.")
    ] = None,
    offload: Offload = "none",
    vae_tiling: Tiling = False,
    quantise: Quantise = None,
    json_only: JsonOnly = False,
) -> None:
    """List the models: where they are, what a run of each uses by default, and what does not fit the card."""
    from engine.cli.terminal import print_models
    from engine.models.availability import all_available, card_bytes

    options = LoadOptions.parse(offload=offload, tiling=vae_tiling, quantise=quantise)
    print_models(all_available(options, card_bytes() if card_gb is None else card_gb * 1e9), json_only)


@app.command()
def cost(
    schedule: Schedules,
    model: ModelName = "emoji-wan",
    steps: Steps = None,
    height: Height = None,
    width: Width = None,
    frames: Frames = None,
    guidance: Guidance = None,
    json_only: JsonOnly = False,
) -> None:
    """Count what schedules cost in FLOPs, all evaluations computed: no cache is counted; needs no weights."""
    from engine.cli.terminal import print_costs
    from engine.costs.flops_count import schedule_cost

    spec = find_model(model)
    if spec.levels:
        raise InvalidInput("model", f"{spec.title} runs by levels, not by a schedule; `compare` counts its FLOPs.")
    count = steps if steps is not None else spec.defaults.steps
    tracks = _tracks([load_preset(name, count) for name in schedule], [], ["none"])
    experiment = make_experiment(
        spec, tracks, prompt="-", steps=count, height=height, width=width, frames=frames, guidance=guidance
    )
    size = {"height": experiment.height, "width": experiment.width, "frames": experiment.frames}
    costs = {
        track.name: schedule_cost(spec, track.schedule, **size, guidance=experiment.guidance)
        for track in experiment.tracks
    }
    print_costs(spec, size, costs, json_only)


@app.command()
def doctor(
    data_dir: Annotated[Path | None, typer.Option(help="The data directory; the default one where left out.")] = None,
    json_only: JsonOnly = False,
) -> None:
    """Print what a bug report needs, and what is broken; exit code 1 where something needed is."""
    from engine.cli.doctor import examine

    found = examine(data_dir)
    typer.echo(found.to_json() if json_only else str(found))
    if not found.well:
        raise typer.Exit(1)


@schedules.command()
def check(
    file: Annotated[str, typer.Argument(help="A JSON file, a preset, or shorthand.")],
    model: Annotated[str | None, typer.Option(help="Also check that this model can run it.")] = None,
    steps: Annotated[int, typer.Option(help="What percentages in a shorthand refer to.")] = 50,
) -> None:
    """Say what a schedule file means, or what is wrong with it."""
    from engine.cli.terminal import print_schedule

    preset = load_preset(file, steps)
    print_schedule(preset, _fitting(find_model(model), preset) if model else None)


@schedules.command(name="list")
def list_presets() -> None:
    """List the presets by name."""
    for name in ("flat", *preset_names()):
        preset = load_preset(name, 50)
        typer.echo(f"{name:28} {preset.schedule}")


@schedules.command(name="export")
def export_schedule(file: Annotated[str, typer.Argument(help="A JSON file, a preset, or shorthand.")]) -> None:
    """Print a schedule as a LightX2V config."""
    preset = load_preset(file, 50)
    if preset.levels:
        raise InvalidInput("levels", f"a LightX2V config has no levels and cannot hold {preset.name[:60]!r}.")
    typer.echo(json.dumps(with_cache(export(preset.schedule), preset.cache), indent=4))


def _fitting(spec: ModelSpec, preset: Preset) -> Any:
    track = Track(preset.name, preset.schedule, policy_named(DEFAULT_POLICY), preset.cache, preset.levels)
    return make_experiment(spec, [track], prompt="-", steps=preset.schedule.infer_steps)


def _settings(path: Path | None, steps: int, spec: ModelSpec) -> RunSettings | None:
    """A config's run settings; a second guidance that the model has no expert for is told of."""
    if path is None:
        return None
    given = load_preset(str(path), steps).settings
    if not spec.two_experts and given.guidance_2 not in (None, given.guidance):
        told = f"its second sample_guide_scale {given.guidance_2:g} is not run: {spec.title} has one expert"
        typer.echo(f"{path.name}: {told}.", err=True)
    return given


def _tracks(presets: Sequence[Preset], policies: Sequence[str], caches: Sequence[str] = ()) -> list[Track]:
    """Every schedule under every policy and cache asked for; else under its own, or the default one."""
    chosen = [parse_shorthand(text) for text in caches]
    tracks = []
    for preset in presets:
        for name, cache in product(policies or [preset.policy or DEFAULT_POLICY], chosen or [preset.cache]):
            policy = policy_named(name)
            label = preset.name if len(policies) < 2 else f"{preset.name} {policy.name}"
            label = f"{label}+{cache}" if cache and chosen else label
            tracks.append(Track(label, preset.schedule, policy, cache, preset.levels))
    return tracks


def _level_tracks(spec: ModelSpec, schedule: Any, policy: Any, cache: Any, words: list[str] | None) -> list[Track]:
    """The tracks of a hierarchical patch model, as they were written, or the default ones."""
    for name, given in (("schedule", schedule), ("policy", policy), ("cache", cache)):
        if given:
            raise InvalidInput(
                name,
                f"{spec.title} runs by levels and takes no {name}; write --track levels=2,overlap=none.",
            )
    assert spec.levels is not None
    if not words:
        return default_level_tracks(spec.levels, spec.defaults.steps)
    return [level_track(text, parse_level_words(text), spec.levels, spec.defaults.steps) for text in words]


def _checked_out(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput("out", f"the folder {str(out)[:200]!r} cannot be written to: {reason}.") from None


def main() -> None:
    """Run the command line; what this project refuses becomes one sentence and an exit code."""
    try:
        app()
    except (InvalidInput, ModelNotFound) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except ResoluteError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
