"""All that the page knows of runs: submit, look, cancel, keep. Whatever it accepts is on disk when it returns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from json import dumps
from pathlib import Path

from engine.costs.timings import Timings, workload_of
from engine.experiments.conditions import check_complete
from engine.experiments.control_video import Clip
from engine.experiments.experiment import Experiment
from engine.experiments.input_picture import Picture
from engine.jobs import (
    archive,
    job_folders,
    kept_inputs,
    library_query,
    logs,
    pins_and_trash,
    queue,
    quota,
    recovery,
    timing_book,
)
from engine.jobs import notices as noticing
from engine.jobs.data_dir import DataDir, default_folder, new_id
from engine.jobs.database import now, open_or_renew
from engine.jobs.job_errors import NotFound, NotNow
from engine.jobs.job_view import JobView, without_previews
from engine.jobs.library_query import Sort
from engine.jobs.limits import Limits
from engine.jobs.malloc_pools import share_pools
from engine.jobs.notices import Notice
from engine.jobs.one_at_a_time import OneAtATime
from engine.jobs.quota import DiskUse
from engine.jobs.remembered_views import RememberedViews
from engine.jobs.supervisor import RUNNER, Supervisor, WorkerState
from engine.jobs.visitors import NOBODY, Rights, Signatures, Visitor
from engine.models.catalogue import ModelSpec
from engine.reports.schema import Report


class Jobs:
    """The jobs of one data directory, and the worker that runs them. Threads may share it.

    Where it is `public`, strangers come: `by` says who asks, nobody known where left out, and what is another's raises
    NotAllowed. Elsewhere everybody may do everything.

    Raises StorageError where the data directory or the database fails.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limits: Limits | None = None,
        runner: str = RUNNER,
        worker: bool = True,
        public: bool = False,
    ) -> None:
        self.limits = limits or Limits.from_environment()
        self._closing = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            self.data = DataDir(folder, owner=True)
            opened.callback(self.data.close)
            for handler in (logs.to_stderr(), logs.to_file(self.data.log)):
                opened.callback(logs.remove, handler)
            self._store, corrupt = open_or_renew(self.data.database)
            opened.callback(self._store.close)
            self._recover(corrupt)
            self._supervisor = Supervisor(self.data, self._store, runner=runner, limits=self.limits)
            opened.callback(self._supervisor.close)
            if worker:
                self._supervisor.start()
            self.signatures = Signatures.of(self.data.secret) if public else None
            self.rights = Rights(self._store, public)
            self._closing = opened.pop_all()
        self._views = RememberedViews(self.data, self._store)
        self.taking_in = OneAtATime()  # files from strangers: what one unpacks or parses to is memory and disk

    @classmethod
    def open(cls, folder: Path | None = None, *, public: bool = False) -> Jobs:
        """The jobs of a folder, or of the default one, with the worker running. Raises StorageError, InvalidInput.

        For a process of its own, as it sets how the allocator shares memory between threads.
        """
        share_pools()
        return cls(folder or default_folder(), public=public)

    def close(self) -> None:
        """End the worker; what it was running is interrupted. Twice does no harm."""
        self._closing.close()

    def __enter__(self) -> Jobs:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _recover(self, corrupt: Path | None) -> None:
        if corrupt:
            text = (
                f"The database was corrupt; it is kept as {corrupt.name}, and results were found again by their files."
            )
            noticing.notice(self._store, "database", text)
        recovery.recover(self._store, self.data, "Resolute ended while this was running")
        quota.prune(self._store, self.data, self.limits)

    # ---- running ------------------------------------------------------------------------------------------------

    def submit(
        self, experiment: Experiment, *, visitor: str = "", noise_floor: bool = False, by: Visitor = NOBODY
    ) -> str:
        """Queue an experiment and return the job's id. `visitor` tells visitors apart for their share of the queue.

        Without it that is the address of `by`, whose the job is.

        Pictures that it only names are those that were added.

        Raises OverLimit and InvalidInput before anything is stored, QueueFull, StorageError.
        """
        self.limits.check(experiment)
        check_complete(experiment.spec, experiment.conditions)
        conditions = experiment.conditions.filled(self.data.inputs)
        conditions.check_here()
        job_id = new_id()
        folder = self.data.job(job_id)
        record = {"id": job_id, "created": now(), "pinned": False, "document": queue.dumps(experiment)}
        try:
            queue.insert(
                self._store,
                job_id,
                experiment,
                visitor=visitor or by.address,
                owner=by.owner,
                noise_floor=noise_floor,
                limits=self.limits,
                write=lambda: job_folders.make(folder, record, conditions),
            )
        except BaseException:
            job_folders.remove(folder)
            raise
        logs.event("job submitted", job=job_id, model=experiment.spec.id, runs=len(experiment.tracks) + 1)
        self._supervisor.wake()
        return job_id

    def cancel(self, job_id: str, *, by: Visitor | None = None) -> None:
        """End a job: at once where it waits, within a step where it runs. A finished one stays as it is."""
        self.rights.check(job_id, by)
        self.data.job(job_id)
        queue.cancel(self._store, job_id)
        logs.event("cancel asked for", job=job_id)

    def skip(self, job_id: str, number: int, *, by: Visitor | None = None) -> None:
        """Leave one run out; the others go on."""
        self.rights.check(job_id, by)
        self.data.job(job_id)
        queue.skip(self._store, job_id, number)
        logs.event("skip asked for", job=job_id, run=number)

    def retry(self, job_id: str, *, visitor: str | None = None, by: Visitor | None = None) -> None:
        """Queue a finished job again: unfinished runs are run, disturbed ones timed. Raises NotNow, QueueFull."""
        self.rights.check(job_id, by)
        self.data.job(job_id)
        report = self.report(job_id)
        queue.retry(self._store, job_id, visitor, self.limits, disturbed=bool(report and report.disturbed))
        logs.event("retry asked for", job=job_id)
        self._supervisor.wake()

    def add_picture(self, content: bytes) -> Picture | Clip:
        """Keep a stranger's picture or mp4, for runs to start from. Raises InvalidInput for any other, StorageError."""
        return kept_inputs.add(self.data, self.limits, content)

    def picture(self, sha256: object, role: str) -> Picture | Clip:
        """A picture or video that was added. Raises InvalidInput naming the role where it is not here."""
        return kept_inputs.named(self.data, sha256, role)

    def picture_path(self, sha256: object, kind: str = "png") -> Path:
        """Its file, for handing out. Raises NotFound."""
        return kept_inputs.path_of(self.data, sha256, kind)

    def lend_pictures(self, job_id: str, experiment: Experiment) -> None:
        """Have a job's pictures among those that were added, for the next run to start from."""
        kept_inputs.lend(self.data, self.limits, experiment.conditions, self.data.job(job_id))

    # ---- looking ------------------------------------------------------------------------------------------------

    def view(self, job_id: str) -> JobView:
        """The job at this moment. Cheap to ask again: the same object as long as nothing has changed."""
        return self._views.view(job_id)

    def revision(self, job_id: str) -> int:
        """`view(job_id).revision`, cheaper."""
        return self._views.revision(job_id)

    def report(self, job_id: str) -> Report | None:
        """The report of what has finished so far; None where nothing has."""
        return self._views.report(job_id)

    def timings(
        self, spec: ModelSpec, *, frames: int, guidance: float, conditions: Sequence[str] = ()
    ) -> Timings | None:
        """What runs of a model have taken here; None where none has run. Of the device that the last one ran on.

        `conditions` are the roles of the pictures and videos that they were given.
        """
        return timing_book.known(self._store, workload_of(spec, frames, guidance, conditions))

    def file(self, job_id: str, name: str) -> Path:
        """The path of a job's file, for handing out. Raises NotFound for everything that is none."""
        path = self.data.file(job_id, name)
        if name == job_folders.PAGE:
            job_folders.renew_page(path.parent)
        return path

    def files(self, job_id: str) -> list[str]:
        """The names of a job's files."""
        return job_folders.plain_names(self.data.job(job_id))

    # ---- keeping ------------------------------------------------------------------------------------------------

    def library(
        self,
        search: str = "",
        sort: Sort = "newest",
        pinned: bool | None = None,
        *,
        deleted: bool = False,
        limit: int | None = library_query.PAGE,
        by: Visitor | None = None,
    ) -> list[JobView]:
        """The first `limit` jobs (all if None) without previews; `library_count` says how many there are.

        Every word of `search` must be in the prompt, the model or a run's name.
        """
        seen = self.rights.seen_by(by, opened=not deleted)
        ids = library_query.page(self._store, sort, limit, search, pinned, deleted, seen)
        views = {
            view.id: view for view in self._views.where("WHERE id IN (SELECT value FROM json_each(?))", dumps(ids))
        }
        return [without_previews(views[job_id]) for job_id in ids if job_id in views]

    def library_count(
        self, search: str = "", pinned: bool | None = None, *, deleted: bool = False, by: Visitor | None = None
    ) -> int:
        """How many jobs `library` would list without a limit."""
        seen = self.rights.seen_by(by, opened=not deleted)
        return library_query.count(self._store, search, pinned, deleted, seen)

    def first_to_go(self, *, by: Visitor | None = None) -> JobView | None:
        """The job that would be removed first if the disk were full, the trash apart; None if it is another's."""
        job_id = library_query.first_to_go(self._store)
        job_id = job_id if job_id and self.rights.may_change(job_id, by) else None
        views = self._views.where("WHERE id = ?", job_id) if job_id else []
        return without_previews(views[0]) if views else None

    def library_revision(self) -> int:
        """A number that changes when a job is added, removed, pinned, or changes its state."""
        return int(self._store.read("SELECT value FROM counters WHERE name = 'library'")[0][0])

    def pin(self, job_id: str, pinned: bool = True, *, by: Visitor | None = None) -> None:
        """Keep a job whatever the quota says, or no longer."""
        self.rights.check(job_id, by)
        pins_and_trash.pin(self._store, self.data, job_id, pinned)

    def delete(self, job_id: str, *, by: Visitor | None = None) -> None:
        """Move a job to the trash, where it stays for a week. Raises NotNow for one that runs."""
        self.rights.check(job_id, by)
        pins_and_trash.delete(self._store, self.data, job_id, self.view(job_id).status)
        self._views.forget(job_id)

    def restore(self, job_id: str, *, by: Visitor | None = None) -> None:
        """Bring a deleted job back."""
        self.rights.check(job_id, by)
        pins_and_trash.restore(self._store, self.data, job_id)

    def purge(self, job_id: str, *, by: Visitor | None = None) -> None:
        """Remove a deleted job for good. Raises NotNow for one that is not deleted."""
        self.rights.check_operator(by)
        if self.view(job_id).deleted is None:
            raise NotNow("the job is not deleted; delete it first.")
        quota.purge(self._store, self.data, job_id)
        self._views.forget(job_id)

    def archive(self, job_id: str) -> Iterator[bytes]:
        """A finished job as one zip, piece by piece. Raises NotFound where there is nothing to export."""
        if not self.view(job_id).finished:
            raise NotFound("there is nothing to export yet.")
        return archive.pack(self.data.job(job_id))

    def take_in(self, path: Path, *, by: Visitor = NOBODY) -> str:
        """Add the job of an archive under a new id, one at a time. Raises InvalidInput, StorageError, NotNow."""
        with self.taking_in.turn():
            job_id = archive.take_in(path, self._store, self.data, self.limits)
        self.rights.own(job_id, by)
        logs.event("archive taken in", job=job_id)
        return job_id

    def disk(self) -> DiskUse:
        """What the results take, and what they may."""
        return quota.disk_use(self._store, self.data, self.limits)

    # ---- the state of things --------------------------------------------------------------------------------------

    @property
    def ephemeral(self) -> str | None:
        """Why nothing here outlives a restart, as a sentence; None where it does."""
        return self.data.ephemeral()

    @property
    def worker(self) -> WorkerState:
        """Whether the worker is there."""
        return self._supervisor.state

    def restart_worker(self, *, by: Visitor | None = None) -> None:
        """Start the worker again after it was given up."""
        self.rights.check_operator(by)
        self._supervisor.restart()

    def notices(self) -> list[Notice]:
        """What happened within a day that people should hear of; the newest first."""
        return noticing.notices(self._store)

    def dismiss(self, notice_id: int, *, by: Visitor | None = None) -> None:
        """Show a notice no more."""
        self.rights.check_operator(by)
        noticing.dismiss(self._store, notice_id)
