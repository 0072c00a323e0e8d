"""The studio view: where everything stands. Which event does what is in wiring.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from engine.models.catalogue import ModelSpec
from ui.comparator.comparator import Comparator
from ui.figures.figures import FiguresPanel
from ui.pyramid.pyramid import PyramidView
from ui.shared.changing_dropdown import Choice
from ui.shared.upload_button import Upload
from ui.studio.form import Form, build_form, default_model
from ui.studio.model_change import other_model
from ui.studio.opened_files import ORDINARY
from ui.timeline.timeline import Timeline

ADD = "Add a preset…"
OPEN_HINT = '<p class="hint">A preset, LightX2V config, report or video; or drop it anywhere on the page.</p>'


@dataclass(frozen=True)
class Studio:
    """The components of the studio view that events touch."""

    form: Form
    examples: gr.Dataset
    other: gr.Button
    dice: gr.Button
    run: gr.Button
    stop: gr.Button
    forecast: gr.HTML
    status: gr.HTML
    board: Timeline
    comparator: Comparator
    figures: FiguresPanel
    pyramid: PyramidView
    charts: gr.Accordion
    steps_plot: gr.Plot
    memory_plot: gr.Plot
    similarity_plot: gr.Plot
    bands_plot: gr.Plot
    metric: gr.Radio
    add_preset: gr.Dropdown
    open_file: Upload
    share: gr.Button
    link: gr.Textbox
    export_track: Choice
    exports: gr.HTML
    downloads: gr.HTML
    noise_floor: gr.Checkbox
    job: gr.Textbox
    revision: gr.State
    documents: gr.State
    chosen: gr.State
    shown: gr.State
    asked: gr.State
    kept: gr.State
    timer: gr.Timer


def build_studio(initial: dict[str, Any]) -> Studio:
    """Place everything. `initial` holds the first `board`, `context`, `comparison`, `figures` and `forecast`."""
    form = build_form()
    parts: dict[str, Any] = {"form": form}
    _ask(form, parts, initial)
    with gr.Row(elem_id="bench", equal_height=False):
        with gr.Column(scale=6, min_width=360, elem_id="look"):
            parts["status"] = gr.HTML("", elem_id="status", padding=False)
            parts["comparator"] = Comparator(initial["comparison"], elem_id="comparator")
        with gr.Column(scale=5, min_width=360, elem_id="edit"):
            parts["board"] = Timeline(initial["board"], context=initial["context"], elem_id="board")
            _desk(parts)
    with gr.Column(elem_id="results"):
        parts["figures"] = FiguresPanel(initial["figures"], elem_id="figures")
        parts["pyramid"] = PyramidView(elem_id="pyramid")
        _charts(parts)
        parts["downloads"] = gr.HTML("", elem_id="downloads", padding=False)
    parts["job"] = gr.Textbox(
        "", visible="hidden", label="Job", elem_id="job"
    )  # in the page: scripts put it into the address
    parts["revision"] = gr.State(-1)
    parts["documents"] = gr.State({})
    parts["chosen"] = gr.State(default_model().id)  # the model that the board is drawn for
    parts["shown"] = gr.State("")  # another text whenever the page shows a model anew
    parts["asked"] = gr.State("")  # the model a person chose last, after what was shown: a choice told twice is one
    parts["kept"] = gr.State({})  # the board and fields of the other kind of model (ui/studio/model_change.py)
    parts["timer"] = gr.Timer(0.5, active=False)
    return Studio(**parts)


def other_label(spec: ModelSpec) -> str:
    """What the button says that asks the other shipped model for the same."""
    other = other_model(spec)
    return f"Same prompt with {other.id}" if other else ""


def _ask(form: Form, parts: dict[str, Any], initial: dict[str, Any]) -> None:
    """The question: prompt, seed, model, steps, and Run."""
    with gr.Row(elem_id="ask", equal_height=False):
        with gr.Column(scale=6, min_width=320):
            form.prompt.render()
            parts["examples"] = gr.Dataset(
                components=[gr.Textbox(visible=False)],
                samples=[[text] for text in default_model().examples],
                show_label=False,
                elem_id="examples",
                type="values",
            )
            with gr.Row(elem_classes="fields pictures"):
                form.image.render()
                form.last_image.render()
                form.video.render()
        with gr.Column(scale=5, min_width=320):
            with gr.Row(elem_classes="fields"):
                form.model.render()
                form.seed.render()
                parts["dice"] = gr.Button("⚄", elem_id="dice", elem_classes="square", min_width=44, scale=0)
                form.steps.render()
            with gr.Row(elem_classes="actions"):
                parts["run"] = gr.Button("Run", variant="primary", elem_id="run", scale=0, min_width=120)
                parts["stop"] = gr.Button(
                    "Stop all", variant="stop", elem_id="stop", visible=False, scale=0, min_width=110
                )
                parts["other"] = gr.Button(
                    other_label(default_model()),
                    visible=other_model(default_model()) is not None,
                    elem_id="other",
                    size="md",
                    scale=0,
                    min_width=120,
                )
                parts["forecast"] = gr.HTML(initial["forecast"], elem_id="forecast", padding=False)
    with gr.Accordion("More settings", open=False, elem_id="more"):
        with gr.Row(elem_classes="fields"):
            scales = (form.guidance, form.guidance_2, form.shift)
            for field in (form.height, form.width, form.frames, *scales, form.solver):
                field.render()
        form.negative.render()
        parts["noise_floor"] = gr.Checkbox(
            False, label="Run the baseline twice and show how much two equal runs differ", elem_id="noise-floor"
        )


def _desk(parts: dict[str, Any]) -> None:
    """Opening, saving and sharing schedules and whole experiments."""
    with gr.Row(elem_classes="fields desk", equal_height=True):
        parts["add_preset"] = gr.Dropdown(
            [ADD, *ORDINARY], value=ADD, label="Presets", elem_id="add-preset", min_width=150
        )
        parts["open_file"] = Upload(
            "Open a file…", file_types=[".json", ".mp4"], elem_id="open-file", scale=0, min_width=150
        )
        gr.HTML(OPEN_HINT, padding=False, elem_id="open-hint")
    with gr.Accordion("Share and export", open=False, elem_id="keep"):
        with gr.Row(elem_classes="fields", equal_height=True):
            parts["share"] = gr.Button("Copy link", elem_id="share", scale=0, min_width=120)
            parts["link"] = gr.Textbox(
                label="Link to this experiment", interactive=False, elem_id="link", lines=1, max_lines=1
            )
        with gr.Row(elem_classes="fields", equal_height=True):
            parts["export_track"] = Choice([], label="Schedule to export", elem_id="export-track", min_width=160)
            parts["exports"] = gr.HTML("", elem_id="exports", padding=False)


def _charts(parts: dict[str, Any]) -> None:
    with gr.Accordion("Charts", open=False, elem_id="charts") as parts["charts"]:
        with gr.Row():
            parts["steps_plot"] = gr.Plot(label="Seconds and resolution by step", min_width=360)
            parts["similarity_plot"] = gr.Plot(label="Similarity to the baseline by frame", min_width=360)
        parts["metric"] = gr.Radio(
            [("PSNR", "psnr"), ("SSIM", "ssim"), ("VMAF", "vmaf")], value="psnr", label="Similarity", elem_id="metric"
        )
        with gr.Row():
            parts["memory_plot"] = gr.Plot(label="Memory by step", min_width=360)
            parts["bands_plot"] = gr.Plot(label="Detail settling during the baseline", min_width=360)
