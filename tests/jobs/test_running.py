"""Jobs from submission to result, with a real worker process and a runner that needs no torch."""

from __future__ import annotations

import threading
import time

import pytest

from engine.jobs.job_errors import NotFound, NotNow, QueueFull
from engine.measuring.video import read_mp4
from engine.reports.report_file import save
from tests.jobs.conftest import at_step, experiment, finished, trace, until


def test_a_job_runs_and_everything_of_it_is_there(jobs):
    job = jobs.submit(experiment(tracks=2))
    view = finished(jobs, job)
    assert view.status == "done"
    assert [run.status for run in view.runs] == ["done"] * 3
    assert [run.video for run in view.runs] == ["00.mp4", "01.mp4", "02.mp4"]
    assert [run.poster for run in view.runs] == ["00.png", "01.png", "02.png"]
    assert [run.policy for run in view.runs] == [None, "coherent", "coherent"]
    assert [(stage.first, stage.last, stage.rate) for stage in view.runs[1].stages_plan] == [(1, 2, 0.5), (3, 4, 1.0)]
    assert read_mp4(jobs.file(job, "01.mp4")).shape == (view.frames, 32, 32, 3)
    assert {"report.json", "index.html", "job.json"} <= set(jobs.files(job))
    assert [run.name for run in jobs.report(job).runs] == [run.name for run in view.runs]
    assert view.bytes == sum(jobs.file(job, name).stat().st_size for name in jobs.files(job))
    assert view.experiment == experiment(tracks=2)


def test_progress_can_be_followed_with_step_stage_time_left_and_preview(jobs):
    job = jobs.submit(experiment(steps=20, step_s=0.1))
    view = at_step(jobs, job, 1, 3)
    first, run = view.runs
    assert (first.status, first.step, first.preview) == ("done", 20, None)
    assert run.phase == "denoising"
    assert (run.steps, run.stages) == (20, 2)
    assert run.preview.startswith("data:image/webp;base64,")
    assert 0 < run.seconds_left < 20
    later = at_step(jobs, job, 1, run.step + 5)
    assert later.runs[1].seconds_left < run.seconds_left
    assert later.runs[1].stage == 2
    assert later.revision > view.revision


def test_an_unchanged_job_is_the_same_snapshot_of_the_same_revision(jobs):
    job = jobs.submit(experiment())
    view = finished(jobs, job)
    assert jobs.view(job) is view
    assert jobs.revision(job) == view.revision
    jobs.pin(job)
    assert jobs.view(job).revision > view.revision


def test_ten_visitors_at_once_are_served_one_by_one_in_order(jobs):
    barrier, accepted = threading.Barrier(10), []

    def visit(number):
        barrier.wait()
        accepted.append(jobs.submit(experiment(step_s=0.01), visitor=str(number)))

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(10)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(set(accepted)) == 10
    assert [finished(jobs, job).status for job in accepted] == ["done"] * 10
    marks = [(job, word) for job, word, *_ in trace(jobs) if word in ("begin", "end")]
    assert [word for _, word in marks] == ["begin", "end"] * 10
    assert all(begun[0] == ended[0] for begun, ended in zip(marks[::2], marks[1::2], strict=True))
    by_age = sorted(accepted, key=lambda job: jobs._store.read("SELECT ticket FROM jobs WHERE id = ?", job)[0][0])
    assert [job for job, word in marks if word == "begin"] == by_age


def test_the_place_in_the_queue_is_shown_and_moves_up(jobs):
    first = jobs.submit(experiment(steps=20, step_s=0.1))
    at_step(jobs, first, 0)
    second, third = jobs.submit(experiment()), jobs.submit(experiment())
    assert (jobs.view(first).position, jobs.view(second).position, jobs.view(third).position) == (None, 1, 2)
    before = jobs.view(third)
    jobs.cancel(second)
    after = jobs.view(third)
    assert (after.position, after.sentence) == (1, "Next in the queue.")
    assert after.revision > before.revision


def test_cancelling_a_waiting_job_touches_no_other(jobs):
    first = jobs.submit(experiment(steps=10, step_s=0.05))
    at_step(jobs, first, 0)
    second, third = jobs.submit(experiment()), jobs.submit(experiment())
    jobs.cancel(second)
    assert jobs.view(second).status == "cancelled"
    assert {run.status for run in jobs.view(second).runs} == {"cancelled"}
    assert finished(jobs, first).status == finished(jobs, third).status == "done"
    assert second not in {job for job, *_ in trace(jobs)}


def test_cancelling_a_running_job_stops_within_a_step_and_keeps_what_is_finished(jobs):
    job = jobs.submit(experiment(steps=10, step_s=0.2))
    at_step(jobs, job, 1)
    asked = time.monotonic()
    jobs.cancel(job)
    view = finished(jobs, job)
    assert time.monotonic() - asked < 2
    assert view.status == "cancelled"
    assert [run.status for run in view.runs] == ["done", "cancelled"]
    assert jobs.file(job, "00.mp4").is_file()
    assert [run.status for run in jobs.report(job).runs] == ["done", "cancelled"]
    assert finished(jobs, jobs.submit(experiment())).status == "done"


