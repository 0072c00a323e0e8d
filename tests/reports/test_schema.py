"""The report: it round-trips exactly, refuses what it must, and its documentation is complete."""

from __future__ import annotations

import errno
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.errors import InvalidInput, RunFailed
from engine.measuring.similarity import Metric
from engine.reports import report_file
from engine.reports.closeness import Similarity
from engine.reports.schema import Report
from engine.strict_json import Bounds

DOCS = Path(__file__).parents[2] / "docs" / "report.md"


def fields(**changes: Any) -> dict[str, Any]:
    """A small report of a baseline and one failed run, as plain JSON types."""
    missing = {"mean": None, "min": None, "frames": None, "reason": "this is the baseline"}
    similarity = dict.fromkeys(("psnr", "ssim", "ms_ssim", "vmaf", "xpsnr", "flicker", "lpips"), missing)
    stage = {"first_step": 1, "last_step": 2, "rate": 1.0, "width": 128, "height": 128}
    stage |= {"latent_width": 16, "latent_height": 16, "tokens": 320}
    run = {
        "name": "baseline",
        "policy": None,
        "schedule": {"infer_steps": 2, "changing_resolution": False},
        "status": "done",
        "error": None,
        "stages": [stage],
        "sigmas": [1.0, 0.7],
        "latency": {"total_s": 2.5, "text_s": 0.1, "denoise_s": 2, "decode_s": 0.4, "steps_s": [1.25, 0.75]},
        "memory": {"kind": "rss_above_start", "peak_bytes": 2**31, "steps_bytes": [1, None]},
        "flops": 10**15,
        "speedup": {"measured": 1.0, "by_flops": 1.0},
        "similarity": similarity,
        "video": "baseline.mp4",
    }
    failed = run | {"name": "two-stage", "policy": "coherent", "status": "failed", "error": "Out of memory."}
    failed |= {"stages": [], "sigmas": [], "latency": {}, "video": None, "flops": None, "speedup": {}}
    failed |= {"memory": {"kind": "rss_above_start", "peak_bytes": None, "reason": "the run failed"}}
    whole = {
        "version": 2,
        "created": "2026-11-23T12:00:00Z",
        "model": "emoji-wan",
        "prompt": "a fox 🦊 \"runs\" <script>alert('שלום')</script>\n",
        "seed": 42,
        "size": {"width": 128, "height": 128, "frames": 17},
        "fps": 8,
        "steps": 2,
        "guidance": 5.0,
        "shift": 3.0,
        "solver": "unipc",
        "environment": {
            "resolute": "0.1.0",
            "python": "3.11.7",
            "torch": "2.13.0+cpu",
            "platform": "Linux x86_64",
            "device": "cpu",
            "dtype": "float32",
        },
        "noise_floor": None,
        "noise_floor_reason": "not asked for",
        "runs": [run, failed],
    }
    return whole | changes


def example(**changes: Any) -> Report:
    return Report.model_validate(fields(**changes))


def with_run(index: int = 0, **changes: Any) -> dict[str, Any]:
    """Fields of the report with one run changed."""
    runs = fields()["runs"]
    runs[index] |= changes
    return fields(runs=runs)


def test_a_report_comes_back_equal(tmp_path: Path) -> None:
    report_file.save(example(), tmp_path / "report.json")
    assert report_file.load(tmp_path / "report.json") == example()
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_the_file_is_utf_8_with_the_names_that_others_rely_on(tmp_path: Path) -> None:
    report_file.save(example(), tmp_path / "report.json")
    data = json.loads((tmp_path / "report.json").read_bytes().decode("utf-8"))
    top = {"version", "model", "prompt", "seed", "size", "steps", "environment", "runs"}
    run = {"name", "policy", "schedule", "status", "error", "latency", "memory", "flops", "speedup"}
    run |= {"similarity", "video"}
    assert top <= data.keys()
    assert run <= data["runs"][0].keys()
    assert {"total_s", "text_s", "denoise_s", "decode_s", "steps_s"} <= data["runs"][0]["latency"].keys()
    assert {"kind", "peak_bytes", "steps_bytes"} <= data["runs"][0]["memory"].keys()
    assert {"measured", "by_flops"} <= data["runs"][0]["speedup"].keys()
    assert data["runs"][0]["similarity"]["psnr"].keys() == {"mean", "min", "frames", "reason"}
    assert data["created"] == "2026-11-23T12:00:00Z"
    assert "🦊" in (tmp_path / "report.json").read_text("utf-8")


def test_a_report_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        example().seed = 1  # type: ignore[misc]


def test_the_steps_of_a_run_know_their_stage() -> None:
    run = example().baseline
    assert run.stage_of(2) is run.stages[0]
    assert run.stage_of(3) is None


def test_a_run_may_be_longer_than_the_report_by_its_own_steps_alone(tmp_path: Path) -> None:
    longer = Report.model_validate(with_run(1, steps=3, sigmas=[1.0, 0.5, 0.2]))
    assert (longer.steps_of(longer.runs[0]), longer.steps_of(longer.runs[1]), longer.most_steps) == (2, 3, 3)
    report_file.save(longer, tmp_path / "report.json")
    assert report_file.load(tmp_path / "report.json") == longer
    told = json.loads((tmp_path / "report.json").read_text("utf-8"))["runs"]
    assert (told[1]["steps"], "steps" in told[0]) == (3, False)


