"""A soak of the jobs: clients that submit, cancel, skip, retry and look, while the worker is killed every minute.

    python -m benchmarks.soak --minutes 10 --out out/soak.json

The runner is the tests' fake one, unless `--runner engine.jobs.model_runner:TorchRunner` runs the shipped
model. What must hold at the end: no accepted job lost or run twice, one job at a time, memory, files and threads
flat after a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from engine.errors import ResoluteError
from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.jobs import logs
from engine.jobs.job_errors import NotFound
from engine.jobs.limits import Limits
from engine.jobs.malloc_pools import share_pools
from engine.jobs.service import Jobs
from engine.models.catalogue import catalogue_model
from engine.switching.policies import DEFAULT_POLICY, policy_named

FAKE = "tests.jobs.fakes:FakeRunner"
CLIENTS = 10
KILL_EVERY_S = 60.0
LOOK_EVERY_S = 5.0
PAGE = 24  # jobs on a page of the library


def experiment(chance: random.Random, fake: bool) -> Experiment:
    """A short comparison; the fake runner reads how long a step takes from the prompt."""
    steps = chance.randint(2, 6)
    tracks = [Track("half", load_preset("0.5@1", steps).schedule, policy_named(DEFAULT_POLICY))]
    prompt = json.dumps({"step_s": 0.01 * chance.random()}) if fake else "a red apple bouncing over blue stripes"
    spec, seed = catalogue_model("emoji-wan"), chance.randrange(1000)
    return make_experiment(spec, tracks, Settings(prompt=prompt, seed=seed, steps=steps, height=64, width=64, frames=5))


class Client(threading.Thread):
    """One visitor: what it does is drawn by chance; what it was promised is kept."""

    def __init__(self, jobs: Jobs, number: int, fake: bool, stop: threading.Event) -> None:
        super().__init__(name=f"client-{number}")
        self.jobs, self.fake, self.stop = jobs, fake, stop
        self.chance = random.Random(number)
        self.accepted: list[str] = []
        self.retried: Counter[str] = Counter()
        self.refused = 0
        self.broken: list[str] = []

    def run(self) -> None:
        while not self.stop.wait(self.chance.uniform(0.02, 0.3)):
            try:
                self.act()
            except ResoluteError:
                self.refused += 1
            except Exception as error:
                self.broken.append(repr(error))

    def act(self) -> None:
        action = self.chance.random()
        if action < 0.25 or not self.accepted:
            self.accepted.append(self.jobs.submit(experiment(self.chance, self.fake), visitor=self.name))
            return
        job = self.chance.choice(self.accepted[-5:])
        if action < 0.33:
            self.jobs.cancel(job)
        elif action < 0.38:
            self.jobs.skip(job, self.chance.randrange(2))
        elif action < 0.43:
            self.jobs.retry(job)
            self.retried[job] += 1
        elif action < 0.46:
            self.jobs.library(limit=PAGE)  # what the page asks for when its library is looked at
            self.jobs.library_count()
            self.jobs.first_to_go()
        else:  # a page that follows, or is loaded again
            self.jobs.view(job)


class Watcher(threading.Thread):
    """Kills the worker every minute, and looks at what the processes take."""

    def __init__(self, jobs: Jobs, stop: threading.Event) -> None:
        super().__init__(name="watcher")
        self.jobs, self.stop = jobs, stop
        self.samples: list[dict[str, Any]] = []
        self.kills = 0

    def run(self) -> None:
        begun = killed = time.monotonic()
        while not self.stop.wait(LOOK_EVERY_S):
            moment = time.monotonic()
            self.samples.append({"s": round(moment - begun, 1), **taken(os.getpid())})
            process = self.jobs.worker.process
            if process and moment - killed >= KILL_EVERY_S:
                killed = moment
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    self.kills += 1


def taken(pid: int) -> dict[str, int]:
    """Resident bytes, open files and threads of a process."""
    process = psutil.Process(pid)
    return {"rss": process.memory_info().rss, "files": process.num_fds(), "threads": process.num_threads()}


def verdict(jobs: Jobs, clients: list[Client], watcher: Watcher) -> dict[str, Any]:
    """What was promised, against what is there."""
    accepted = [job for client in clients for job in client.accepted]
    retried = sum((client.retried for client in clients), Counter[str]())
    states = Counter(state(jobs, job) for job in accepted)
    begun, overlaps = begins(jobs.data.root / "trace.txt")
    steady = [sample for sample in watcher.samples if sample["s"] > 60] or watcher.samples
    return {
        "clients": len(clients),
        "accepted": len(accepted),
        "refused": sum(client.refused for client in clients),
        "states": dict(states),
        "lost": states["lost"],
        "run_twice": sum(count > 1 + retried[job] for job, count in begun.items()),
        "at_the_same_time": overlaps,
        "kills": watcher.kills,
        "half_files": len(list(jobs.data.root.rglob("*.part"))),
        "broken": sorted({text for client in clients for text in client.broken}),
        "after_a_minute": {
            name: {"first": steady[0][name], "last": steady[-1][name], "most": max(one[name] for one in steady)}
            for name in ("rss", "files", "threads")
        },
        "samples": watcher.samples,
    }


def state(jobs: Jobs, job: str) -> str:
    """A job's state, or "lost"."""
    try:
        return jobs.view(job).status
    except NotFound:
        return "lost"


def begins(trace: Path) -> tuple[Counter[str], int]:
    """How often each job was begun, and how often one was begun while another process was alive in one."""
    counts: Counter[str] = Counter()
    running: tuple[str, str] | None = None
    overlaps = 0
    for line in trace.read_text().splitlines() if trace.exists() else []:
        job, word, *rest = line.split()
        if word == "begin":
            counts[job] += 1
            overlaps += running is not None and running[1] == rest[0]  # a killed process never says its end
            running = job, rest[0]
        elif word == "end":
            running = None
    return counts, overlaps


def soak(minutes: float, runner: str, folder: Path) -> dict[str, Any]:
    stop = threading.Event()
    limits = Limits(waiting=100, waiting_visitor=10, disk_bytes=20e9)
    with Jobs(folder, runner=runner, limits=limits) as jobs:
        logs.log.setLevel("ERROR")  # tens of thousands of events would be the load that is measured
        clients = [Client(jobs, number, runner == FAKE, stop) for number in range(CLIENTS)]
        watcher = Watcher(jobs, stop)
        for thread in (*clients, watcher):
            thread.start()
        time.sleep(60 * minutes)
        stop.set()
        for thread in (*clients, watcher):
            thread.join()
        for job in [job for client in clients for job in client.accepted]:
            while state(jobs, job) in ("queued", "running"):
                time.sleep(0.2)
        return verdict(jobs, clients, watcher)


def main() -> None:
    """Run the soak, print the verdict, exit with 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--runner", default=FAKE)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    share_pools()  # as `Jobs.open` does
    with tempfile.TemporaryDirectory() as folder:
        found = soak(arguments.minutes, arguments.runner, Path(folder) / "data")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(json.dumps({key: value for key, value in found.items() if key != "samples"}, indent=1))
    promises = ("lost", "run_twice", "at_the_same_time", "half_files", "broken")
    raise SystemExit(any(found[promise] for promise in promises))


if __name__ == "__main__":
    main()
