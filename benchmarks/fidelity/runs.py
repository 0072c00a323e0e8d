"""Running the study: every missing cell of every pair, appended to the file as it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import engine
from benchmarks.fidelity.ablations import policy_or_variant, variants_known
from benchmarks.fidelity.driving import request_of
from benchmarks.fidelity.matrix import FLAT, NONE, OWN, Cell, Pair, cache_of, resolution
from benchmarks.fidelity.prompts import HELD_OUT, Wanted, marks
from benchmarks.fidelity.recall import Recall
from benchmarks.fidelity.rows import Row, append_row, check_setup, digest_of, done, read_rows, weights_of
from engine.costs.cached_flops import counted_flops
from engine.costs.flops_count import schedule_cost
from engine.errors import InvalidInput
from engine.experiments.experiment import Experiment, make_experiment
from engine.experiments.settings import Settings
from engine.measuring.similarity import Metric, psnr, psnr_pooled, ssim
from engine.models.loading import LoadedModel, scheduler_for
from engine.patching import patched
from engine.sampling.cache_calibration import Calibration
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedResult
from engine.sampling.shared_start import RunMemo
from engine.schedules.schedule import ResolutionSchedule
from training.judge import Judge

METRICS: dict[str, Callable[[np.ndarray, np.ndarray, float], Metric]] = {
    "psnr_pooled": psnr_pooled,
    "psnr": psnr,
    "ssim": ssim,
}
DECIDES = ("schedules", "switching", "sampling")  # the packages of the engine that decide what a run computes
OTHER_SEED = 1000  # added to the seed for a run that shares no noise with the baseline


@dataclass
class Study:
    """What stays the same from cell to cell."""

    model: LoadedModel
    judge: Judge
    judge_hash: str
    out: Path
    cells: Sequence[Cell]
    wanted: Sequence[Wanted]
    until: float = float("inf")  # of the monotonic clock: no cell begins after it
    prompts: str = HELD_OUT  # which set they are of

    def setup(self) -> Row:
        """What decides the figures, beside the cell."""
        spec = self.model.spec
        return {
            "model": spec.id,
            "weights": weights_of(Path(spec.location)),
            "judge": self.judge_hash,
            "prompts": self.prompts,
            "dtype": str(self.model.pipe.dtype).removeprefix("torch."),
            "guidance": spec.defaults.guidance,
            "shift": spec.defaults.shift,
            "code": digest_of(path for name in DECIDES for path in Path(engine.__file__).parent.glob(f"{name}/*.py")),
        }

    def run(self, found: Sequence[Pair]) -> int:
        """Run what is missing, turn by turn and pair by pair; how many cells were run."""
        setup, rows = self.setup(), read_rows(self.out)
        if rows:
            check_setup(self.out, setup, rows[0]["setup"])
        finished, count = done(rows), 0
        turns = {cell.turn for cell in self.cells}
        order = sorted(((pair.again, turn, pair) for pair in found for turn in turns), key=lambda one: one[:2])
        for _, turn, pair in order:
            prompt = self.wanted[pair.prompt].prompt
            mine = (cell for cell in self.cells if cell.turn == turn and pair.runs(cell))
            todo = [cell for cell in mine if (prompt, pair.seed, cell.key) not in finished]
            if todo and time.monotonic() < self.until:
                count += PairRun(self, pair, setup).run(todo)
        return count


@dataclass(frozen=True)
class Taken:
    """A run; the processor's seconds of its text and its loop, as if it had computed all itself; the loop's FLOPs."""

    result: StagedResult
    seconds: float
    flops: int


class Stopwatch:
    """In a function's place: the processor's seconds that its calls take."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function, self.seconds = function, 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        begun = time.process_time()
        try:
            return self._function(*args, **kwargs)
        finally:
            self.seconds += time.process_time() - begun


