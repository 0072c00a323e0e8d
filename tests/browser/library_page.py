"""The library beside a stand-in for the studio, with the routes of the server that it needs."""

from __future__ import annotations

from typing import Any

import gradio as gr
from fastapi import FastAPI

from engine.jobs.service import Jobs
from tests.browser.conftest import STYLE
from ui.comparator.comparator import Comparator
from ui.comparator.comparator_value import ComparatorValue
from ui.library.library_view import build_library
from ui.server.job_files import add_files
from ui.shared import theme


class Studio:
    """What the library needs of the wiring: it tells what it was given."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.comparator, self.told = Comparator(elem_id="comparator"), gr.Textbox(elem_id="told", label="told")

    def shown(self) -> list[Any]:
        return [self.comparator, self.told]

    def open_job(self, job: str, request: gr.Request | None = None) -> dict[Any, Any]:
        return {self.told: f"open {self.jobs.view(job).prompt}"}

    def show_comparison(self, shown: ComparatorValue) -> dict[Any, Any]:
        return {self.comparator: shown, self.told: f"compare {len(shown.tiles)}: {shown.note}"}


def library_page(jobs: Jobs) -> FastAPI:
    with gr.Blocks(elem_id="resolute") as blocks:
        with gr.Tabs(elem_id="views", selected="studio") as views:
            with gr.Tab("Studio", id="studio"):
                studio = Studio(jobs)
            with gr.Tab("Library", id="library") as tab:
                library = build_library()
        library.connect(jobs, tab, views, studio)
    app = FastAPI()
    add_files(app, jobs)
    gr.mount_gradio_app(
        app, blocks, path="/", theme=theme.theme(), css=STYLE.read_text("utf-8"), head=theme.head(), ssr_mode=False,
        footer_links=[], show_error=False,
    )  # fmt: skip
    return app
