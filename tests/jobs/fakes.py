"""A runner without torch: real files, real reports, and faults that a prompt asks for.

The prompt is JSON: `step_s` seconds a step, `load_s` seconds to load, `die` how the process dies ("kill", "exit") at
`at` (run, step) or while loading where `at` is missing, `fail` {run: sentence}, `decode_s` seconds of decoding, `hold`
(run, step) where it waits for a file `go` in the data directory.
Every start and end is appended to `trace.txt` in the data directory.
"""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime

import numpy as np

from engine.errors import Cancelled, Skipped
from engine.jobs.queue import tracks_of
from engine.measuring.step_event import StepEvent
from engine.measuring.video import write_mp4, write_png
from engine.reports.closeness import Similarity
from engine.reports.report_file import save
from engine.reports.run_costs import Memory
from engine.reports.schema import Environment, Report, Run, VideoSize
from engine.schedules.lightx2v_keys import export


class FakeRunner:
    def load(self, spec, tell):
        self.spec = spec

    def run(self, task):
        return _Fake(task).run()

    def record(self, store, experiment, run):
        pass


class DiesAtImport:
    def __init__(self):
        os._exit(3)


class SlowToLoad(FakeRunner):
    """Loads for a minute, and hears nothing meanwhile."""

    def load(self, spec, tell):
        time.sleep(60)


class Deaf(FakeRunner):
    """Runs for a minute, and hears nothing meanwhile."""

    def run(self, task):
        task.listener.run_started("baseline", 0, 1)
        time.sleep(60)


class _Fake:
    def __init__(self, task):
        self.task, self.experiment = task, task.experiment
        self.faults = json.loads(task.experiment.prompt)
        self.trace_file = task.folder.parent.parent / "trace.txt"
        self.runs = {}

    def run(self):
        tracks = tracks_of(self.experiment)
        if self.task.earlier:
            names = [track.name for track in tracks]
            done = [run for run in self.task.earlier.runs if run.video and (self.task.folder / run.video).is_file()]
            self.runs = {names.index(run.name): run for run in done}
        self.trace("begin", os.getpid())
        for number, track in enumerate(tracks):
            if number in self.runs:
                continue
            self.runs[number], stop = self.one(number, track, len(tracks))
            report = self.save()
            self.task.listener.run_ended(self.runs[number])
            if stop:
                break
        (self.task.folder / "index.html").write_text("<!doctype html>")  # the real one has 5 MB of charts
        self.trace("end", os.getpid())
        return report

    def one(self, number, track, count):
        try:
            self.task.listener.run_started(track.name, number, count)
            self.trace("run", number)
            return self.measured(number, track), False
        except Skipped:
            return self.unfinished(track, "cancelled", "skipped"), False
        except Cancelled:
            return self.unfinished(track, "cancelled", "cancelled before it was finished"), True

    def measured(self, number, track):
        steps = track.schedule.infer_steps
        for step in range(1, steps + 1):
            time.sleep(self.faults.get("step_s", 0))
            if self.faults.get("hold") == [number, step]:
                self.wait_for_go()
            if self.faults.get("at") == [number, step]:
                self.die()
            if self.faults.get("not_finite") == [number, step]:
                return self.unfinished(track, "failed", f"the latents are not finite at step {step}")
            self.task.listener.step(track.name, self.event(track, step))
        if sentence := self.faults.get("fail", {}).get(str(number)):
            return self.unfinished(track, "failed", sentence)
        self.task.listener.phase(track.name, "decoding")
        ending = time.monotonic() + self.faults.get("decode_s", 0)
        while time.monotonic() < ending:
            self.task.listener.glance()
            time.sleep(0.01)
        return self.written(number, track)

    def wait_for_go(self):
        while not self.trace_file.with_name("go").exists():
            self.task.listener.glance()
            time.sleep(0.01)

    def written(self, number, track):
        frames = np.full((self.experiment.frames, 32, 32, 3), number / 8, np.float32)
        name = f"{number:02d}"
        write_mp4(self.task.folder / f"{name}.mp4", frames, self.experiment.fps)
        write_png(self.task.folder / f"{name}.png", frames[0])
        return self.record_of(track, status="done", video=f"{name}.mp4", peak_bytes=1)

    def die(self):
        self.trace("dies", os.getpid())
        if self.faults["die"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(int(self.faults["die"]))

    def event(self, track, step):
        stage = next(stage for stage in track.schedule.stages if step <= stage.last)
        return StepEvent(
            step=step,
            steps=track.schedule.infer_steps,
            stage=stage.index,
            stages=len(track.schedule.stages),
            rate=stage.rate,
            sigma=1 - step / track.schedule.infer_steps,
            latent_height=4,
            latent_width=4,
            seconds=self.faults.get("step_s", 0),
            memory_bytes=1,
            preview=lambda: np.full((5, 8, 8, 3), 10 * step % 256, np.uint8),
        )

    def unfinished(self, track, status, error):
        return self.record_of(track, status=status, error=error)

    def record_of(self, track, *, peak_bytes=None, **fields):
        return Run(
            name=track.name,
            policy=None if track.name == "baseline" else track.policy.name,
            schedule=export(track.schedule),
            memory=Memory(kind="rss_above_start", peak_bytes=peak_bytes, reason=None if peak_bytes else "not measured"),
            similarity=Similarity.missing("not compared"),
            **fields,
        )

    def save(self):
        own = self.experiment
        report = Report(
            created=datetime.now(UTC),
            model=own.spec.id,
            prompt=own.prompt,
            seed=own.seed,
            size=VideoSize(width=own.width, height=own.height, frames=own.frames),
            fps=own.fps,
            steps=own.steps,
            guidance=own.guidance,
            shift=own.shift,
            solver="unipc",
            environment=Environment(resolute="0", python="3", torch="none", platform="test", device="cpu", dtype="x"),
            noise_floor_reason="not run",
            runs=tuple(run for _, run in sorted(self.runs.items())),
        )
        save(report, self.task.folder / "report.json")
        return report

    def trace(self, *words):
        with self.trace_file.open("a") as file:
            print(self.task.folder.name, *words, file=file)
