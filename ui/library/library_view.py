"""The library view: its components, and what happens in them. The handlers keep no state, so visitors share them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import gradio as gr

from engine.errors import InvalidInput, ResoluteError
from engine.jobs.data_dir import new_id
from engine.jobs.service import Jobs
from engine.jobs.visitors import Visitor
from ui.comparator.across_jobs import compare_runs
from ui.comparator.comparator_value import ComparatorValue
from ui.library.library import LibraryList
from ui.library.library_requests import Change, Query, parse_change, parse_leave
from ui.library.library_value import library_value, signature
from ui.shared.event_calls import POLLED, QUIET
from ui.shared.upload_button import Upload
from ui.shared.who_asks import visitor_of
from ui.shared.words import shortened

POLL_S = 2.0
TITLE = "Library"
SHORT = 60  # characters of a prompt in what is said


class Studio(Protocol):
    """What the library asks of the studio: to show a job, or runs side by side."""

    def shown(self) -> list[Any]: ...
    def open_job(self, job: str, request: gr.Request | None = None) -> dict[Any, Any]: ...
    def show_comparison(self, shown: ComparatorValue) -> dict[Any, Any]: ...


@dataclass(frozen=True)
class Library:
    """The components of the library view that events touch."""

    listing: LibraryList
    upload: Upload
    timer: gr.Timer
    seen: gr.State

    def connect(self, jobs: Jobs, tab: gr.Tab, views: gr.Tabs, studio: Studio) -> None:
        """Attach every event; `views` are the tabs of the page, `studio` shows what is opened."""
        keeper = Keeper(self, jobs, studio, views)
        polled = [self.listing, self.timer, self.seen]
        views.select(keeper.told(keeper.came), None, polled, **QUIET)
        self.timer.tick(keeper.told(keeper.poll), self.seen, [self.listing, self.seen], **POLLED)
        self.listing.input(keeper.told(keeper.changed), None, self.listing, trigger_mode="multiple", **QUIET)
        self.listing.select(keeper.told(keeper.left), None, [self.listing, self.timer, views, *studio.shown()], **QUIET)
        self.upload.upload(keeper.told(keeper.taken_in), self.upload, [self.listing, self.upload], **QUIET)


def build_library() -> Library:
    """Place the library's components; `connect` fills them."""
    listing = LibraryList(elem_id="library")
    with gr.Column(elem_id="library-import"):  # not shown: the list has a button of its own that presses this one
        upload = Upload("Import", file_types=[".zip"])
    return Library(listing, upload, gr.Timer(POLL_S, active=False), gr.State(""))


@dataclass(frozen=True)
class Keeper:
    """The handlers of the library."""

    library: Library
    jobs: Jobs
    studio: Studio
    views: gr.Tabs

    def told(self, handler: Callable[..., dict[Any, Any]]) -> Callable[..., dict[Any, Any]]:
        """What is refused is said in the list itself: an error would be a failed request to the browser."""

        @functools.wraps(handler)
        def wrapped(*args: Any, **kwargs: Any) -> dict[Any, Any]:
            try:
                return handler(*args, **kwargs)
            except ResoluteError as error:
                return {self.library.listing: gr.update(refusal=[str(error), new_id()])}

        return wrapped

    def came(self, event: gr.EventData) -> dict[Any, Any]:
        """Another view was chosen: the library is kept up to date only while it is looked at."""
        sent = event._data  # of any shape: Gradio's SelectData would fail on others than its own
        library, here = self.library, isinstance(sent, dict) and sent.get("value") == TITLE
        if not here:
            return {library.timer: gr.update(active=False)}
        now = signature(self.jobs)
        return {library.timer: gr.update(active=True), library.seen: now, library.listing: gr.update(revision=now)}

    def poll(self, seen: str) -> dict[Any, Any]:
        """Every two seconds; an unchanged library changes nothing."""
        now = signature(self.jobs)
        if now == seen:
            return {self.library.seen: gr.skip()}
        return {self.library.listing: gr.update(revision=now), self.library.seen: now}

    def changed(self, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Do what was asked and show the list anew."""
        change, by = parse_change(event._data), visitor_of(request, self.jobs)
        said = self._change(change, by)
        return {self.library.listing: library_value(self.jobs, change.query, said, by=by)}

    def _change(self, change: Change, by: Visitor) -> dict[str, Any] | None:
        """Change one job or notice; what was done, for the page to say."""
        jobs, job = self.jobs, change.job
        if change.name == "dismiss":
            jobs.dismiss(change.notice, by=by)
        elif change.name == "restart":
            jobs.restart_worker(by=by)
            return _said("The worker is started again.")
        elif change.name in ("pin", "unpin"):
            jobs.pin(job, change.name == "pin", by=by)
        elif change.name == "delete":
            jobs.delete(job, by=by)
            return _said(f"Deleted “{shortened(jobs.view(job).prompt, SHORT)}”.", undo=job)
        elif change.name == "restore":
            jobs.restore(job, by=by)
            return _said(f"“{shortened(jobs.view(job).prompt, SHORT)}” is back.")
        elif change.name == "purge":
            jobs.purge(job, by=by)
            return _said("Removed for good.")
        return None

    def left(self, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Go to the studio, with what was chosen. The poll of the library ends."""
        leave = parse_leave(event._data)
        changes: dict[Any, Any] = {self.views: gr.Tabs(selected="studio"), self.library.timer: gr.update(active=False)}
        if leave.job:
            changes |= self.studio.open_job(leave.job, request) | self._address(f"job={leave.job}")
        elif leave.runs:
            picks = ",".join(f"{pick.job}.{pick.number}" for pick in leave.runs)
            changes |= self.studio.show_comparison(compare_runs(self.jobs, leave.runs))
            changes |= self._address(f"compare={picks}")
        return changes

    def _address(self, query: str) -> dict[Any, Any]:
        return {self.library.listing: gr.update(address=[query, signature(self.jobs)])}

    def taken_in(self, path: str | None, request: gr.Request) -> dict[Any, Any]:
        """An archive was given: it becomes a job of its own."""
        if not path:
            raise InvalidInput("archive", "no file arrived; choose it again.")
        by = visitor_of(request, self.jobs)
        job = self.jobs.take_in(Path(path), by=by)
        said = _said(f"Imported “{shortened(self.jobs.view(job).prompt, SHORT)}”.")
        shown = library_value(self.jobs, Query(), said | {"job": job}, by=by)
        return {self.library.listing: gr.update(value=shown), self.library.upload: None}


def _said(text: str, undo: str | None = None) -> dict[str, Any]:
    return {"text": text, "undo": undo, "job": None}
