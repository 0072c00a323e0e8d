"""Faults 8, 9 and 10: the app or its worker is killed while it runs or just before a row is written."""

from __future__ import annotations

import pytest

from engine.measuring.video import read_mp4
from tests.faults.conftest import parts
from tests.jobs.conftest import experiment, finished, trace, until


def test_the_app_is_killed_in_the_middle_of_a_run_and_lists_and_plays_what_was_finished(app, tmp_path):
    first = app()
    job, waiting = (first.compare(steps=8, step_s=0.2) for _ in range(2))
    until(lambda: first.call("get_job", job)["runs"][1]["step"] >= 1)
    first.kill()

    second = app()
    state = second.call("get_job", job)
    assert state["status"] == "interrupted"
    assert [run["status"] for run in state["runs"]] == ["done", "interrupted"]
    assert "Resolute ended" in state["sentence"]
    video = tmp_path / "played.mp4"
    video.write_bytes(second.get(state["files"]["00.mp4"]))
    assert len(read_mp4(video)) == 17
    assert "01.mp4" not in state["files"]
    until(lambda: second.call("get_job", waiting)["status"] == "done")  # accepted before the death
    assert second.call("get_job", job)["status"] == "interrupted"  # and nothing starts it again
    assert not parts(tmp_path)


@pytest.mark.parametrize(
    ("death", "ended", "files"),
    [
        ("DiesBeforeTheRename", ("interrupted", "interrupted"), {"00.mp4"}),
        ("DiesBeforeTheReport", ("interrupted", "interrupted"), {"00.mp4"}),
        ("DiesBeforeTheRow", ("done", "done"), {"00.mp4", "01.mp4"}),
    ],
)
def test_a_death_between_rename_and_row_leaves_no_row_without_its_file_and_no_file_without_its_row(
    opened, death, ended, files
):
    jobs = opened(runner=f"tests.faults.runners:{death}")
    job = jobs.submit(experiment())
    view = finished(jobs, job)
    assert (view.status, view.runs[1].status) == ended
    assert view.runs[0].status == "done"
    assert {name for name in jobs.files(job) if name.endswith(".mp4")} == files
    assert {run.video for run in view.runs if run.video} == files
    for name in files:
        assert len(read_mp4(jobs.file(job, name))) == view.frames
    assert not parts(jobs.data.root)
    assert [word for _, word, *_ in trace(jobs) if word in ("begin", "dies")] == ["begin", "dies"]


def test_after_a_job_that_kills_its_process_a_second_start_is_clean(opened):
    jobs = opened()
    poison = jobs.submit(experiment(die="kill", at=[0, 2]))
    assert finished(jobs, poison).status == "interrupted"
    jobs.close()
    again = opened()
    assert finished(again, again.submit(experiment())).status == "done"
    assert again.view(poison).status == "interrupted"
    assert [job for job, word, *_ in trace(again) if word == "begin"].count(poison) == 1
    assert again.worker.status == "running"
