"""Running an experiment: the baseline and every track, one after another, measured, written, reported.

The report is saved after every run, so that what is finished stays whatever happens next.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.comparing.baseline_store import Baseline, Baselines, KeptBaseline
from engine.comparing.beside_baseline import BesideBaseline
from engine.comparing.cached_pairs import CachedPairs
from engine.comparing.finished_runs import FinishedRuns
from engine.comparing.listeners import Learner, Listener, Silent
from engine.comparing.measured_run import measured_run
from engine.comparing.noise_floor import NoiseFloor
from engine.comparing.other_seed import OtherSeed
from engine.comparing.pipeline_runner import ScheduledRunner
from engine.comparing.result_files import HEAT_GAIN, ResultFiles
from engine.comparing.run_entry import environment, unfinished_run
from engine.comparing.runner import Runner
from engine.comparing.timing_again import timed_again, to_time_again
from engine.errors import Cancelled, ResoluteError, Skipped
from engine.experiments.conditions import check_complete
from engine.experiments.experiment import Experiment
from engine.measuring.device import settled_heap
from engine.models.loading import LoadedModel
from engine.reports.html import write_index
from engine.reports.report_file import save
from engine.reports.schema import Report, Run, VideoSize
from engine.wording import first_line

log = logging.getLogger(__name__)


def compare(
    experiment: Experiment,
    model: LoadedModel,
    out: Path,
    listener: Listener | None = None,
    *,
    noise_floor: bool = True,
    other_seed: bool | None = False,
    baselines: Baselines | None = None,
    earlier: Report | None = None,
    numbered: bool = False,
    learner: Learner | None = None,
) -> Report:
    """Run the baseline and all tracks; write videos, heat-maps, `report.json` and `index.html` into `out`.

    With `noise_floor` the baseline is run once more beforehand, which also warms up; else one step and decoding are.
    With `other_seed` the next seed of the prompt is run at full size too, with None where the baseline took no longer
    than `other_seed.CHEAP_S`. A run that fails is reported as failed and the others go on; after `Cancelled` the
    finished ones are kept. A baseline that `baselines` holds for these settings is taken over, and a new one is kept
    there. The finished runs of `earlier`, a report of the same experiment in `out`, are taken over too; those whose
    seconds were disturbed are timed again. With `numbered` files are named by number alone and every run gets a still
    picture, `NN.png`. With `learner` a few steps are timed after the baseline at sizes that the tracks need and nobody
    has timed: no run is changed by them. Pictures that the experiment only names must lie in `out` already.
    """
    check_complete(experiment.spec, experiment.conditions)
    listener, files = listener or Silent(), ResultFiles(out, experiment, numbered)
    experiment.conditions.keep(out)
    runner = _runner(experiment, model, files, listener)
    with settled_heap():
        return Comparison(runner, baselines, learner, earlier, other_seed).run(noise_floor)


def _runner(experiment: Experiment, model: LoadedModel, files: ResultFiles, listener: Listener) -> Runner[Any]:
    kind: type[Runner[Any]] = ScheduledRunner
    if experiment.spec.levels:
        from engine.comparing.level_runner import LevelRunner  # only who has such a model pays for its import

        kind = LevelRunner
    return kind(experiment, model, files, listener)


class Comparison:
    """The order of the runs, and what becomes of one that does not finish."""

    def __init__(
        self,
        runner: Runner[Any],
        baselines: Baselines | None,
        learner: Learner | None,
        earlier: Report | None,
        other_seed: bool | None,
    ) -> None:
        experiment, files = runner.experiment, runner.files
        self.runner, self.learner, self.listener, self.folder = runner, learner, runner.listener, files.folder
        self.tracks = (experiment.baseline, *experiment.tracks)
        self.kept = KeptBaseline(baselines if runner.takes_over else None, experiment, environment(runner.model))
        self.runs = FinishedRuns(self.tracks, earlier, files.folder)
        self.left = self.runs.left(self.kept.found is not None)
        self.floor = NoiseFloor(earlier)
        self.other = OtherSeed(other_seed, earlier, self.kept.found.other_seed if self.kept.found else None)
        self.beside = BesideBaseline(files, experiment.fps)
        self.pairs = CachedPairs(self.tracks, self.left, experiment.fps)
        if self.kept.found:
            self.beside.baseline = self.kept.found.frames
            self.pairs.seen(0, self.kept.found.frames)

    def run(self, noise_floor: bool) -> Report:
        """All that is left to run, the report saved after each."""
        report = None
        with self.runner.prepared():
            twice = noise_floor and 0 in self.left and not self.kept.found
            stop = self.floor.run_first(self.runner) if twice else False
            for number in self.left:
                run, stop = self._one(number, stop)
                run = self.runs.add(number, run)
                if number == 0:
                    self.floor.measure(self.beside.baseline, self.runner.experiment.fps)
                finished = number == 0 and run.status == "done"
                cancelled = finished and self._run_other_seed(run)
                report = self._save()
                cancelled = cancelled or (finished and self._calibrate())
                self.listener.run_ended(run)
                if stop:
                    break
                stop = cancelled
            else:
                report = self._time_again() or report
        report = report or self._save()
        write_index(report, self.folder)
        return report

    def _time_again(self) -> Report | None:
        """Time disturbed runs of an earlier try anew; whatever goes wrong, they stay as they were."""
        report = None
        for number in (found for found in to_time_again(self.runs) if found not in self.left):
            track, run = self.tracks[number], self.runs.by_number()[number]
            self.listener.run_started(track.name, number, len(self.tracks))
            try:
                steps = self._full_size_steps() if number else ()
                run = self.runs.add(number, timed_again(self.runner, track, run, steps))
            except Skipped:
                pass
            except Cancelled:
                break
            except Exception:
                log.exception("run %s was not timed again", track.name)
            report = self._save()
            self.listener.run_ended(run)
        return report

    def _one(self, number: int, cancelled: bool) -> tuple[Run, bool]:
        """One run and whether to stop after it."""
        track, found = self.tracks[number], self.kept.found
        try:
            if cancelled:
                raise Cancelled("cancelled")
            self.listener.run_started(track.name, number, len(self.tracks))
            return (self._taken_over(found) if found and number == 0 else self._measured(number)), False
        except Skipped:
            return unfinished_run(self.runner, track, "cancelled", "skipped"), False
        except Cancelled:
            return unfinished_run(self.runner, track, "cancelled", "cancelled before it was finished"), True
        except ResoluteError as error:
            return unfinished_run(self.runner, track, "failed", str(error)), False
        except Exception as error:
            log.exception("run %s failed", track.name)
            told = f"{type(error).__name__}: {first_line(error, 300, otherwise='')}"
            return unfinished_run(self.runner, track, "failed", told), False

    def _taken_over(self, found: Baseline) -> Run:
        """The baseline of an earlier comparison, with its files under this one's names."""
        name = self.runner.files.take_over(self.tracks[0], found)
        self.floor.not_run()
        return found.run.model_copy(update={"video": name})

    def _measured(self, number: int) -> Run:
        steps = self._full_size_steps() if number else ()
        run, frames = measured_run(self.runner, self.beside, number, self.tracks[number], steps)
        if number == 0 and self.floor.steps_s:
            run = run.model_copy(update={"latency": run.latency.model_copy(update={"repeat_s": self.floor.steps_s})})
        uncached = self.pairs.seen(number, frames)
        run = run.model_copy(update={"uncached": uncached.pop(number, None)})
        self.runs.tell(uncached)
        if number == 0 and run.video:
            self.kept.keep(run, frames, self.folder / run.video)
        return run

    def _full_size_steps(self) -> tuple[float, ...]:
        """Steps of the baseline timed now, where it is one of an earlier comparison."""
        base = self.runs.by_number().get(0)
        return self.runner.full_size_steps() if base and base.reused else ()

    def _run_other_seed(self, baseline: Run) -> bool:
        """How far another seed is from the baseline, kept with it. Whether it was cancelled."""
        known = self.other.similarity
        stop = self.other.run(self.runner, self.beside.baseline, baseline.latency.denoise_s)
        if self.other.similarity is not known:
            self.kept.tell(self.other.similarity)
        return stop

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

    def _save(self) -> Report:
        report = report_of(self.runner, self.floor, self.other, self.runs.in_order())
        save(report, self.folder / "report.json")
        return report


def report_of(runner: Runner[Any], floor: NoiseFloor, other: OtherSeed, runs: tuple[Run, ...]) -> Report:
    """The report of a comparison as far as it has come."""
    experiment = runner.experiment
    return Report(
        created=datetime.now(UTC),
        model=experiment.spec.id,
        prompt=experiment.prompt,
        negative_prompt=experiment.negative_prompt,
        seed=experiment.seed,
        size=VideoSize(width=experiment.width, height=experiment.height, frames=experiment.frames),
        fps=experiment.fps,
        steps=experiment.steps,
        guidance=experiment.guidance,
        guidance_2=experiment.guidance_2,
        shift=experiment.shift,
        solver=runner.solver,
        **experiment.conditions.document(),
        environment=environment(runner.model),
        noise_floor=floor.similarity,
        noise_floor_reason=floor.reason,
        other_seed=other.similarity,
        other_seed_reason=other.reason,
        heatmap_gain=HEAT_GAIN,
        runs=runs,
    )
