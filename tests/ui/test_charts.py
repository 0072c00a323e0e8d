"""The charts: what they draw is what the report says, gaps stay gaps, and texts stay texts."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import InvalidInput
from engine.reports.schema import Report
from tests.reports.test_html import HOSTILE, MEASURED, found
from tests.reports.test_schema import fields
from tests.ui.test_figures import changed
from ui.studio import charts


def lines(figure: Any) -> dict[str, list[Any]]:
    return {trace.name: list(trace.y) for trace in figure.data}


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_seconds_stand_above_the_resolution_of_the_same_steps() -> None:
    figure = charts.steps_chart(found())
    seconds = [trace for trace in figure.data if trace.yaxis == "y"]
    heights = [trace for trace in figure.data if trace.yaxis == "y2"]
    assert [(trace.name, list(trace.x), list(trace.y)) for trace in seconds] == [
        ("baseline", [1, 2], [1.25, 0.75]),
        ("two-stage", [1, 2], [1.25, 0.75]),
    ]
    assert [(list(trace.x), list(trace.y)) for trace in heights] == [([0.5, 2.5], [128, 128])] * 2
    assert heights[0].text[0] == "128×128 px, 320 tokens"
    assert figure.layout.xaxis.matches == "x2"


def test_a_run_is_named_once_in_the_legend() -> None:
    named = [trace.name for trace in charts.steps_chart(found()).data if trace.showlegend is not False]
    assert named == ["baseline", "two-stage"]


def test_memory_that_was_not_read_leaves_a_gap() -> None:
    figure = charts.memory_chart(changed(1, memory={"kind": "cuda", "peak_bytes": 2**30, "steps_bytes": [2**30, None]}))
    assert lines(figure)["two-stage"] == [1024.0, None]
    assert figure.data[1].connectgaps is False


def test_similarity_is_drawn_by_frame_for_runs_that_have_it() -> None:
    assert lines(charts.similarity_chart(found())) == {"two-stage": [32.0, 30.5]}
    assert lines(charts.similarity_chart(found(), "flicker")) == {"two-stage": [None, 2.0]}
    assert "lower is closer" in charts.similarity_chart(found(), "flicker").layout.annotations[0].text


def test_what_nobody_measured_is_said_in_place_of_an_empty_frame() -> None:
    figure = charts.similarity_chart(found(), "vmaf")
    assert not figure.data
    assert "not measured" in [note.text for note in figure.layout.annotations]
    assert not [note for note in charts.similarity_chart(found()).layout.annotations if note.text == "not measured"]


@pytest.mark.parametrize("metric", ["quality", "", None, ["psnr"]])
def test_an_unknown_metric_is_refused(metric: Any) -> None:
    with pytest.raises(InvalidInput, match="it must be one of psnr, ssim"):
        charts.similarity_chart(found(), metric)


def test_names_are_shown_as_text_and_bounded() -> None:
    figure = charts.similarity_chart(changed(1, name=HOSTILE))
    name = figure.data[0].name
    assert "<" not in name
    assert name.startswith("&lt;script&gt;alert(1)")
    long = charts.similarity_chart(changed(1, name="n" * 200))
    assert len(long.data[0].name) == 40


@pytest.mark.parametrize("paper", ["#f5f3ee", "#121316"])
def test_ink_and_accents_can_be_told_from_either_paper(paper: str) -> None:
    assert all(contrast(colour, paper) >= 3 for colour in (charts.INK, *charts.ACCENTS))


def all_charts(report: Report) -> list[Any]:
    return [charts.steps_chart(report), charts.memory_chart(report), charts.similarity_chart(report)]


@pytest.mark.parametrize("figure", all_charts(found()), ids=["steps", "memory", "similarity"])
def test_charts_bring_no_paper_of_their_own(figure: Any) -> None:
    layout = figure.layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert layout.title.text is None
    assert layout.hovermode == "x unified"
    assert layout.template.layout.paper_bgcolor is None
    assert figure.layout.font.color == charts.INK


def test_a_report_whose_runs_all_failed_is_drawn_empty() -> None:
    _, failed = fields()["runs"]
    report = Report.model_validate(fields(runs=[failed | {"name": "baseline", "policy": None}]))
    assert [len(figure.data) for figure in all_charts(report)] == [0, 0, 0]


def test_long_runs_have_few_ticks_and_no_marks() -> None:
    whole = fields(steps=200)
    whole["runs"] = [whole["runs"][0] | {"latency": {"steps_s": [1.0] * 200}, "similarity": MEASURED}]
    figure = charts.steps_chart(Report.model_validate(whole))
    assert figure.layout.xaxis.dtick >= 200 / 12
    assert figure.data[0].mode == "lines"


def test_bands_are_drawn_by_step_with_their_threshold() -> None:
    bands = {"edges": [0, 0.5, 1.0], "settled": [2, 2], "threshold": 0.05, "error": [[0.2, 0.01], [0.9, 0.03]]}
    figure = charts.bands_chart(changed(0, bands=bands))
    assert figure is not None
    assert lines(figure) == {"0% to 50% (coarse)": [0.2, 0.01], "50% to 100% (fine)": [0.9, 0.03]}
    assert figure.layout.shapes[0].y0 == 0.05
    assert charts.bands_chart(found()) is None
