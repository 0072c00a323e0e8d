"""What `compare` is asked for on the command line: its flags, and the settings and tracks that they mean."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.caches.cache_choice import TECHNIQUES, parse_shorthand
from engine.cli.flag_groups import grouped
from engine.errors import InvalidInput
from engine.experiments.conditions import ROLES, input_file
from engine.experiments.experiment import Track
from engine.experiments.level_tracks import default_level_tracks, level_track
from engine.experiments.lightx2v_config import RunSettings
from engine.experiments.presets import Preset, load_preset
from engine.experiments.settings import Settings
from engine.hpdm.level_choice import parse_level_words
from engine.models.catalogue import ModelSpec
from engine.models.solver_choice import SOLVERS
from engine.switching.policies import DEFAULT_POLICY, POLICIES, policy_named

SCHEDULE_HELP = (
    "A preset, a JSON file, or shorthand: 0.75@50%, 1/0.75@20%/70%; with steps of its own: flat@15, 0.75@50%/20."
)
ModelName = Annotated[str, typer.Option(help="A model of the catalogue, or the path of a diffusers folder.")]
Steps = Annotated[
    int | None,
    typer.Option(help="Denoising steps of all runs but those with steps of their own; schedules are scaled to it."),
]
Height = Annotated[int | None, typer.Option(help="Pixels; the model's own where left out.")]
Width = Annotated[int | None, typer.Option(help="Pixels.")]
Frames = Annotated[int | None, typer.Option(help="Number of frames.")]
Guidance = Annotated[float | None, typer.Option(help="Classifier-free guidance; 1 turns it off.")]
Out = Annotated[Path, typer.Option(help="Folder for the report and the videos.")]
Image = Annotated[Path | None, typer.Option(help="A PNG, JPEG or WebP: the first frame, or what an edit starts from.")]
LastImage = Annotated[Path | None, typer.Option(help="A picture of the last frame, where the model takes one.")]
ControlVideo = Annotated[Path | None, typer.Option(help="An mp4 to follow frame by frame, where the model takes one.")]


@dataclass(frozen=True)
class CompareFlags:
    """The flags of `compare` that say what is run, in the order of its help."""

    prompt: Annotated[str, typer.Option(help="What to show.")]
    out: Out
    schedule: Annotated[list[str] | None, typer.Option("--schedule", "-s", help=SCHEDULE_HELP)] = None
    track: Annotated[
        list[str] | None,
        typer.Option(
            help="For a hierarchical patch model in place of a schedule: levels=2,overlap=none,context=off,heun=true; "
            "overlap none, spatial or full, context off, device or cpu. None given: some that show what they do."
        ),
    ] = None
    model: ModelName = "emoji-wan"
    seed: Annotated[int, typer.Option(help="The same for all runs.")] = 0
    steps: Steps = None
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(POLICIES)}; under another rule of the shift coherent@+1, coherent@none. Several: "
            "every schedule under each."
        ),
    ] = None
    cache: Annotated[
        list[str] | None,
        typer.Option(
            help=f"none, {', '.join(TECHNIQUES)}; teacache:0.1 sets its main figure, pab:2,cross_range=4 others. "
            "Several: every schedule under each. For one schedule alone write it behind its name: u-0.75+teacache:0.1."
        ),
    ] = None
    negative_prompt: Annotated[str | None, typer.Option(help="What not to show.")] = None
    image: Image = None
    last_image: LastImage = None
    video: ControlVideo = None
    height: Height = None
    width: Width = None
    frames: Frames = None
    guidance: Guidance = None
    guidance_2: Annotated[
        float | None,
        typer.Option("--guidance-2", help="Guidance of the second expert (low noise), where the model has two."),
    ] = None
    shift: Annotated[float | None, typer.Option(help="Flow shift of the full-resolution run.")] = None
    solver: Annotated[str | None, typer.Option(help=f"{', '.join(SOLVERS)}, as it fits; its own where left out.")] = (
        None
    )
    settings_from: Annotated[
        Path | None, typer.Option(help="A LightX2V config whose size, length, shift and guidance to use.")
    ] = None

    def config(self, spec: ModelSpec, steps: int) -> RunSettings:
        """The run settings of the config; a second guidance that the model has no expert for is told of."""
        if self.settings_from is None:
            return RunSettings()
        given = load_preset(str(self.settings_from), steps).settings
        if not spec.two_experts and given.guidance_2 not in (None, given.guidance):
            told = f"its second sample_guide_scale {given.guidance_2:g} is not run: {spec.title} has one expert"
            typer.echo(f"{self.settings_from.name}: {told}.", err=True)
        return given

    def tracks(self, spec: ModelSpec, steps: int) -> list[Track]:
        """What is compared with the baseline."""
        if spec.levels:
            return self._level_tracks(spec)
        if self.track:
            raise InvalidInput("track", f"{spec.title} has no levels; choose a --schedule.")
        if not self.schedule:
            raise InvalidInput("schedule", "give at least one --schedule.")
        return scheduled_tracks(self.schedule, steps, self.policy or [], self.cache or [])

    def _level_tracks(self, spec: ModelSpec) -> list[Track]:
        """The tracks of a hierarchical patch model, as they were written, or the default ones."""
        for name in ("schedule", "policy", "cache"):
            if getattr(self, name):
                raise InvalidInput(
                    name, f"{spec.title} runs by levels and takes no {name}; write --track levels=2,overlap=none."
                )
        assert spec.levels is not None
        if not self.track:
            return default_level_tracks(spec.levels, spec.defaults.steps)
        return [level_track(text, parse_level_words(text), spec.levels, spec.defaults.steps) for text in self.track]

    def settings(self, steps: int, config: RunSettings) -> Settings:
        """What the runs are asked for, with the pictures read."""
        return Settings(
            prompt=self.prompt,
            seed=self.seed,
            negative_prompt=self.negative_prompt,
            steps=steps,
            height=self.height,
            width=self.width,
            frames=self.frames,
            guidance=self.guidance,
            guidance_2=self.guidance_2,
            shift=self.shift,
            solver=self.solver,
            config=config,
            **read_inputs(self.image, self.last_image, self.video),
        )


with_compare_flags = grouped(
    "asked", list(inspect.signature(CompareFlags, eval_str=True).parameters.values()), CompareFlags
)


def read_inputs(*paths: Path | None) -> dict[str, Any]:
    """What a run starts from, by its role; the paths are in the order of the roles. Raises InvalidInput."""
    return {role: input_file(path, role) for role, path in zip(ROLES, paths, strict=True) if path}


def scheduled_tracks(
    schedules: Sequence[str], steps: int, policies: Sequence[str], caches: Sequence[str]
) -> list[Track]:
    """Every schedule under every policy and cache asked for; else under its own, or the default one."""
    presets: list[Preset] = [load_preset(name, steps) for name in schedules]
    chosen = [parse_shorthand(text) for text in caches]
    tracks = []
    for preset in presets:
        for name, cache in product(policies or [preset.policy or DEFAULT_POLICY], chosen or [preset.cache]):
            policy = policy_named(name)
            label = preset.name if len(policies) < 2 else f"{preset.name} {policy.name}"
            label = f"{label}+{cache}" if cache and chosen else label
            tracks.append(Track(label, preset.schedule, policy, cache, preset.levels, preset.steps))
    return tracks
