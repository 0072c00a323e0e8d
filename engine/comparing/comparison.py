"""Running an experiment: the baseline and every track, one after another, measured, written, reported.

The report is saved after every run, so that what is finished stays whatever happens next.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.comparing.baseline_store import Baseline, Baselines, key_of
from engine.comparing.beside_baseline import Against
from engine.comparing.cached_pairs import Pairs
from engine.comparing.listeners import Learner, Listener, Silent
from engine.comparing.pipeline_runner import ScheduledRunner
from engine.comparing.result_files import HEAT_GAIN, Artefacts
from engine.comparing.run_entry import environment, evaluations_of, latency_of, memory_of, stages_of
from engine.comparing.runner import Runner, RunResult
from engine.comparing.settling import BandWatch
from engine.errors import Cancelled, ResoluteError, Skipped
from engine.experiments.conditions import check_complete
from engine.experiments.experiment import Experiment, Track
from engine.measuring.device import settled_heap
from engine.measuring.similarity import similarity
from engine.models.loading import LoadedModel
from engine.reports import schema as schema
from engine.reports.html import write_index
from engine.reports.schema import Report, Run, Similarity
from engine.schedules.lightx2v_keys import export

log = logging.getLogger(__name__)


def compare(
    experiment: Experiment,
    model: LoadedModel,
    out: Path,
    listener: Listener | None = None,
    *,
    noise_floor: bool = True,
    baselines: Baselines | None = None,
    earlier: Report | None = None,
    numbered: bool = False,
    learner: Learner | None = None,
) -> Report:
    """Run the baseline and all tracks; write videos, heat-maps, `report.json` and `index.html` into `out`.

    With `noise_floor` the baseline is run once more beforehand, which also warms up; without, one step is. A run that
    fails is reported as failed and the others go on; after `Cancelled` the finished ones are kept in the report.
    A baseline that `baselines` holds for these settings is taken over, and a new one is kept there. The finished runs
    of `earlier`, an unfinished report of the same experiment in `out`, are taken over too. With `numbered` files are
    named by number alone and every run gets a still picture, `NN.png`. With `learner` a few steps are timed after the
    baseline at sizes that the tracks need and nobody has timed: no run is changed by them. Pictures that the
    experiment only names must lie in `out` already.
    """
    check_complete(experiment.spec, experiment.conditions)
    listener, files = listener or Silent(), Artefacts(out, experiment, numbered)
    experiment.conditions.keep(out)
    runner = _runner(experiment, model, files, listener)
    with settled_heap():
        return Comparison(runner, baselines, learner).run(noise_floor, earlier)


def _runner(experiment: Experiment, model: LoadedModel, files: Artefacts, listener: Listener) -> Runner[Any]:
    kind: type[Runner[Any]] = ScheduledRunner
    if experiment.spec.levels:
        from engine.comparing.level_runner import LevelRunner  # only who has such a model pays for its import

        kind = LevelRunner
    return kind(experiment, model, files, listener)


class Comparison:
    """The state of one comparison."""

    def __init__(self, runner: Runner[Any], baselines: Baselines | None, learner: Learner | None) -> None:
        self.runner, self.learner = runner, learner
        self.experiment, self.model, self.listener = runner.experiment, runner.model, runner.listener
        self.files, self.out = runner.files, runner.files.folder
        self.baselines = baselines if runner.takes_over else None
        self.key = key_of(self.experiment, environment(self.model)) if self.baselines else ""
        self.against = Against(self.files, self.experiment.fps)
        self.floor: Similarity | None = None
        self.floor_reason: str | None = "the baseline was not run twice: it was not asked for"
        self.runs: dict[int, Run] = {}
        self.pairs = Pairs((), (), self.experiment.fps)

    def run(self, noise_floor: bool, earlier: Report | None) -> Report:
        experiment = self.experiment
        tracks = (experiment.baseline, *experiment.tracks)
        found = self.baselines.find(self.key) if self.baselines else None
        left = self._left(tracks, earlier, found)
        self.pairs = Pairs(tracks, left, experiment.fps)
        if found:
            self.against.baseline = found.frames
            self.pairs.seen(0, found.frames)
        report = None
        with self.runner.prepared():
            twin, stop = self._first_baseline() if noise_floor and 0 in left and not found else (None, False)
            for number in left:
                run, stop = self._one(number, tracks[number], len(tracks), stop, found)
                if run.status != "done" and number in self.runs:
                    run = self.runs[number]  # finished earlier, and only run again for its frames
                self.runs[number] = run
                if number == 0:
                    self._set_floor(twin)
                    self._set_speedups()
                report = self._save()
                cancelled = number == 0 and run.status == "done" and self._calibrate()
                self.listener.run_ended(run)
                if stop:
                    break
                stop = cancelled
        report = report or self._save()
        write_index(report, self.out)
        return report

    def _left(self, tracks: tuple[Track, ...], earlier: Report | None, found: Baseline | None) -> list[int]:
        """The numbers that are left to run, in order; what is finished is taken over."""
        if earlier is not None:
            self.runs = dict(self._finished(tracks, earlier))
            self.floor, self.floor_reason = earlier.noise_floor, earlier.noise_floor_reason
        left = [number for number in range(len(tracks)) if number not in self.runs]
        if left and left[0] > 0 and found is None:  # similarity needs the baseline's frames
            left.insert(0, 0)
        return left

    def _finished(self, tracks: tuple[Track, ...], earlier: Report) -> Iterator[tuple[int, Run]]:
        numbers = {track.name: number for number, track in enumerate(tracks)}
        for run in earlier.runs:
            files = [name for name in (run.video, run.heatmap) if name]
            if run.status == "done" and run.name in numbers and all((self.out / name).is_file() for name in files):
                yield numbers[run.name], run

    def _set_speedups(self) -> None:
        """Runs that were taken over are measured by the baseline of this report."""
        base = self.runs[0].latency.denoise_s if self.runs[0].status == "done" else None
        for number, run in self.runs.items():
            if number and base and run.latency.denoise_s:
                measured = run.speedup.model_copy(update={"measured": base / run.latency.denoise_s})
                self.runs[number] = run.model_copy(update={"speedup": measured})

    def _first_baseline(self) -> tuple[np.ndarray | None, bool]:
        """The run that the baseline is compared with for the noise floor; it warms everything up. And: stop now?"""
        try:
            self.listener.phase("baseline", "warming up")
            return self.runner.run(self.experiment.baseline).frames, False
        except Skipped:
            self.floor_reason = "the baseline was skipped"
            return None, False
        except Cancelled:
            self.floor_reason = "the comparison was cancelled"
            return None, True
        except ResoluteError as error:
            self.floor_reason = f"its run failed: {error}"
            return None, False

    def _calibrate(self) -> bool:
        """Time sizes that the tracks need and nobody has timed. Whether it was cancelled."""
        if self.learner is None:
            return False
        try:
            self.runner.calibrate(self.learner)
        except Skipped:
            return False
        except Cancelled:
            return True
        except Exception:  # predictions are never worth a run
            log.exception("nothing was calibrated")
        return False

    def _set_floor(self, twin: np.ndarray | None) -> None:
        if twin is None or self.against.baseline is None:
            return
        self.floor = Similarity(**similarity(twin, self.against.baseline, self.experiment.fps))
        self.floor_reason = None

    def _one(self, number: int, track: Track, tracks: int, cancelled: bool, found: Baseline | None) -> tuple[Run, bool]:
        """One run and whether to stop after it."""
        try:
            if cancelled:
                raise Cancelled("cancelled")
            self.listener.run_started(track.name, number, tracks)
            if found and number == 0:
                return self._taken_over(found), False
            return self._measured(number, track), False
        except Skipped:
            return self._unfinished(track, "cancelled", "skipped"), False
        except Cancelled:
            return self._unfinished(track, "cancelled", "cancelled before it was finished"), True
        except ResoluteError as error:
            return self._unfinished(track, "failed", str(error)), False
        except Exception as error:
            log.exception("run %s failed", track.name)
            first = (str(error).splitlines() or [""])[0][:300]
            return self._unfinished(track, "failed", f"{type(error).__name__}: {first}"), False

    def _taken_over(self, found: Baseline) -> Run:
        """The baseline of an earlier comparison, with its files under this one's names."""
        name = self.files.take_over(self.experiment.baseline, found)
        self.floor_reason = "the baseline was not run: it is that of an earlier comparison"
        return found.run.model_copy(update={"video": name})

    def _measured(self, number: int, track: Track) -> Run:
        runner, cost = self.runner, self.runner.cost(track)
        warm_up_s = runner.warm_up(track)
        watch = BandWatch()
        result = runner.run(track, None if number else watch)
        self.listener.phase(track.name, "writing the video")
        written = self.against.write(number, track, result.frames)
        self.listener.phase(track.name, "comparing with the baseline")
        heat, similar = self.against.compare(number, track, result.frames, written)
        flops = runner.flops(track, cost, result)
        run = Run(
            name=track.name,
            schedule=export(track.schedule),
            status="done",
            stages=stages_of(cost, self.experiment),
            sigmas=result.sigmas,
            latency=latency_of(result, written.encode_s, warm_up_s),
            memory=memory_of(result),
            flops=flops,
            speedup=self._speedup(number, result, cost.baseline_flops / flops),
            similarity=runner.remarked(track, similar),
            evaluations=evaluations_of(result),
            uncached=self._uncached(number, result.frames),
            video=written.video,
            heatmap=heat,
            bands=watch.bands(),
            **runner.choice(track),
            **runner.extras(number, track, result),
        )
        if number == 0 and self.baselines:
            self.baselines.keep(self.key, run, result.frames, self.out / written.video)
        return run

    def _uncached(self, number: int, frames: np.ndarray) -> schema.Uncached | None:
        """How like a run is to the same without its cache; runs that have waited for this one are told too."""
        found = self.pairs.seen(number, frames)
        for k, uncached in found.items():
            if k in self.runs and k != number:
                self.runs[k] = self.runs[k].model_copy(update={"uncached": uncached})
        return found.get(number)

    def _speedup(self, number: int, result: RunResult, by_flops: float) -> schema.Speedup:
        base = result.readings.denoise_s if number == 0 else None
        if number and self.runs[0].status == "done":
            base = self.runs[0].latency.denoise_s
        measured = base / result.readings.denoise_s if base else None
        return schema.Speedup(measured=measured, by_flops=by_flops)

    def _unfinished(self, track: Track, status: Literal["failed", "cancelled"], error: str) -> Run:
        cuda = self.model.device.type == "cuda"
        return Run(
            name=track.name,
            schedule=export(track.schedule),
            status=status,
            error=error,
            memory=schema.Memory(kind="cuda" if cuda else "rss_above_start", peak_bytes=None, reason=f"run {status}"),
            similarity=Similarity.missing(f"this run was {status}"),
            **self.runner.choice(track),
        )

    def _save(self) -> Report:
        experiment = self.experiment
        report = Report(
            created=datetime.now(UTC),
            model=experiment.spec.id,
            prompt=experiment.prompt,
            negative_prompt=experiment.negative_prompt,
            seed=experiment.seed,
            size=schema.VideoSize(width=experiment.width, height=experiment.height, frames=experiment.frames),
            fps=experiment.fps,
            steps=experiment.steps,
            guidance=experiment.guidance,
            guidance_2=experiment.guidance_2,
            shift=experiment.shift,
            solver=self.runner.solver,
            **experiment.conditions.document(),
            environment=environment(self.model),
            noise_floor=self.floor,
            noise_floor_reason=self.floor_reason,
            heatmap_gain=HEAT_GAIN,
            runs=tuple(run for _, run in sorted(self.runs.items())),
        )
        schema.save(report, self.out / "report.json")
        return report
