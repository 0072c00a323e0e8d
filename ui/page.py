"""The page as a whole: the head with the views' names, and each view in its place."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from engine.jobs.service import Jobs
from ui.figures.figures_value import figures_of
from ui.library.library_view import build_library
from ui.server import program_api
from ui.server.border import Page
from ui.shared.theme import TITLE
from ui.studio import job_display
from ui.studio.forecast import board_context, forecast_html
from ui.studio.form import default_model, default_values
from ui.studio.opened_files import first_tracks
from ui.studio.studio_view import build_studio
from ui.studio.wiring import Wiring
from ui.timeline.board import board_of, parse_board

MARK = Path(__file__).parent / "shared" / "mark.svg"


def build_page(jobs: Jobs) -> gr.Blocks:
    """All views over the jobs of one data directory, wired."""
    with Page(
        title=TITLE, analytics_enabled=False, delete_cache=(600, 3600), fill_width=True, elem_id="resolute"
    ) as page:
        gr.HTML(_masthead(jobs), elem_id="masthead", padding=False)
        with gr.Tabs(elem_id="views", selected="studio") as views:
            with gr.Tab("Studio", id="studio"):
                studio = build_studio(_initial(jobs))
            with gr.Tab("Library", id="library") as tab:
                library = build_library()
        wiring = Wiring(studio, jobs)
        wiring.connect(page)
        library.connect(jobs, tab, views, wiring)
        program_api.add_endpoints(jobs)
    return page


def _initial(jobs: Jobs) -> dict[str, Any]:
    """What a first visit shows before anything has been asked: the example, and two tracks to try."""
    spec = default_model()
    values = default_values(spec)
    board = board_of(first_tracks(spec, values["steps"]), values["steps"])
    report = job_display.example_report()
    return {
        "board": board,
        "context": board_context(values, jobs, None),
        "forecast": forecast_html(values, parse_board(board), jobs),
        "comparison": job_display.example_comparison(),
        "figures": figures_of(report).to_json() if report else None,
    }


def _masthead(jobs: Jobs) -> str:
    """Mark, name, theme; and what must be known before anybody relies on this server."""
    warning = jobs.ephemeral
    note = f'<p class="ephemeral" role="note">{html.escape(warning)}</p>' if warning else ""
    mark = MARK.read_text("utf-8").replace("<svg ", '<svg class="mark" aria-hidden="true" ', 1)
    return (
        f'<header class="masthead">{mark}<h1>Resolute</h1><p class="claim">See what a resolution schedule costs</p>'
        '<button type="button" class="theme" onclick="resolute.toggleTheme()" aria-label="Light or dark" '
        'title="Light or dark"><svg viewBox="0 0 20 20" aria-hidden="true"><circle cx="10" cy="10" r="7.2" fill="none" '
        'stroke="currentColor" stroke-width="1.6"/><path d="M10 2.8a7.2 7.2 0 0 1 0 14.4z" fill="currentColor"/></svg>'
        f"</button></header>{note}"
    )