BROKEN = {
    "unknown field": fields(extra=1),
    "another version": fields(version=3),
    "no runs": fields(runs=[]),
    "no baseline": with_run(0, name="flat"),
    "same name twice": with_run(1, name="baseline"),
    "failed without error": with_run(1, error=None),
    "done with error": with_run(0, error="odd"),
    "bad status": with_run(0, status="running"),
    "negative seconds": with_run(0, latency={"total_s": -1.0}),
    "text for seconds": with_run(0, latency={"total_s": "1.0"}),
    "memory without a reason": with_run(0, memory={"kind": "cuda", "peak_bytes": None}),
    "memory of no kind": with_run(0, memory={"kind": "vram", "peak_bytes": 1}),
    "noise floor without a reason": fields(noise_floor_reason=None),
    "file in a folder": with_run(0, video="../../etc/passwd"),
    "absolute file": with_run(0, video="/etc/passwd"),
    "windows file": with_run(0, video="C:\\x.mp4"),
    "hidden file": with_run(0, heatmap=".x"),
    "more steps than the report": with_run(0, sigmas=[1.0, 0.5, 0.2]),
    "steps of the baseline's own": with_run(0, steps=2),
    "no steps of its own": with_run(1, steps=0),
    "too many steps of its own": with_run(1, steps=1001),
    "text as steps of its own": with_run(1, steps="3.5"),
    "more steps than its own": with_run(1, steps=1, sigmas=[1.0, 0.5]),
    "stages with a gap": with_run(0, stages=[fields()["runs"][0]["stages"][0] | {"first_step": 2}]),
    "stage that ends first": with_run(0, stages=[fields()["runs"][0]["stages"][0] | {"last_step": 0}]),
    "rate above one": with_run(0, stages=[fields()["runs"][0]["stages"][0] | {"rate": 1.5}]),
    "speed-up of zero": with_run(0, speedup={"measured": 0.0}),
    "time without a zone": fields(created="2026-11-23T12:00:00"),
    "true as a seed": fields(seed=True),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_report_is_refused_with_one_sentence(tmp_path: Path, broken: dict[str, Any]) -> None:
    (tmp_path / "report.json").write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"^report\.json is not a report: ") as caught:
        report_file.load(tmp_path / "report.json")
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xef\xbb\xbf" + json.dumps(fields()).encode(),
        json.dumps(fields()).encode("utf-16"),
        b'{"a":' * 100_000,
        json.dumps(fields()).encode()[:-20],
        json.dumps(fields()).replace('"guidance": 5.0', '"guidance": NaN').encode(),
        json.dumps(fields()).replace('"guidance": 5.0', '"guidance": 1e999').encode(),
        json.dumps(fields()).replace('"infer_steps": 2', '"infer_steps": 1e999').encode(),
        json.dumps(fields(prompt="\ud800")).encode(),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "report.json").write_bytes(data)
    with pytest.raises(InvalidInput, match=r"^report\.json is not a report: "):
        report_file.load(tmp_path / "report.json")


def test_another_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(fields(version=3)))
    with pytest.raises(InvalidInput, match="it has version 3, this Resolute reads versions 1 to 2"):
        report_file.load(tmp_path / "report.json")


@pytest.mark.parametrize("broken", [one for one in BROKEN.values() if one["version"] == 2])
def test_a_report_of_version_1_is_read_as_strictly(tmp_path: Path, broken: dict[str, Any]) -> None:
    (tmp_path / "report.json").write_text(json.dumps(broken | {"version": 1}), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"^report\.json is not a report: "):
        report_file.load(tmp_path / "report.json")


def test_a_missing_or_huge_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        report_file.load(tmp_path / "report.json")
    report_file.save(example(), tmp_path / "report.json")
    monkeypatch.setattr(report_file, "BOUNDS", Bounds(10, 10))
    with pytest.raises(InvalidInput, match="at most 10 bytes"):
        report_file.load(tmp_path / "report.json")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_can_be_neither_made_nor_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValidationError):
        example(guidance=value)
    with pytest.raises(ValidationError):
        Report.model_validate(with_run(0, sigmas=[value]))
    with pytest.raises(ValidationError):
        Report.model_validate(with_run(0, schedule={"resolution_rate": [value]}))
    smuggled = example().model_copy(update={"guidance": value})
    with pytest.raises(ValueError, match="JSON compliant"):
        report_file.save(smuggled, tmp_path / "report.json")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report_file.save(example(), tmp_path / "report.json")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunFailed, match=r"report\.json was not written: the disk is full"):
        report_file.save(example(seed=7), tmp_path / "report.json")
    monkeypatch.undo()
    assert report_file.load(tmp_path / "report.json").seed == 42
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_similarity_is_built_from_metrics_in_the_order_of_the_schema() -> None:
    block = Similarity.missing("no baseline: it failed")
    assert list(block.metrics()) == ["psnr", "psnr_pooled", "ssim", "ms_ssim", "vmaf", "xpsnr", "flicker", "lpips"]
    assert block.vmaf == Metric(mean=None, min=None, frames=None, reason="no baseline: it failed")


def test_every_field_is_documented_and_nothing_else() -> None:
    described = report_file.schema()
    models = {"Report": described["properties"]} | {
        name: model["properties"] for name, model in described["$defs"].items() if "properties" in model
    }
    sections = re.split(r"^## ", DOCS.read_text("utf-8"), flags=re.MULTILINE)[1:]
    documented = {
        section.split("\n", 1)[0].strip(): re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
        for section in sections
    }
    assert documented == {name: list(properties) for name, properties in models.items()}


def test_every_documented_link_leads_to_a_section() -> None:
    text = DOCS.read_text("utf-8")
    headings = {heading.lower() for heading in re.findall(r"^## (\w+)$", text, flags=re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= headings