class PairRun:
    """All missing cells of one prompt and seed, each measured against the baseline of its steps."""

    def __init__(self, study: Study, pair: Pair, setup: Row) -> None:
        self.study, self.pair, self.setup = study, pair, setup
        self.wanted = study.wanted[pair.prompt]
        self.recall = Recall(study.model.pipe.transformer)
        self.memos: dict[tuple[Any, ...], RunMemo] = {}
        self.baselines: dict[int, Taken] = {}

    def run(self, todo: Sequence[Cell]) -> int:
        """Run cells until the time is up; how many were run."""
        begun = time.monotonic()
        for count, cell in enumerate(todo):
            if time.monotonic() >= self.study.until:
                return count
            append_row(self.study.out, self.row(cell))
        spent = time.monotonic() - begun
        print(f"pair {self.pair.number}: {self.wanted.prompt!r} seed {self.pair.seed}, {spent:.0f} s", flush=True)
        return len(todo)

    def row(self, cell: Cell) -> Row:
        """One cell, run and measured; a policy that refuses it is noted with its reason."""
        found: Row = {
            "setup": self.setup,
            "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
            "prompt": self.wanted.prompt,
            "seed": self.pair.seed,
            "cell": cell.key,
        }
        try:
            return found | self.measured(cell)
        except InvalidInput as error:
            return found | {"refused": str(error)}

    def measured(self, cell: Cell) -> Row:
        """The figures of one cell."""
        taken = self.baseline(cell.steps) if cell.is_baseline else self.taken(cell)
        frames, base = taken.result.frames, None
        scores: dict[str, float | None] = dict.fromkeys(METRICS)
        if cell.size == 1 and not cell.is_baseline:
            base = self.baseline(cell.against).result.frames
            fps = self.study.model.spec.defaults.fps
            scores |= {name: METRICS[name](frames, base, fps).mean for name in METRICS}
        return {
            **scores,
            "contrast": None if base is None else float(np.std(frames) / np.std(base)),
            "marks": marks(self.study.judge, frames, self.wanted.scene),
            "cpu_s": round(taken.seconds, 4),
            "flops": taken.flops,
        }

    def baseline(self, steps: int) -> Taken:
        """The full-resolution run of a step count; made once for this pair."""
        if steps not in self.baselines:
            self.baselines[steps] = self.taken(Cell("grid", FLAT, steps=steps, against=steps))
        return self.baselines[steps]

    def taken(self, cell: Cell) -> Taken:
        """Run a cell. A feature cache makes the denoiser another one: its answers are never recalled."""
        experiment, pipe = self.experiment(cell), self.study.model.pipe
        schedule = resolution(cell.schedule, cell.steps)
        policy = policy_or_variant(OWN if cell.policy == NONE else cell.policy)
        memo = self.memos.setdefault((experiment.seed, cell.steps, cell.size), RunMemo())
        request = request_of(self.study.model, experiment, schedule, policy)
        if cell.cached and (choice := cache_of(cell.schedule)):
            complete = Calibration(experiment.spec, experiment.height, memo).complete(choice, request)
            request = replace(request, cache=complete)
        recalling = self.recall.on() if request.cache is None else nullcontext()
        self.recall.spared_s = 0.0
        decoding = Stopwatch(pipe.vae.decode)
        scheduler = scheduler_for(pipe, None, experiment.shift)
        with patched(pipe, scheduler=scheduler), patched(pipe.vae, decode=decoding), variants_known(), recalling:
            begun = time.process_time()
            result = run_staged(request, memo=memo)
            seconds = time.process_time() - begun - decoding.seconds
        return Taken(result, seconds + self.recall.spared_s, self.flops(experiment, schedule, result))

    def experiment(self, cell: Cell) -> Experiment:
        """A cell's prompt, seed, steps and size; a smaller video has the shift of its resolution."""
        spec, own = self.study.model.spec, self.study.model.spec.defaults
        return make_experiment(
            spec,
            [],
            Settings(
                prompt=self.wanted.prompt,
                seed=self.pair.seed + OTHER_SEED * cell.other_seed,
                steps=cell.steps,
                height=round(own.height * cell.size),
                width=round(own.width * cell.size),
                shift=None if cell.size == 1 or own.shift is None else own.shift * cell.size,
            ),
        )

    def flops(self, experiment: Experiment, schedule: ResolutionSchedule, result: StagedResult) -> int:
        """Of the denoising loop, what a cache left out taken off."""
        spec = experiment.spec
        cost = schedule_cost(
            spec,
            schedule,
            height=experiment.height,
            width=experiment.width,
            frames=experiment.frames,
            guidance=experiment.guidance,
        )
        return counted_flops(cost, result.evaluations, spec.transformer, spec.defaults.max_sequence_length)