def test_a_cancel_is_heard_while_decoding(jobs):
    job = jobs.submit(experiment(decode_s=50))
    until(lambda: jobs.view(job).runs[0].phase == "decoding")
    jobs.cancel(job)
    assert finished(jobs, job).status == "cancelled"


def test_a_cancel_while_a_model_loads_ends_the_worker_and_the_next_job_gets_a_new_one(opened):
    jobs = opened(runner="tests.jobs.fakes:SlowToLoad")
    job, next_job = jobs.submit(experiment()), jobs.submit(experiment())
    until(lambda: jobs.view(job).phase == "loading the model")
    worker = jobs.worker.process
    jobs.cancel(job)
    assert finished(jobs, job).status == "cancelled"
    until(lambda: jobs.view(next_job).phase == "loading the model")
    assert jobs.worker.process != worker
    assert not jobs.notices()


def test_one_run_is_skipped_and_the_others_go_on(jobs):
    job = jobs.submit(experiment(tracks=3, steps=5, step_s=0.1))
    at_step(jobs, job, 1)
    jobs.skip(job, 1)
    jobs.skip(job, 3)
    view = finished(jobs, job)
    assert view.status == "done"
    assert [run.status for run in view.runs] == ["done", "cancelled", "done", "cancelled"]
    assert view.runs[1].error == "skipped"


def test_a_run_that_fails_keeps_its_error_its_last_preview_and_the_other_runs(jobs):
    job = jobs.submit(experiment(tracks=2, not_finite=[1, 3], step_s=0.3))
    view = finished(jobs, job)
    assert view.status == "done"
    assert [run.status for run in view.runs] == ["done", "failed", "done"]
    assert view.runs[1].error == "the latents are not finite at step 3"
    assert view.runs[1].preview.startswith("data:image/webp")
    assert view.runs[1].video is None
    assert "01.mp4" not in jobs.files(job)


def test_a_job_without_a_finished_run_has_failed(jobs):
    view = finished(jobs, jobs.submit(experiment(fail={"0": "out of memory", "1": "out of memory"})))
    assert (view.status, view.error) == ("failed", "no run was finished: out of memory")


def test_retry_runs_what_is_not_done_and_nothing_else(jobs):
    job = jobs.submit(experiment(tracks=2, steps=5, step_s=0.1))
    at_step(jobs, job, 1)
    jobs.skip(job, 1)
    assert finished(jobs, job).can_retry
    jobs.retry(job)
    view = finished(jobs, job)
    assert [run.status for run in view.runs] == ["done"] * 3
    assert [what for _, word, what in trace(jobs) if word == "run"] == ["0", "1", "2", "1"]
    assert [run.status for run in jobs.report(job).runs] == ["done"] * 3
    with pytest.raises(NotNow, match="nothing to retry"):
        jobs.retry(job)


def test_a_job_whose_run_was_disturbed_is_measured_again_though_every_run_is_done(jobs):
    job = jobs.submit(experiment(tracks=1))
    finished(jobs, job)
    report = jobs.report(job)
    late = report.runs[1].model_copy(update={"disturbed": "other programs"})
    save(report.model_copy(update={"runs": (report.runs[0], late)}), jobs.data.job(job) / "report.json")
    jobs.retry(job)
    view = finished(jobs, job)
    assert [run.status for run in view.runs] == ["done"] * 2
    assert [word for _, word, _ in trace(jobs)].count("begin") == 2


def test_a_job_that_is_not_finished_cannot_be_retried_or_deleted(jobs):
    job = jobs.submit(experiment(steps=20, step_s=0.1))
    at_step(jobs, job, 0)
    with pytest.raises(NotNow, match="not finished"):
        jobs.retry(job)
    with pytest.raises(NotNow, match="stop it first"):
        jobs.delete(job)
    jobs.cancel(job)


def test_a_job_that_takes_too_long_is_stopped_and_says_so(opened):
    jobs = opened(minutes=0.01)
    view = finished(jobs, jobs.submit(experiment(steps=100, step_s=0.1)))
    assert view.status == "failed"
    assert "longer than 0.01 minutes" in view.error


def test_a_queue_that_is_full_refuses_at_once(opened):
    jobs = opened(worker=False, waiting=20, waiting_visitor=15)
    refused = 0
    for number in range(1000):
        try:
            jobs.submit(experiment(), visitor="one" if number < 500 else "two")
        except QueueFull:
            refused += 1
    assert refused == 980
    assert len(jobs.library()) == len(list(jobs.data.jobs.iterdir())) == 20
    with pytest.raises(QueueFull, match="15 jobs of yours"):
        jobs.submit(experiment(), visitor="one")


def test_jobs_that_are_not_there_are_not_found(jobs):
    for job in ("A" * 16, "", "../../etc/passwd", "%2e%2e%2f", "C:\\x", "a" * 17, None):
        for ask in (jobs.view, jobs.cancel, jobs.retry, jobs.delete, jobs.restore, jobs.report, jobs.pin, jobs.purge):
            if (ask, job) != (jobs.report, "A" * 16):
                with pytest.raises(NotFound):
                    ask(job)
    job = jobs.submit(experiment())
    with pytest.raises(NotFound):
        jobs.skip(job, 7)
    assert jobs.report("A" * 16) is None
