"""Jobs with tracks that have steps of their own: limits, progress, work, and the library."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.experiments.experiment import make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.jobs.job_errors import OverLimit
from engine.jobs.limits import Limits, work_of
from engine.jobs.service import Jobs
from engine.jobs.work_shares import work_shares
from engine.reports.report_file import load
from tests.jobs import shelf
from tests.jobs.conftest import experiment, finished


def own(*schedules: str, steps: int = 4):
    """An experiment of the fake runner's model with these tracks."""
    plain = experiment(tracks=1, steps=steps)
    presets = [load_preset(name, steps) for name in schedules]
    tracks = [replace(plain.tracks[0], name=p.name, schedule=p.schedule, steps=p.steps) for p in presets]
    return make_experiment(plain.spec, tracks, Settings(prompt=plain.prompt, steps=steps))


def test_the_operators_most_steps_hold_for_every_track():
    limits = Limits(steps=10)
    limits.check(own("flat@10", "0.5@50%/10"))
    for schedule, told in (("flat@11", 11), ("0.5@50%/200", 200)):
        with pytest.raises(OverLimit, match=f"^{told} denoising steps .* 2 runs of up to {told} steps") as refused:
            limits.check(own(schedule))
        assert refused.value.field == "steps"


def test_work_counts_a_tracks_own_steps():
    assert work_of(own("flat@15")) == 2 * (4 + 15) * 5 * 64


@pytest.mark.parametrize(("schedule", "steps"), [("flat@7", 7), ("0.5@50%/2", 2), ("0.5@2", 4)])
def test_a_runs_work_is_shared_out_over_its_own_steps(schedule, steps):
    asked = own(schedule)
    shares = work_shares(asked, asked.tracks[0])
    assert len(shares) == steps
    assert shares[-1] == 1


def test_a_job_says_how_far_each_run_is_of_its_own_steps(jobs):
    job = jobs.submit(own("flat@2", "0.5@50%/6", "0.5@2"), visitor="a")
    view = finished(jobs, job)
    assert [run.steps for run in view.runs] == [4, 2, 6, 4]
    assert [run.step for run in view.runs] == [4, 2, 6, 4]
    assert [run.policy for run in view.runs] == [None, "coherent, 2 steps", "coherent, 6 steps", "coherent"]
    assert [track.steps for track in view.experiment.tracks] == [2, 6, None]


def test_an_archive_of_tracks_with_steps_of_their_own_comes_back_whole(tmp_path):
    asked = shelf.of_own_steps()
    job = shelf.put(tmp_path / "a", asked)
    with Jobs(tmp_path / "a", worker=False) as there:
        (tmp_path / "x.zip").write_bytes(b"".join(there.archive(job)))
    with Jobs(tmp_path / "b", worker=False) as here:
        taken = here.take_in(tmp_path / "x.zip")
        view = here.view(taken)
        assert view.experiment == asked
        assert [run.steps for run in view.runs] == [6, 6, 9]
        report = load(here.data.jobs / taken / "report.json")
        assert [run.steps for run in report.runs] == [None, None, 9]
        assert "steps" not in json.loads((here.data.jobs / taken / "report.json").read_text())["runs"][1]
