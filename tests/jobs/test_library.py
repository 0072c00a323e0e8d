"""What is kept: searching, sorting, pinning, deleting with undo, the quota, and what may be asked for at all."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import fields, replace

import pytest

from engine.errors import InvalidInput
from engine.experiments.experiment import make_experiment
from engine.experiments.settings import Settings
from engine.jobs import library_query, remembered_views
from engine.jobs.database import MIGRATIONS, STATES, Store
from engine.jobs.job_errors import NotFound, NotNow, OverLimit
from engine.jobs.job_view import job_view
from engine.jobs.limits import Limits, work_of
from engine.jobs.supervisor import ROOT
from engine.models.catalogue import catalogue_model
from tests.jobs.conftest import experiment, finished


def prompted(text: str):
    return replace(experiment(), prompt=text)


def test_the_library_is_searched_and_sorted(opened):
    jobs = opened(worker=False)
    apple, bear, cherry = (jobs.submit(prompted(text)) for text in ("An Äpfel tree", "a bear", "Cherry, äpfel"))
    assert [view.id for view in jobs.library()] == [cherry, bear, apple]
    assert [view.id for view in jobs.library(sort="oldest")] == [apple, bear, cherry]
    assert [view.id for view in jobs.library(sort="prompt")] == [bear, apple, cherry]
    assert [view.id for view in jobs.library("ÄPFEL")] == [cherry, apple]
    assert [view.id for view in jobs.library("äpfel tree")] == [apple]
    assert [view.id for view in jobs.library("track 0 emoji-wan bear")] == [bear]
    assert jobs.library("100%_") == []
    jobs.pin(bear)
    assert [view.id for view in jobs.library(pinned=True)] == [bear]
    assert [view.id for view in jobs.library(pinned=False)] == [cherry, apple]


def test_only_the_jobs_of_the_page_are_read_and_all_are_counted(opened, monkeypatch):
    jobs = opened(worker=False, waiting=30, waiting_visitor=30)
    ids = [jobs.submit(prompted(f"{'odd' if k % 2 else 'even'} {k:02d}")) for k in range(30)]
    jobs.delete(ids[29])
    made = []
    monkeypatch.setattr(remembered_views, "job_view", lambda *row: made.append(row) or job_view(*row))
    assert [view.id for view in jobs.library(limit=3)] == ids[28:25:-1]
    assert [view.id for view in jobs.library("odd", "prompt", limit=2)] == [ids[1], ids[3]]
    assert len(made) == 5
    assert (jobs.library_count(), jobs.library_count("odd"), jobs.library_count(deleted=True)) == (29, 14, 1)
    assert jobs.library_count(pinned=True) == 0
    assert len(jobs.library(limit=None)) == 29
    assert jobs.library(limit=0) == []


def test_jobs_of_the_first_schema_are_found_by_their_words(tmp_path):
    path = tmp_path / "resolute.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(MIGRATIONS[0])
        for number, prompt in enumerate(("Ein Äpfelchen", "a bear")):
            document = json.dumps({"prompt": prompt, "model": "emoji-wan"}, ensure_ascii=False)
            values = (f"job {number}", number, document)
            db.execute("INSERT INTO jobs (id, ticket, visitor, document, created) VALUES (?, ?, '', ?, 1)", values)
            db.execute(
                "INSERT INTO runs (job_id, number, name, plan, steps) VALUES (?, 0, 'U 0.5', '[]', 1)", values[:1]
            )
        db.execute("PRAGMA user_version = 1")
        db.commit()
    with closing(Store(path)) as store:
        assert library_query.page(store, "prompt", None, "", None, False) == ["job 1", "job 0"]
        assert library_query.page(store, "newest", 9, "ÄPFEL emoji u", None, False) == ["job 0"]


TEXTS = ["„Apfel“ 🍎", "שלום עולם", "<script>alert(1)</script>", "'; DROP TABLE jobs; --", "a\r\nb\tc", "x" * 2000]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_back_as_it_was_and_no_path_holds_it(opened, text):
    jobs = opened(worker=False)
    job = jobs.submit(prompted(text))
    view = jobs.view(job)
    assert view.prompt == text
    assert view.experiment.prompt == text
    assert jobs.library(text.split()[0])[0].id == job
    assert json.loads((jobs.data.job(job) / "job.json").read_text("utf-8"))["id"] == job
    assert [path.name for path in jobs.data.jobs.iterdir()] == [job]


def test_the_revision_of_the_library_changes_with_what_it_shows(jobs):
    seen = [jobs.library_revision()]
    job = jobs.submit(experiment())
    seen.append(jobs.library_revision())
    finished(jobs, job)
    seen.append(jobs.library_revision())
    for change in (jobs.pin, jobs.delete, jobs.restore, jobs.delete, jobs.purge):
        change(job)
        seen.append(jobs.library_revision())
    assert seen == sorted(set(seen))
    jobs.library()
    assert jobs.library_revision() == seen[-1]


def test_a_deleted_job_comes_back_whole(jobs):
    job = jobs.submit(experiment())
    finished(jobs, job)
    jobs.delete(job)
    assert jobs.library() == []
    assert [view.id for view in jobs.library(deleted=True)] == [job]
    assert jobs.view(job).deleted is not None
    with pytest.raises(NotFound):
        jobs.file(job, "00.mp4")
    with pytest.raises(NotNow, match="deleted"):
        jobs.retry(job)
    assert jobs.disk().trash == jobs.view(job).bytes
    jobs.restore(job)
    assert jobs.view(job).deleted is None
    assert jobs.file(job, "00.mp4").is_file()
    with pytest.raises(NotNow, match="not deleted"):
        jobs.purge(job)
    jobs.delete(job)
    jobs.purge(job)
    assert list(jobs.data.trash.iterdir()) == list(jobs.data.jobs.iterdir()) == []
    with pytest.raises(NotFound):
        jobs.view(job)


def test_deleting_a_waiting_job_cancels_it(opened):
    jobs = opened(worker=False)
    job = jobs.submit(experiment())
    jobs.delete(job)
    assert jobs.view(job).status == "cancelled"


def test_a_move_to_the_trash_that_was_cut_short_is_finished_at_the_next_start(opened):
    jobs = opened(worker=False)
    half_deleted, half_restored = jobs.submit(experiment()), jobs.submit(experiment())
    for job in (half_deleted, half_restored):
        jobs.cancel(job)
    jobs.delete(half_restored)
    with jobs._store.transaction() as db:
        db.execute("UPDATE jobs SET deleted = 1e9 WHERE id = ?", (half_deleted,))
        db.execute("UPDATE jobs SET deleted = NULL WHERE id = ?", (half_restored,))
    with jobs._store.transaction() as db:
        db.execute("UPDATE jobs SET deleted = ? WHERE id = ?", (4e9, half_deleted))  # not old enough to be purged
    jobs.close()
    again = opened(worker=False)
    assert [path.name for path in again.data.jobs.iterdir()] == [half_restored]
    assert [path.name for path in again.data.trash.iterdir()] == [half_deleted]


def test_old_trash_is_purged_at_a_start(opened):
    jobs = opened(worker=False)
    job = jobs.submit(experiment())
    jobs.delete(job)
    with jobs._store.transaction() as db:
        db.execute("UPDATE jobs SET deleted = deleted - 8 * 86400 WHERE id = ?", (job,))
    jobs.close()
    again = opened(worker=False)
    assert again.library(deleted=True) == []
    assert list(again.data.trash.iterdir()) == []


def test_over_the_quota_the_oldest_unpinned_results_go_first(opened):
    jobs = opened()
    oldest = jobs.submit(experiment())
    size = finished(jobs, oldest).bytes
    jobs.pin(oldest)
    jobs.close()
    jobs = opened(disk_bytes=3.5 * size)
    made = [jobs.submit(experiment()) for _ in range(4)]
    for job in made:
        finished(jobs, job)
    finished(jobs, jobs.submit(experiment()))  # when it has ended, the job before has been pruned too
    kept = [view.id for view in jobs.library(sort="oldest")]
    assert kept[0] == oldest
    assert made[0] not in kept
    assert made[1] not in kept
    assert any("removed to stay under" in notice.text for notice in jobs.notices())
    assert not (jobs.data.jobs / made[0]).exists()
    jobs.dismiss(jobs.notices()[0].id)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"steps": 3}, "4 denoising steps of a run were asked for; at most 3 are allowed here"),
        ({"pixels": 128 * 128 - 1}, "16,384 width times height"),
        ({"frames": 16}, "17 frames of a video"),
        ({"tracks": 1}, "2 schedules beside the baseline"),
        ({"work": 100}, "token steps in all"),
    ],
)
def test_more_than_is_allowed_is_refused_with_its_cost_before_anything_is_stored(opened, limits, sentence):
    jobs = opened(worker=False, **limits)
    with pytest.raises(OverLimit, match="The comparison would cost 3 runs of 4 steps") as refused:
        jobs.submit(experiment(tracks=2))
    assert sentence in str(refused.value)
    assert refused.value.field == next(iter(limits))
    assert list(jobs.data.jobs.iterdir()) == []


def test_work_counts_the_tokens_of_every_step_of_every_run():
    asked = experiment(tracks=1)  # 128x128x17: 8x8 patches of 16 px, 5 latent frames; half the steps at half the side
    assert asked.guidance > 1
    assert work_of(asked) == 2 * (4 * 5 * 64 + 2 * 5 * 16 + 2 * 5 * 64)


def test_limits_come_from_the_environment_and_go_to_the_worker_unchanged():
    limits = Limits.from_environment({"RESOLUTE_MAX_STEPS": "12", "RESOLUTE_MAX_WORK": "2.5e9"})
    assert (limits.steps, limits.work, limits.frames) == (12, 2.5e9, Limits().frames)
    assert Limits.from_environment(limits.to_environment()) == limits


@pytest.mark.parametrize("value", ["nan", "-1", "0", "many", "inf"])
def test_a_limit_that_is_no_number_is_refused(value):
    with pytest.raises(InvalidInput, match="RESOLUTE_MAX_STEPS is"):
        Limits.from_environment({"RESOLUTE_MAX_STEPS": value})


def test_a_model_that_is_not_in_the_catalogue_is_refused(opened):
    spec = replace(catalogue_model("emoji-wan"), location="/etc")
    with pytest.raises(InvalidInput, match="not one of this server's"):
        opened(worker=False).submit(make_experiment(spec, [], Settings(prompt="x")))


def test_every_limit_stands_in_the_docs_with_its_value():
    rows = re.findall(r"^\| `(\w+)` \| ([\d.,e]+) \|", (ROOT / "docs/jobs.md").read_text("utf-8"), flags=re.MULTILINE)
    documented = {name: float(value.replace(",", "")) for name, value in rows}
    assert documented == {one.name: getattr(Limits(), one.name) for one in fields(Limits)}


def test_every_state_is_explained_in_the_docs():
    text = (ROOT / "docs/jobs.md").read_text("utf-8")
    assert [state for state in STATES if f"| `{state}` |" not in text] == []
