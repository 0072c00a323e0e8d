"""The real worker with the shipped model: load, run, reuse, learn, cancel, one after another in one process."""

from __future__ import annotations

import pytest

from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.jobs.service import Jobs
from engine.models.catalogue import catalogue_model
from engine.reports.report_file import load
from engine.switching.policies import policy_named
from tests.jobs.conftest import until

PATIENCE_S = 300.0  # torch loads slowly on a busy machine


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    with Jobs(tmp_path_factory.mktemp("shipped") / "data") as made:
        yield made


def asked(prompt: str = "a red apple", steps: int = 3):
    track = Track("half", load_preset("0.5@2", steps).schedule, policy_named("coherent"))
    size = {"height": 64, "width": 64, "frames": 5}
    return make_experiment(catalogue_model("emoji-wan"), [track], Settings(prompt=prompt, seed=1, steps=steps, **size))


def ended(jobs, job):
    return until(lambda: (view := jobs.view(job)).finished and view, PATIENCE_S)


def test_a_comparison_runs_is_reused_and_learned_from(jobs):
    experiment = asked()
    first = ended(jobs, jobs.submit(experiment))
    assert (first.status, [run.error for run in first.runs]) == ("done", [None, None])
    report = load(jobs.file(first.id, "report.json"))
    assert report.runs[1].similarity.psnr.mean is not None
    assert {"00.mp4", "00.png", "01.mp4", "01-difference.mp4", "index.html"} <= set(jobs.files(first.id))
    timings = jobs.timings(experiment.spec, frames=5, guidance=experiment.guidance)
    assert timings.has((8, 8))
    second = ended(jobs, jobs.submit(experiment))
    assert second.runs[0].reused.startswith("computed on ")
    again = load(jobs.file(second.id, "report.json"))
    assert again.runs[1].similarity == report.runs[1].similarity


def test_a_cancel_is_heard_and_the_model_is_still_there_for_the_next_job(jobs):
    job = jobs.submit(asked(steps=200))
    until(lambda: jobs.view(job).runs[0].step >= 1, PATIENCE_S)
    worker = jobs.worker.process
    assert jobs.view(job).runs[0].preview.startswith("data:image/webp;base64,")
    jobs.cancel(job)
    view = ended(jobs, job)
    assert view.status == "cancelled"
    assert view.runs[0].step < 200
    assert ended(jobs, jobs.submit(asked("a blue apple"))).status == "done"
    assert jobs.worker.process == worker
