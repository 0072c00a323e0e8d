"""Endpoints for programs: `gradio_client`, plain HTTP, MCP where it is switched on. All input is parsed again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
from gradio.events import api

from engine.costs.prediction import Prediction
from engine.errors import InvalidInput, ResoluteError
from engine.experiments.conditions import ROLES, pictures_of, roles_of
from engine.experiments.experiment import MAX_TRACKS, Experiment, Track, make_experiment
from engine.experiments.lightx2v_config import with_cache
from engine.experiments.settings import Settings
from engine.jobs.service import Jobs
from engine.models.availability import studio_models
from engine.models.catalogue import catalogue_model
from engine.schedules.lightx2v_keys import export
from engine.switching.policies import DEFAULT_POLICY, policy_named
from ui.shared.who_asks import visitor_of
from ui.studio import job_display
from ui.studio.forecast import predictions
from ui.studio.opened_files import ORDINARY, parse_schedule_text, preset_of

POLL_S = 0.5
MAX_CALLS = 20  # clients that follow a comparison at once; their jobs go on without them


def add_endpoints(jobs: Jobs) -> None:
    """Attach the endpoints to the page that is being built."""
    endpoints = Endpoints(jobs)
    for name in ("list_models", "list_presets", "check_schedule", "estimate_cost", "get_job", "cancel_job"):
        api(_refused_in_words()(getattr(endpoints, name)), api_name=name, queue=False)
    api(endpoints.compare, api_name="compare", concurrency_limit=MAX_CALLS)


@contextlib.contextmanager
def _refused_in_words() -> Iterator[None]:
    """Refusals reach the client as their one sentence."""
    try:
        yield
    except ResoluteError as error:
        raise gr.Error(str(error), print_exception=False) from None


class Endpoints:
    """What programs can call."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs

    def list_models(self) -> list[dict]:
        """List the models: where they are, what a run of each uses by default, what is too large for the card."""
        return [
            {
                "id": spec.id,
                "title": spec.title,
                "here": one.place in ("here", "cached"),
                **one.document(),
                "output": spec.family.output,
                "solvers": list(spec.solvers),
                "height": spec.defaults.height,
                "width": spec.defaults.width,
                "frames": spec.defaults.frames,
                "steps": spec.defaults.steps,
                "guidance": spec.defaults.guidance,
                "guidance_2": spec.defaults.guidance_2,
                "shift": spec.defaults.shift,
                "pictures": list(pictures_of(spec)),
                "control_video": "video" in roles_of(spec),
                "needs": [role for role in roles_of(spec) if role in spec.family.needs],
                "levels": spec.levels.levels if spec.levels else None,
            }
            for one in studio_models()
            for spec in [one.spec]
        ]

    def list_presets(self) -> list[dict]:
        """List the bundled schedules in LightX2V's keys."""
        return [
            {
                "name": name,
                "title": preset.name,
                "description": preset.description,
                **with_cache(export(preset.schedule), preset.cache),
            }
            for name in ORDINARY
            for preset in [preset_of(name, 30)]
        ]

    def check_schedule(self, schedule: str, model: str = "emoji-wan", steps: int = 30) -> dict:
        """Say what a schedule means for a model, or refuse it in one sentence.

        Args:
            schedule: A preset's name, shorthand such as 0.75@50%, or the JSON text of a preset or LightX2V config; of a
                model by levels such as levels=2,overlap=none,context=off.
            model: A model's id.
            steps: Denoising steps; a schedule without steps of its own (flat@15, 0.75@50%/20) is scaled to them.
        """
        experiment = self._experiment(model, [schedule], Settings(_any_prompt(model), steps=steps))
        track = experiment.tracks[0]
        stride = experiment.spec.geometry.stride
        stages = zip(track.stages, experiment.sizes(track.schedule), strict=False)  # as many levels as are run
        return {
            "name": track.name,
            "kind": track.schedule.kind,
            "steps": track.schedule.infer_steps,
            "lightx2v": None if track.levels else with_cache(export(track.schedule), track.cache),
            "stages": [
                {
                    "first_step": stage.first,
                    "last_step": stage.last,
                    "rate": stage.rate,
                    "width": size.width * stride[2],
                    "height": size.height * stride[1],
                    "tokens": size.tokens,
                }
                for stage, size in stages
            ],
            "levels": track.levels.document() if track.levels else None,
        }

    def estimate_cost(
        self,
        schedule: str,
        model: str = "emoji-wan",
        steps: int = 30,
        height: int | None = None,
        width: int | None = None,
        frames: int | None = None,
        guidance: float | None = None,
    ) -> dict:
        """Predict what a schedule costs: speed-up by FLOPs, and seconds where this machine has been measured.

        How much a cache skips is not known before the run: with one `at_most` is true, and seconds are at most as told.

        Args:
            schedule: A preset's name, shorthand such as 0.75@50%, or the JSON text of a preset or LightX2V config; of a
                model by levels such as levels=2,overlap=none,context=off.
            model: A model's id; its weights need not be here.
            steps: Denoising steps of the baseline, and of a schedule without steps of its own.
            height: Pixels; the model's own where left out.
            width: Pixels.
            frames: Number of frames.
            guidance: Classifier-free guidance; 1 turns it off.
        """
        asked = Settings(_any_prompt(model), steps=steps, height=height, width=width, frames=frames, guidance=guidance)
        experiment = self._experiment(model, [schedule], asked)
        told, base = self._predicted(experiment)
        return {
            "seconds": told.total_s,
            "seconds_interval": told.interval(told.total_s),
            "denoise_seconds": told.denoise_s,
            "baseline_seconds": base.total_s,
            "speedup": told.speedup,
            "speedup_by_flops": told.by_flops,
            "peak_bytes": told.peak_bytes,
            "source": told.source,
            "at_most": experiment.tracks[0].cache is not None,
        }

    def get_job(self, job: str) -> dict:
        """Tell how a comparison stands, with its report as far as it has come.

        Args:
            job: The id that `compare` gave.
        """
        view = self.jobs.view(job)
        report = job_display.report_of(self.jobs, job)
        return {
            "job": view.id,
            "status": view.status,
            "sentence": view.sentence,
            "position": view.position,
            "runs": [
                {"name": run.name, "status": run.status, "step": run.step, "steps": run.steps, "error": run.error}
                for run in view.runs
            ],
            "files": {name: f"media/{view.id}/{name}" for name in self.jobs.files(job)},
            "report": report.model_dump(mode="json") if report else None,
        }

    def cancel_job(self, job: str, request: gr.Request = None) -> dict:  # type: ignore[assignment]
        """Stop a comparison within one step; what is finished stays.

        Args:
            job: The id that `compare` gave.
        """
        self.jobs.cancel(job, by=visitor_of(request, self.jobs))
        return self.get_job(job)

    async def compare(
        self,
        prompt: str,
        schedules: list[str],
        model: str = "emoji-wan",
        seed: int = 0,
        steps: int | None = None,
        policy: str = DEFAULT_POLICY,
        negative_prompt: str | None = None,
        height: int | None = None,
        width: int | None = None,
        frames: int | None = None,
        guidance: float | None = None,
        shift: float | None = None,
        solver: str | None = None,
        noise_floor: bool = False,
        image: str | None = None,
        last_image: str | None = None,
        video: str | None = None,
        guidance_2: float | None = None,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> AsyncIterator[dict]:
        """Run schedules beside the full-resolution baseline; yields the job as it goes, at last with the whole report.

        The job goes on when the client leaves; `get_job` finds it by its id.

        Args:
            prompt: What to show.
            schedules: Each a preset's name, shorthand such as 0.75@50%, or the JSON text of a preset or config; behind
                a name or shorthand a cache may stand, as in u-0.75+teacache:0.1. Of a model by levels each is such as
                levels=2,overlap=none,context=off,heun=true; what is left out has its default.
            model: A model's id.
            seed: The same for all runs.
            steps: Denoising steps of all runs but those with steps of their own; schedules are scaled to them.
            policy: How to switch, for schedules that do not say.
            negative_prompt: What not to show.
            height: Pixels; the model's own where left out.
            width: Pixels.
            frames: Number of frames.
            guidance: Classifier-free guidance; 1 turns it off.
            shift: Flow shift of the full-resolution run; the model's own where left out.
            solver: unipc, euler, dpm++ or ddim, as far as it fits the model.
            image: The sha256 of a picture to start from, as the answer to a POST of its file to /inputs gives it.
            last_image: Likewise of the last frame, for models that take one.
            video: Likewise of a control video (mp4), for models that take one; its first frames are used, one for one.
            noise_floor: Run the baseline twice and report how much that differs.
            guidance_2: Guidance of the second expert (low noise), for models of two; the model's own where left out.
        """
        with _refused_in_words():
            asked = Settings(
                prompt=prompt, seed=seed, negative_prompt=negative_prompt, steps=steps, height=height, width=width,
                frames=frames, guidance=guidance, guidance_2=guidance_2, shift=shift, solver=solver, image=image,
                last_image=last_image, video=video,
            )  # fmt: skip
            experiment = self._experiment(model, schedules, asked, policy)
            job = self.jobs.submit(experiment, by=visitor_of(request, self.jobs), noise_floor=bool(noise_floor))
            async for state in self._followed(job):
                yield state

    async def _followed(self, job: str) -> AsyncIterator[dict]:
        """A job whenever it has changed, until it has finished."""
        seen = -1
        while True:
            view = self.jobs.view(job)
            if view.revision != seen:
                seen = view.revision
                yield self.get_job(job)
            if view.finished:
                return
            await asyncio.sleep(POLL_S)

    def _experiment(
        self, model: object, schedules: object, asked: Settings, policy: object = DEFAULT_POLICY
    ) -> Experiment:
        """What a program asks for; pictures are named by the hash of what was added."""
        spec = catalogue_model(model if isinstance(model, str) else str(model))
        steps: Any = spec.defaults.steps if asked.steps is None else asked.steps
        if not isinstance(schedules, list) or len(schedules) > MAX_TRACKS:
            raise InvalidInput("schedules", f"schedules must be a list of at most {MAX_TRACKS} schedules.")
        presets = [parse_schedule_text(text, steps) for text in schedules]
        tracks = [
            Track(p.name, p.schedule, policy_named(p.policy or policy), p.cache, p.levels, p.steps) for p in presets
        ]
        added: dict[str, Any] = {
            role: self.jobs.picture(name, role) for role in ROLES if (name := getattr(asked, role)) is not None
        }
        return make_experiment(spec, tracks, replace(asked, steps=steps, **added))

    def _predicted(self, experiment: Experiment) -> list[Prediction]:
        """What its first track and its baseline will take."""
        names = ("height", "width", "frames", "guidance")
        values = {name: getattr(experiment, name) for name in names}
        tracks = (experiment.tracks[0], experiment.baseline)
        return predictions(values | {"model": experiment.spec.id}, tracks, self.jobs, experiment.steps)


def _any_prompt(model: object) -> str:
    """A prompt that the model can read, for what is only checked or costed."""
    return (catalogue_model(model if isinstance(model, str) else str(model)).examples or ("-",))[0]
