"""Running an experiment: the baseline and every track, one after another, measured, written, reported.

The report is saved after every run, so that what is finished stays whatever happens next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from engine import report as schema
from engine.artefacts import HEAT_GAIN, Artefacts
from engine.bands import BandWatch
from engine.baselines import Baseline, Baselines, key_of
from engine.caches.calibration import Calibration
from engine.caches.flops import counted_flops
from engine.caches.pairs import Pairs
from engine.calibrate import probe, probe_rates
from engine.conditions import check_complete, pixels_of
from engine.cost import Cost, schedule_cost
from engine.errors import Cancelled, ResoluteError, Skipped
from engine.events import StepEvent
from engine.experiment import Experiment, Track
from engine.lightx2v import export
from engine.listeners import Learner, Listener, Silent
from engine.memo import RunMemo
from engine.meter import settled_heap, trim_heap
from engine.metrics import Metric, own_similarity, similarity
from engine.models.loading import LoadedModel, scheduler_for, solver_name
from engine.outcome import environment, evaluations_of, latency_of, memory_of, sigmas_of, stages_of
from engine.page import write_index
from engine.report import Report, Run, Similarity
from engine.request import StagedRequest, StagedResult
from engine.schedule import flat
from engine.sizes import LatentSize, full_size, latent_size
from engine.staged import run_staged
from engine.views import patched

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
    kind = Comparison
    if experiment.spec.levels:
        from engine.hpdm.comparing import LevelComparison  # it builds on this module

        kind, baselines = LevelComparison, None
    comparison = kind(experiment, model, out, listener or Silent(), baselines, numbered, learner)
    with settled_heap():
        return comparison.run(noise_floor, earlier)


class Comparison:
    """The state of one comparison, of pipelines that are driven along a schedule; other kinds of models override."""

    def __init__(
        self,
        experiment: Experiment,
        model: LoadedModel,
        out: Path,
        listener: Listener,
        baselines: Baselines | None,
        numbered: bool,
        learner: Learner | None,
    ) -> None:
        self.experiment, self.model, self.out, self.listener = experiment, model, out, listener
        self.baselines, self.learner = baselines, learner
        check_complete(experiment.spec, experiment.conditions)
        self.files = Artefacts(out, experiment, numbered)
        experiment.conditions.keep(out)
        size = experiment.height, experiment.width, experiment.frames
        self.pictures = pixels_of(experiment.conditions, out, *size)
        self.key = key_of(experiment, environment(model)) if baselines else ""
        self.memo = RunMemo()
        self.baseline: np.ndarray | None = None
        self.floor: Similarity | None = None
        self.floor_reason: str | None = "the baseline was not run twice: it was not asked for"
        self.runs: dict[int, Run] = {}
        self.calibration = Calibration(experiment.spec, experiment.height, self.memo)
        self.pairs = Pairs((), (), experiment.fps)

    def run(self, noise_floor: bool, earlier: Report | None) -> Report:
        experiment = self.experiment
        tracks = (experiment.baseline, *experiment.tracks)
        found = self.baselines.find(self.key) if self.baselines else None
        left = self._left(tracks, earlier, found)
        self.pairs = Pairs(tracks, left, experiment.fps)
        if found:
            self.baseline = found.frames
            self.pairs.seen(0, found.frames)
        report = None
        with self._prepared():
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

    def _prepared(self) -> AbstractContextManager[None]:
        """The model with this experiment's solver and shift."""
        pipe, experiment = self.model.pipe, self.experiment
        return patched(pipe, scheduler=scheduler_for(pipe, experiment.solver, experiment.shift))

    def _solver(self) -> str:
        return self.experiment.solver or solver_name(self.model.pipe.scheduler)

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
            return self._staged(self.experiment.baseline).frames, False
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
        """Time a few steps at sizes that the tracks need and nobody has timed. Whether it was cancelled."""
        experiment, spec, name = self.experiment, self.experiment.spec, self.experiment.baseline.name
        if self.learner is None:
            return False
        size = experiment.height, experiment.width, experiment.frames
        needed = [one for track in experiment.tracks for one in experiment.sizes(track.schedule)]
        try:
            rates = probe_rates(spec, size, needed, self.learner.has)
            if rates:
                full = full_size(spec.geometry, *size)
                self._warm_up(name, [latent_size(full, rate, spec.geometry.patch) for rate in (*rates, 1.0)])
                request = self._request(experiment.baseline)
                self.learner.probed(probe(request, spec, rates, lambda _: self._calibrating(name), self.memo))
        except Skipped:
            return False
        except Cancelled:
            return True
        except Exception:  # predictions are never worth a run
            log.exception("nothing was calibrated")
        return False

    def _calibrating(self, name: str) -> None:
        self.listener.phase(name, "timing other sizes")

    def _set_floor(self, twin: np.ndarray | None) -> None:
        if twin is None or self.baseline is None:
            return
        self.floor = Similarity(**similarity(twin, self.baseline, self.experiment.fps))
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
        experiment = self.experiment
        cost = self._cost(track)
        warm_up_s = self._warm_up(track.name, experiment.sizes(track.schedule))
        watch = BandWatch()
        result = self._staged(track, None if number else watch)
        self.listener.phase(track.name, "writing the video")
        video, encode_s, own = self._written(number, track, result.frames)
        self.files.still(number, track, result.frames)
        self.listener.phase(track.name, "comparing with the baseline")
        heat, similar = self._against_baseline(number, track, result.frames, own)
        flops = self._flops(track, cost, result)
        uncached = self._uncached(number, result.frames)
        run = Run(
            name=track.name,
            policy=None if number == 0 else track.policy.name,
            schedule=export(track.schedule),
            status="done",
            stages=stages_of(cost, experiment),
            sigmas=self._sigmas(result),
            latency=latency_of(result, encode_s, warm_up_s),
            memory=memory_of(result),
            flops=flops,
            speedup=self._speedup(number, result, cost.baseline_flops / flops),
            similarity=similar,
            cache=track.cache.document() if track.cache else None,
            evaluations=evaluations_of(result),
            uncached=uncached,
            video=video,
            heatmap=heat,
            bands=watch.bands(),
        )
        run = run.model_copy(update=self._details(number, track, result))
        if number == 0 and self.baselines:
            self.baselines.keep(self.key, run, result.frames, self.out / video)
        return run

    def _sigmas(self, result: StagedResult) -> tuple[float, ...]:
        return sigmas_of(result)

    def _details(self, number: int, track: Track, result: StagedResult) -> dict[str, object]:
        """What only this kind of model's runs have, as fields of `Run`."""
        return {}

    def _flops(self, track: Track, cost: Cost, result: StagedResult) -> int:
        """What the run really took: of skipped evaluations no more is left out than was counted."""
        if track.cache is None:
            return cost.flops
        spec = self.experiment.spec
        return counted_flops(cost, result.evaluations, spec.transformer, spec.defaults.max_sequence_length)

    def _uncached(self, number: int, frames: np.ndarray) -> schema.Uncached | None:
        """How like a run is to the same without its cache; runs that have waited for this one are told too."""
        found = self.pairs.seen(number, frames)
        for k, uncached in found.items():
            if k in self.runs and k != number:
                self.runs[k] = self.runs[k].model_copy(update={"uncached": uncached})
        return found.get(number)

    def _request(self, track: Track) -> StagedRequest:
        experiment = self.experiment
        return StagedRequest(
            pipe=self.model.pipe,
            family=experiment.spec.family,
            call=experiment.call() | self.pictures,
            schedule=track.schedule,
            policy=track.policy,
            sizes=experiment.sizes(track.schedule),
            geometry=experiment.spec.geometry,
            seed=experiment.seed,
        )

    def _staged(self, track: Track, watch: BandWatch | None = None) -> StagedResult:
        request = self._request(track)
        if track.cache:
            told = "calibrating its cache"
            cache = self.calibration.complete(track.cache, request, lambda _: self.listener.phase(track.name, told))
            request = replace(request, cache=cache)

        def on_step(event: StepEvent) -> None:
            self.listener.step(track.name, event)
            if event.step == event.steps:
                self.listener.phase(track.name, "decoding")

        trim_heap()
        see = watch.see if watch else None
        result = run_staged(request, on_step, memo=self.memo, preview=lambda: self.model.preview, watch=see)
        self.model.warm.update(_grid(size) for size in request.sizes)
        return result

    def _warm_up(self, name: str, sizes: Sequence[LatentSize]) -> float | None:
        """One unmeasured step at every size that has not run yet: kernels are chosen and memory is taken there."""
        cold = {_grid(size): size for size in sizes if _grid(size) not in self.model.warm}
        if not cold:
            return None
        self.listener.phase(name, "warming up")
        begun, request = time.perf_counter(), self._request(self.experiment.baseline)
        least = self.experiment.spec.family.least_steps
        for grid, size in cold.items():
            run_staged(replace(request, schedule=flat(least), sizes=(size,), decode=False), memo=self.memo)
            self.model.warm.add(grid)
        return time.perf_counter() - begun

    def _cost(self, track: Track) -> Cost:
        experiment = self.experiment
        return schedule_cost(
            experiment.spec,
            track.schedule,
            height=experiment.height,
            width=experiment.width,
            frames=experiment.frames,
            guidance=experiment.guidance,
        )

    def _written(self, number: int, track: Track, frames: np.ndarray) -> tuple[str, float, dict[str, Metric] | None]:
        """The video's name, how long writing took, and the metrics computed on another core meanwhile."""
        base = self.baseline if number else None
        with ThreadPoolExecutor(max_workers=1) as pool:
            own = None if base is None else pool.submit(own_similarity, frames, base, self.experiment.fps)
            begun = time.perf_counter()
            video = self.files.video(number, track, frames)
            encode_s = time.perf_counter() - begun
            return video, encode_s, own.result() if own else None

    def _against_baseline(
        self, number: int, track: Track, frames: np.ndarray, own: dict[str, Metric] | None
    ) -> tuple[str | None, Similarity]:
        """The heat-map's name and all metrics; the heat-map is written while the metrics are computed."""
        if number == 0:
            self.baseline = frames
            return None, Similarity.missing("this is the baseline")
        if self.baseline is None:
            return None, Similarity.missing("there is no baseline: its run did not finish")
        with ThreadPoolExecutor(max_workers=1) as pool:
            heat = pool.submit(self.files.heat, number, track, frames, self.baseline)
            similar = Similarity(**similarity(frames, self.baseline, self.experiment.fps, own))
            return heat.result(), similar

    def _speedup(self, number: int, result: StagedResult, by_flops: float) -> schema.Speedup:
        base = result.readings.denoise_s if number == 0 else None
        if number and self.runs[0].status == "done":
            base = self.runs[0].latency.denoise_s
        measured = base / result.readings.denoise_s if base else None
        return schema.Speedup(measured=measured, by_flops=by_flops)

    def _unfinished(self, track: Track, status: Literal["failed", "cancelled"], error: str) -> Run:
        cuda = self.model.device.type == "cuda"
        return Run(
            name=track.name,
            policy=None if track.name == "baseline" else track.policy.name,
            schedule=export(track.schedule),
            cache=track.cache.document() if track.cache else None,
            status=status,
            error=error,
            memory=schema.Memory(kind="cuda" if cuda else "rss_above_start", peak_bytes=None, reason=f"run {status}"),
            similarity=Similarity.missing(f"this run was {status}"),
        )

    def _save(self) -> Report:
        experiment = self.experiment
        report = Report(
            created=datetime.now(UTC),
            model=experiment.spec.id,
            prompt=experiment.prompt,
            negative_prompt=experiment.negative_prompt,
            seed=experiment.seed,
            size=schema.Size(width=experiment.width, height=experiment.height, frames=experiment.frames),
            fps=experiment.fps,
            steps=experiment.steps,
            guidance=experiment.guidance,
            shift=experiment.shift,
            solver=self._solver(),
            **experiment.conditions.document(),
            environment=environment(self.model),
            noise_floor=self.floor,
            noise_floor_reason=self.floor_reason,
            heatmap_gain=HEAT_GAIN,
            runs=tuple(run for _, run in sorted(self.runs.items())),
        )
        schema.save(report, self.out / "report.json")
        return report


def _grid(size: LatentSize) -> tuple[int, int, int]:
    return size.frames, size.height, size.width
