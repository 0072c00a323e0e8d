"""Experiments from what earlier ones left behind: a video's metadata, a report, or the bare document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import strict_json
from engine.caches.cache_choice import parse_optional
from engine.errors import InvalidInput
from engine.experiments.conditions import ROLES
from engine.experiments.experiment import FORMAT, MAX_NAME, MAX_TRACKS, Experiment, Track, make_experiment
from engine.experiments.settings import Settings, folded_seed
from engine.hpdm.level_choice import parse_optional_levels
from engine.measuring.video import read_metadata
from engine.models.catalogue import ModelSpec, find_model
from engine.models.solver_choice import SOLVERS
from engine.reports import report_file
from engine.reports.schema import Report
from engine.schedules.lightx2v_keys import SCHEDULE_KEYS, schedule_of
from engine.schedules.schedule import own_steps
from engine.switching.policies import DEFAULT_POLICY, policy_named
from engine.texts import plain

TAG = "resolute"
SCALES = ("guidance", "guidance_2", "shift")
OWN = ("prompt", "negative_prompt", "seed", "steps", "height", "width", "frames", *SCALES, "solver")
SETTINGS = (*OWN, *ROLES)  # of `Settings`, as documents name them
KEYS = ("resolute_experiment", "model", "fps", "tracks", *SETTINGS)
Models = Callable[[str], ModelSpec]


def load_experiment(path: Path, models: Models | None = None) -> Experiment:
    """The experiment that an mp4, a `report.json` or an experiment file holds. Raises InvalidInput or ModelNotFound.

    Pictures that it names come with their bytes where their files lie beside it.

    `models` finds the model by its name (`find_model` where not given); for files from strangers give
    `engine.models.catalogue.catalogue_model`, which takes no paths.
    """
    experiment = _loaded(path, models)
    return replace(experiment, conditions=experiment.conditions.filled(path.parent))


def _loaded(path: Path, models: Models | None) -> Experiment:
    if path.suffix.lower() == ".mp4":
        return parse_experiment(_from_video(path), path.name, models)
    document = report_file.load(path) if path.name == "report.json" else None
    if document is not None:
        return _from_report(document, models)
    try:
        with path.open("rb") as file:
            data = file.read(strict_json.MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput("file", f"{path.name[:80]} cannot be read: {error.strerror}.") from None
    return parse_experiment(data, path.name, models)


def parse_experiment(data: bytes | str, what: str, models: Models | None = None) -> Experiment:
    """Read an experiment document as `Experiment.document` writes it; `what` names it in messages."""
    return experiment_of(strict_json.loads(data, what), what, models)


def experiment_of(document: Mapping[str, Any], what: str, models: Models | None = None) -> Experiment:
    """The same from a document that is parsed already; settings that it lacks are the model's defaults."""
    version = document.get("resolute_experiment")
    if isinstance(version, bool) or version != FORMAT:
        newer = isinstance(version, int) and version > FORMAT
        hint = "it was made by a newer version of Resolute" if newer else f"an experiment has {FORMAT} there"
        raise InvalidInput(
            "resolute_experiment", f"{what}: resolute_experiment is {strict_json.shown(version)}; {hint}."
        )
    _known(document, KEYS, what)
    model = document.get("model")
    if not isinstance(model, str):
        raise InvalidInput("model", f"{what}: model is {strict_json.shown(model)}; it must be a model's name.")
    asked: dict[str, Any] = {key: document.get(key) for key in SETTINGS}
    asked["seed"] = folded_seed(asked["seed"])
    for key in ("prompt", "negative_prompt"):  # one of before may hold what no text may now
        if isinstance(text := asked[key], str):
            asked[key] = plain(text, lines=True)
    spec = (models or find_model)(model)
    return make_experiment(spec, _tracks(document.get("tracks"), what), Settings(**asked))


def _tracks(value: object, what: str) -> list[Track]:
    if not isinstance(value, list) or len(value) > MAX_TRACKS:
        raise InvalidInput("tracks", f"{what}: tracks must be a list of at most {MAX_TRACKS} schedules.")
    return [_track(item, f"{what}: tracks[{k}]") for k, item in enumerate(value)]


def _track(value: object, what: str) -> Track:
    if not isinstance(value, dict):
        raise InvalidInput("tracks", f"{what} must be an object with a name, a policy and a schedule.")
    _known(value, ("name", "policy", "cache", "levels", "steps", *SCHEDULE_KEYS), what)
    name = value.get("name")
    name = plain(name) if isinstance(name, str) else name
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
        raise InvalidInput("name", f"{what}: name must be text of 1 to {MAX_NAME} characters.")
    policy, cache = policy_named(value.get("policy")), parse_optional(value.get("cache"))
    levels, steps = parse_optional_levels(value.get("levels")), own_steps(value.get("steps"))
    return Track(name, schedule_of(value), policy, cache, levels, steps)


def _known(document: Mapping[str, Any], keys: tuple[str, ...], what: str) -> None:
    for key in document:
        if key not in keys:
            known = ", ".join(keys)
            raise InvalidInput(key, f'{what}: unknown key "{strict_json.shown(key)}"; known keys are {known}.')


def _from_video(path: Path) -> str:
    tags = read_metadata(path)
    if TAG not in tags:
        raise InvalidInput("file", f"{path.name[:80]} carries no experiment; only videos made by Resolute do.")
    return tags[TAG]


def _from_report(report: Report, models: Models | None) -> Experiment:
    tracks = [
        Track(
            run.name,
            schedule_of(run.schedule),
            policy_named(DEFAULT_POLICY if run.levels else run.policy),
            parse_optional(run.cache),
            parse_optional_levels(run.levels),
            run.steps,
        )
        for run in report.runs[1:]
    ]
    asked = Settings(
        prompt=report.prompt,
        negative_prompt=report.negative_prompt,
        seed=folded_seed(report.seed),
        steps=report.steps,
        height=report.size.height,
        width=report.size.width,
        frames=report.size.frames,
        guidance=report.guidance,
        guidance_2=report.guidance_2,
        shift=report.shift,
        solver=report.solver if report.solver in SOLVERS else None,
        **{role: picture.model_dump() for role in ROLES if (picture := getattr(report, role))},
    )
    return make_experiment((models or find_model)(report.model), tracks, asked)
