from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from engine.experiments.experiment import Experiment, Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.jobs.limits import Limits
from engine.jobs.service import Jobs
from engine.models.catalogue import catalogue_model
from engine.switching.policies import policy_named

FAKE = "tests.jobs.fakes:FakeRunner"
PATIENCE_S = 60.0


def experiment(tracks: int = 1, steps: int = 4, **faults) -> Experiment:
    """One that the fake runner runs: `faults` are told in the prompt."""
    made = [Track(f"track {k}", load_preset("0.5@2", steps).schedule, policy_named("coherent")) for k in range(tracks)]
    return make_experiment(catalogue_model("emoji-wan"), made, Settings(prompt=json.dumps(faults), steps=steps))


def until(condition, patience_s: float = PATIENCE_S):
    """What `condition` returns, once that is true."""
    given_up = time.monotonic() + patience_s
    while time.monotonic() < given_up:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


def finished(jobs: Jobs, job_id: str):
    """The job's view, once it has ended."""
    return until(lambda: (view := jobs.view(job_id)).finished and view)


def at_step(jobs: Jobs, job_id: str, number: int, step: int = 1):
    """The job's view, once a run has come so far."""

    def there():
        view = jobs.view(job_id)
        assert not view.finished, view.sentence
        return view.runs[number].status == "running" and view.runs[number].step >= step and view

    return until(there)


def trace(jobs: Jobs) -> list[list[str]]:
    """What the fake runner did, in order: job, word, what else."""
    path = jobs.data.root / "trace.txt"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def opened(tmp_path):
    """Opens jobs of one folder with the fake runner; all are closed at the end."""
    made = []

    def jobs(folder: Path | None = None, *, runner: str = FAKE, worker: bool = True, **limits) -> Jobs:
        made.append(Jobs(folder or tmp_path / "data", limits=Limits(**limits), runner=runner, worker=worker))
        return made[-1]

    yield jobs
    for one in made:
        one.close()


@pytest.fixture
def jobs(opened):
    return opened()


def alive(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
