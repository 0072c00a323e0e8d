"""The command line: `python -m engine compare | measure | reproduce | models | cost | doctor | schedule check`.

Bad input ends with one sentence on standard error and exit code 2.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.compare_flags import (
    SCHEDULE_HELP,
    CompareFlags,
    ControlVideo,
    Frames,
    Guidance,
    Height,
    Image,
    LastImage,
    ModelName,
    Out,
    Steps,
    Width,
    read_inputs,
    scheduled_tracks,
    with_compare_flags,
)
from engine.cli.load_flags import Offload, Quantise, Tiling, with_load_flags
from engine.errors import InvalidInput, ModelNotFound, ResoluteError
from engine.experiments.conditions import check_complete
from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.lightx2v_config import with_cache
from engine.experiments.presets import Preset, load_preset, preset_names
from engine.experiments.settings import Settings
from engine.models.catalogue import ModelSpec, find_model
from engine.models.load_options import LoadOptions
from engine.reports.schema import Report
from engine.schedules.lightx2v_keys import export
from engine.switching.policies import DEFAULT_POLICY, policy_named
from engine.texts import escaped

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Resolution schedules for diffusion models.")
schedules = typer.Typer(no_args_is_help=True, help="Look at schedule files.")
app.add_typer(schedules, name="schedule")

Schedules = Annotated[list[str], typer.Option("--schedule", "-s", help=SCHEDULE_HELP)]
NoiseFloor = Annotated[bool, typer.Option(help="Run the baseline twice and report how much that differs.")]
OtherSeed = Annotated[
    bool | None,
    typer.Option(
        "--other-seed/--no-other-seed",
        help="Run the next seed of the prompt too: how far off another picture is. Left out: where it takes at most "
        "a minute.",
        show_default=False,
    ),
]
JsonOnly = Annotated[bool, typer.Option("--json", help="Print JSON alone.")]
OWN = LoadOptions()


@app.command()
@with_compare_flags
@with_load_flags
def compare(
    asked: CompareFlags,
    options: LoadOptions = OWN,
    noise_floor: NoiseFloor = True,
    other_seed: OtherSeed = None,
    json_only: JsonOnly = False,
) -> None:
    """Run schedules beside the full-resolution baseline and report what each costs and how far off it is."""
    spec = find_model(asked.model)
    steps = asked.steps if asked.steps is not None else spec.defaults.steps
    config = asked.config(spec, steps)
    experiment = make_experiment(spec, asked.tracks(spec, steps), asked.settings(steps, config))
    _run(experiment, asked.model, asked.out, options, (noise_floor, other_seed), json_only)


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
    other_seed: OtherSeed = None,
    json_only: JsonOnly = False,
) -> None:
    """Run again what a video or a report came from: same model, prompt, seed and schedules."""
    from engine.experiments.documents import load_experiment

    experiment = load_experiment(file)
    given = experiment.conditions.given_again(read_inputs(image, last_image, video))
    experiment = replace(experiment, conditions=given)
    _run(experiment, experiment.spec.id, out, options, (noise_floor, other_seed), json_only)


@app.command()
@with_load_flags
def measure(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished comparison.")],
    options: LoadOptions = OWN,
    json_only: JsonOnly = False,
) -> None:
    """Time the runs of a comparison again that other programs disturbed; videos and metrics stay as they are."""
    from engine.experiments.documents import load_experiment
    from engine.reports.report_file import load

    report = load(folder / "report.json")
    if not report.disturbed:
        raise InvalidInput("folder", f"no run in {str(folder)[:200]!r} was disturbed; there is nothing to time again.")
    experiment = load_experiment(folder / "report.json")
    _run(experiment, experiment.spec.id, folder, options, (False, False), json_only, report)


def _run(
    experiment: Experiment,
    model: str,
    out: Path,
    options: LoadOptions,
    beside: tuple[bool, bool | None],
    json_only: bool,
    earlier: Report | None = None,
) -> None:
    """Load the model, compare, print; exit code 1 where a run did not finish.

    `beside` are what to run beside the schedules: the baseline twice, another seed.
    """
    noise_floor, other_seed = beside
    check_complete(experiment.spec, experiment.conditions)
    _checked_out(out)
    experiment.conditions.filled(out).check_here()
    from engine.cli.terminal import Fetching, ProgressLines, print_report
    from engine.comparing.comparison import compare as run_comparison
    from engine.models.loading import load_model

    with Fetching(quiet=json_only) as fetching:
        loaded = load_model(model, options=options, on_fetch=fetching)
    with ProgressLines(quiet=json_only) as listener:
        report = run_comparison(
            experiment, loaded, out, listener, noise_floor=noise_floor, other_seed=other_seed, earlier=earlier
        )
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
    asked = Settings("-", steps=count, height=height, width=width, frames=frames, guidance=guidance)
    experiment = make_experiment(spec, scheduled_tracks(schedule, count, [], ["none"]), asked)
    size: dict[str, Any] = {"height": experiment.height, "width": experiment.width, "frames": experiment.frames}
    given: dict[str, Any] = {**size, "guidance": experiment.guidance, "baseline_steps": experiment.steps}
    costs = {track.name: schedule_cost(spec, track.schedule, **given) for track in experiment.tracks}
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
    track = Track(preset.name, preset.schedule, policy_named(DEFAULT_POLICY), preset.cache, preset.levels, preset.steps)
    return make_experiment(spec, [track], Settings("-", steps=preset.schedule.infer_steps))


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
        print(f"error: {escaped(error, lines=False)}", file=sys.stderr)
        sys.exit(2)
    except ResoluteError as error:
        print(f"error: {escaped(error, lines=False)}", file=sys.stderr)
        sys.exit(1)
