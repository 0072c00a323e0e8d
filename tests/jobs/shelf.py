"""Finished jobs as their folders, with real videos and reports: what a Jobs takes in when it is opened."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.level_tracks import default_level_tracks
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.jobs.data_dir import new_id
from engine.measuring.similarity import Metric
from engine.measuring.video import write_mp4, write_png
from engine.models.catalogue import catalogue_model
from engine.reports.closeness import Similarity
from engine.reports.report_file import save
from engine.reports.run_costs import Latency, Memory, Speedup, StageEntry
from engine.reports.schema import Environment, Report, Run, VideoSize
from engine.schedules.latent_sizes import LatentSize
from engine.schedules.lightx2v_keys import export
from engine.switching.policies import policy_named

STEPS = 6
SCHEDULES = ("two-stage-0.5", "u-0.75", "two-stage-0.75")


def experiment(prompt: str = "a red apple", seed: int = 7, tracks: int = 2, **settings: int) -> Experiment:
    """One of the shipped model with `tracks` schedules."""
    presets = [load_preset(name, STEPS) for name in SCHEDULES[:tracks]]
    made = [Track(preset.name, preset.schedule.with_steps(STEPS), policy_named("coherent")) for preset in presets]
    return make_experiment(
        catalogue_model("emoji-wan"), made, Settings(prompt=prompt, seed=seed, steps=STEPS, **settings)
    )


def of_own_steps(prompt: str = "a red apple", seed: int = 7) -> Experiment:
    """One with a track of the others' steps and one, `longer`, of 9 of its own."""
    plain = experiment(prompt, seed, tracks=1)
    own = load_preset("0.5@50%/9", STEPS)
    longer = Track("longer", own.schedule, policy_named("coherent"), steps=own.steps)
    return make_experiment(plain.spec, [*plain.tracks, longer], Settings(prompt=prompt, seed=seed, steps=STEPS))


def by_levels(prompt: str = "a frog", seed: int = 7) -> Experiment:
    """One of the shipped hierarchical patch model, with the tracks that a fresh board has."""
    spec = catalogue_model("emoji-hpdm")
    assert spec.levels is not None
    return make_experiment(
        spec, default_level_tracks(spec.levels, STEPS), Settings(prompt=prompt, seed=seed, steps=STEPS)
    )


def put(
    root: Path, asked: Experiment, *, done: Sequence[int] | None = None, age_s: float = 0.0, pinned: bool = False
) -> str:
    """Write the folder of a job whose runs `done` (all if None) are finished; the id. Not while a Jobs has it open."""
    job = new_id()
    folder = root / "jobs" / job
    folder.mkdir(parents=True)
    record = {"id": job, "created": time.time() - age_s, "pinned": pinned, "document": json.dumps(asked.document())}
    (folder / "job.json").write_text(json.dumps(record))
    finished = range(len(asked.tracks) + 1) if done is None else done
    save(report_of(asked, finished), folder / "report.json")
    for number in finished:
        copy_files(folder, asked, number)
    return job


def copy_files(folder: Path, asked: Experiment, number: int) -> None:
    """The video, still and difference of one run."""
    video, still = _pictures(asked.seed + number, asked.frames, asked.height, asked.width, asked.fps)
    (folder / f"{number:02d}.mp4").write_bytes(video)
    (folder / f"{number:02d}.png").write_bytes(still)
    if number:
        (folder / f"{number:02d}-difference.mp4").write_bytes(video)


@lru_cache(maxsize=16)
def _pictures(seed: int, frames: int, height: int, width: int, fps: float) -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder, made = Path(name), drawn(seed, frames, height, width)
        write_mp4(folder / "a.mp4", made, fps)
        write_png(folder / "a.png", made[len(made) // 2])
        return (folder / "a.mp4").read_bytes(), (folder / "a.png").read_bytes()


def drawn(seed: int, frames: int, height: int, width: int) -> np.ndarray:
    """A disc that moves over a ground, (T, H, W, 3) in [0, 1]; colours by the seed."""
    dice = np.random.default_rng(seed)
    ground, disc = dice.uniform(0.1, 0.4, 3), dice.uniform(0.5, 1.0, 3)
    y, x = np.mgrid[0:height, 0:width]
    made = np.empty((frames, height, width, 3), np.float32)
    for index in range(frames):
        centre = width * (0.25 + 0.5 * index / max(1, frames - 1))
        inside = (x - centre) ** 2 + (y - height / 2) ** 2 < (min(height, width) / 4) ** 2
        made[index] = np.where(inside[..., None], disc, ground)
    return made


def report_of(asked: Experiment, done: Sequence[int]) -> Report:
    """A report of the runs that are done."""
    return Report(
        created="2026-11-26T02:00:00Z",
        model=asked.spec.id,
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        seed=asked.seed,
        size=VideoSize(width=asked.width, height=asked.height, frames=asked.frames),
        fps=asked.fps,
        steps=asked.steps,
        guidance=asked.guidance,
        shift=asked.shift,
        solver=asked.solver or "unipc",
        environment=Environment(resolute="0", python="3", torch="2", platform="Linux", device="cpu", dtype="float32"),
        heatmap_gain=4.0,
        noise_floor_reason="the baseline was not run twice: it was not asked for",
        runs=tuple(_run(asked, number) for number in sorted({0, *done})),
    )


def _run(asked: Experiment, number: int) -> Run:
    track = (asked.baseline, *asked.tracks)[number]
    return Run(
        name=track.name,
        policy=track.policy.name if number and not track.levels else None,
        levels=track.levels.document() if track.levels else None,
        schedule=export(track.schedule),
        steps=track.steps,
        status="done",
        stages=tuple(
            _stage(asked, size, stage.first, stage.last, stage.rate)
            for stage, size in zip(track.stages, asked.sizes(track.schedule)[: len(track.stages)], strict=True)
        ),
        latency=Latency(total_s=4.0 - 0.5 * number, denoise_s=3.0 - 0.5 * number),
        memory=Memory(kind="rss_above_start", peak_bytes=10**8),
        speedup=Speedup(measured=3.0 / (3.0 - 0.5 * number), by_flops=1.0 + 0.3 * number),
        similarity=_similarity(asked, number),
        video=f"{number:02d}.mp4",
        heatmap=f"{number:02d}-difference.mp4" if number else None,
    )


def _similarity(asked: Experiment, number: int) -> Similarity:
    if not number:
        return Similarity.missing("this is the baseline")
    found = Similarity.missing("not measured here").metrics()
    values = tuple(30.0 - number + 0.1 * frame for frame in range(asked.frames))
    psnr = Metric(mean=sum(values) / len(values), min=min(values), frames=values)
    return Similarity(**(found | {"psnr": psnr}))


def _stage(asked: Experiment, size: LatentSize, first: int, last: int, rate: float) -> StageEntry:
    stride = asked.spec.geometry.stride
    return StageEntry(
        first_step=first, last_step=last, rate=rate, width=size.width * stride[2], height=size.height * stride[1],
        latent_width=size.width, latent_height=size.height, tokens=size.tokens,
    )  # fmt: skip
