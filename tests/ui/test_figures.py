"""The figures widget's value: every figure with its number, every dash with its reason; actions parsed strictly."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from engine.errors import InvalidInput
from engine.reports.schema import Report
from tests.reports.test_html import MEASURED, found, pictured
from tests.reports.test_schema import fields
from ui.figures.figures_value import Select, figures_of, parse_action

FLOOR = MEASURED | {"psnr": {"mean": 48.0, "min": 46.0, "frames": [50.0, 46.0], "reason": None}}


def changed(number: int, **changes: Any) -> Report:
    """The report of `found` with one run changed."""
    whole = found().model_dump(mode="json")
    whole["runs"][number] |= changes
    return Report.model_validate(whole)


def texts(report: Report, column: str) -> list[str | None]:
    return [row.cells[column].text if column in row.cells else None for row in figures_of(report).rows]


def test_every_figure_of_a_run_stands_in_its_column() -> None:
    row = figures_of(found()).rows[1]
    shown = {name: cell.text for name, cell in row.cells.items()}
    assert shown == {
        "total": "2.50", "denoise": "2.00", "whole": "–", "speedup": "1.50×", "bound": "1.62×", "share": "93 %",
        "memory": "2.00",
        "psnr_mean": "31.25", "psnr_min": "30.50", "ssim_mean": "0.9877", "ssim_min": "0.9000",
        "vmaf_mean": "–", "vmaf_min": "–",
    }  # fmt: skip
    assert row.cells["share"].number == pytest.approx(1.5 / 1.62)
    assert (row.name, row.policy, row.colour, row.stages) == ("two-stage", "coherent", 1, "128×128 for 2 steps")
    assert set(shown) == {column.id for column in figures_of(found()).columns}


def test_what_is_unknown_is_a_dash_with_its_reason_once_as_a_footnote() -> None:
    figures = figures_of(found())
    cell = figures.rows[1].cells["vmaf_mean"]
    assert (cell.text, cell.number, cell.reason) == ("–", None, "ffmpeg was not found.")
    assert figures.notes[cell.note - 1] == "ffmpeg was not found."
    broken = figures.rows[2].cells.values()
    assert {cell.text for cell in broken} == {"–"}
    assert {figures.notes[cell.note - 1] for cell in broken} == {"Out of memory."}
    assert len(set(figures.notes)) == len(figures.notes)


def test_the_baseline_has_no_similarity_to_itself_and_no_share_of_a_bound() -> None:
    assert figures_of(found()).rows[0].cells.keys() == {"total", "denoise", "whole", "speedup", "bound", "memory"}


def test_similarity_stands_apart_from_cost_and_is_not_called_quality() -> None:
    groups = {column.id: column.group for column in figures_of(found()).columns}
    assert groups.pop("psnr_mean") == groups.pop("ssim_min") == "Similarity to the baseline (not quality)"
    assert groups["denoise"] == groups["memory"] == "Cost"


@pytest.mark.parametrize(("kind", "head"), [("cuda", "VRAM peak"), ("rss_above_start", "Resident peak")])
def test_memory_is_labelled_as_what_it_is(kind: str, head: str) -> None:
    column = next(
        c for c in figures_of(changed(0, memory={"kind": kind, "peak_bytes": 2**31})).columns if c.id == "memory"
    )
    assert (column.head, column.label) == (head, "GiB")


def test_a_column_has_one_unit_and_one_count_of_decimals() -> None:
    report = changed(1, latency={"total_s": 123.4, "denoise_s": 8.126}, memory={"kind": "cuda", "peak_bytes": 2**29})
    assert texts(report, "total") == ["2.50", "123.40", "–"]
    assert texts(report, "denoise") == ["2.00", "8.13", "–"]
    assert texts(report, "memory") == ["2.00", "0.50", "–"]


def test_conditions_have_a_column_where_they_were_given_and_measured() -> None:
    assert texts(pictured(1.25, 10.5), "conditions") == ["1.25", "10.50", "–"]
    assert "conditions" in {column.id for column in figures_of(pictured(1.25)).columns}
    for report in (found(), pictured()):
        assert "conditions" not in {column.id for column in figures_of(report).columns}
        assert "conditions" not in figures_of(report).rows[0].cells


def test_a_caveat_of_values_that_are_there_stands_in_the_head() -> None:
    similarity = MEASURED | {"vmaf": {"mean": 90.0, "min": 80.0, "frames": [80.0, 100.0], "reason": "Small frames."}}
    figures = figures_of(changed(1, similarity=similarity))
    column = next(column for column in figures.columns if column.id == "vmaf_min")
    assert figures.notes[column.note - 1] == "Small frames."
    assert figures.rows[1].cells["vmaf_min"].note is None


def test_the_noise_floor_is_a_row_and_a_line_of_the_plot() -> None:
    figures = figures_of(found(noise_floor=FLOOR, noise_floor_reason=None))
    assert figures.floor is not None
    assert figures.floor["psnr_mean"].text == "48.00"
    assert [axis.floor for axis in figures.up] == [48.0, 0.98765, None]


def test_an_exact_noise_floor_is_said_in_words_and_draws_no_line() -> None:
    exact = MEASURED | {"psnr": {"mean": 100.0, "min": 100.0, "frames": [100.0, 100.0], "reason": None}}
    figures = figures_of(found(noise_floor=exact, noise_floor_reason=None))
    assert figures.floor is not None
    assert [axis.floor for axis in figures.up] == [None] * 3
    assert "came out the same" in figures.floor_remark


def test_a_missing_noise_floor_says_why() -> None:
    figures = figures_of(found())
    assert figures.floor is None
    assert figures.floor_remark.startswith("Noise floor not known: not asked for.")


def test_another_seed_is_told_beside_the_noise_floor() -> None:
    figures = figures_of(found(other_seed=FLOOR, other_seed_reason=None))
    assert figures.floor_remark.endswith(
        "Another seed of the prompt: 48.0 dB; a run that is no closer shows another picture."
    )


def test_runs_are_plotted_by_the_psnr_of_all_frames_and_the_table_has_both() -> None:
    pooled = {"mean": 29.5, "min": 29.5, "frames": [], "reason": None}
    figures = figures_of(changed(1, similarity=MEASURED | {"psnr_pooled": pooled}))
    assert figures.points[1].at["psnr"] == 29.5
    shown = {name: cell.text for name, cell in figures.rows[1].cells.items() if name.startswith("psnr")}
    assert shown == {"psnr_pooled": "29.50", "psnr_mean": "31.25", "psnr_min": "30.50"}
    assert [column.label for column in figures.columns if column.head == "PSNR, dB"] == ["all", "mean", "min"]
    assert figures_of(changed(1, similarity=MEASURED)).points[1].at["psnr"] == 31.25


def test_points_have_a_place_on_every_axis_or_a_reason() -> None:
    figures = figures_of(found())
    axes = {axis.id for axis in (*figures.across, *figures.up)}
    for point in figures.points:
        assert point.at.keys() == axes
        assert {name for name, value in point.at.items() if value is None} == point.reasons.keys()
        assert all(point.reasons.values())
    assert figures.points[1].at["flops"] == 1.0
    assert figures.across[2].unit == "PFLOP"
    assert figures.points[2].reasons["denoise"] == "Out of memory."


def test_a_report_of_the_baseline_alone_and_one_that_failed_are_shown() -> None:
    base, failed = fields()["runs"]
    alone = figures_of(Report.model_validate(fields(runs=[base])))
    assert [row.name for row in alone.rows] == ["baseline"]
    lost = figures_of(Report.model_validate(fields(runs=[failed | {"name": "baseline", "policy": None}])))
    assert {cell.text for cell in lost.rows[0].cells.values()} == {"–"}


def test_the_value_is_strict_json() -> None:
    value = figures_of(found(noise_floor=FLOOR, noise_floor_reason=None)).to_json()
    assert json.loads(json.dumps(value, allow_nan=False))["rows"][1]["name"] == "two-stage"


def test_an_action_names_a_run() -> None:
    assert parse_action({"action": "select", "number": 2}, runs=3) == Select(2)


@pytest.mark.parametrize(
    "data",
    [
        None, "select", [], {}, {"action": "select"}, {"action": "skip", "number": 1},
        {"action": "select", "number": 1, "more": 1}, {"action": "select", "number": True},
        {"action": "select", "number": 1.0}, {"action": "select", "number": -1}, {"action": "select", "number": 3},
        {"action": "select", "number": "1"}, {"action": "select", "number": math.nan},
        {"action": "select", "number": 10**400}, {"action": ["select"], "number": 1},
    ],
)  # fmt: skip
def test_any_other_action_is_refused_in_one_sentence(data: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_action(data, runs=3)
    assert len(str(caught.value)) < 200
