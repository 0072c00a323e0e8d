"""The page: self-contained, safe with hostile texts, honest about what is missing."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import RunFailed
from engine.measuring.video import write_mp4, write_webp
from engine.reports import html as report_page
from engine.reports import report_file
from engine.reports.closeness import Similarity
from engine.reports.report_tables import Footnotes, metric_cells, metric_heads
from engine.reports.run_display import COLOURS
from engine.reports.schema import Report
from engine.wording import gib_text
from tests.reports.test_schema import fields

HOSTILE = "<script>alert(1)</script></script><img src=x onerror=alert(1)> & \"' ]]> {{ 7*7 }} 🦊"
MEASURED = {
    "psnr": {"mean": 31.25, "min": 30.5, "frames": [32.0, 30.5], "reason": None},
    "ssim": {"mean": 0.98765, "min": 0.9, "frames": [0.9, 1.0], "reason": None},
    "ms_ssim": {"mean": 0.99, "min": 0.98, "frames": [0.98, 1.0], "reason": "4 of 5 scales"},
    "vmaf": {"mean": None, "min": None, "frames": None, "reason": "ffmpeg was not found."},
    "xpsnr": {"mean": 33.0, "min": 32.0, "frames": [32.0, 34.0], "reason": None},
    "flicker": {"mean": 1.5, "min": 1.0, "frames": [None, 2.0], "reason": None},
    "lpips": {"mean": None, "min": None, "frames": None, "reason": "not installed"},
}


class Tags(HTMLParser):
    """All start tags with their attributes, and the text of everything but scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._raw = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._raw = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._raw = self._raw and tag not in ("script", "style")

    def handle_data(self, data: str) -> None:
        self.text += "" if self._raw else data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def found(**changes: Any) -> Report:
    """Three runs: the baseline, a measured one and a failed one."""
    base, failed = fields()["runs"]
    measured = base | {"name": "two-stage", "policy": "coherent", "similarity": MEASURED}
    measured |= {"speedup": {"measured": 1.5, "by_flops": 1.62}, "video": "two.mp4", "heatmap": "heat.mp4"}
    return Report.model_validate(fields(runs=[base, measured, failed | {"name": "broken"}], **changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).random((2, 16, 16, 3)).astype(np.float32)
    for name in ("baseline.mp4", "two.mp4", "heat.mp4"):
        write_mp4(tmp_path / name, frames, fps=8)
    return tmp_path


def test_the_page_asks_nobody_for_anything(folder: Path) -> None:
    tags = Tags(report_page.render(found(), folder))
    for name, attributes in tags.tags:
        for key in ("src", "href", "srcset", "poster", "action", "data"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:", "#")), (name, key, str(value)[:60])
    assert not [link for link in tags.of("link") if link.get("rel") == "stylesheet"]
    assert not tags.of("iframe")
    style = report_page._assets()["style"]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"fetch\(|XMLHttpRequest|https?:", report_page._assets()["script"])


def test_the_security_policy_allows_its_two_scripts_and_no_others(folder: Path) -> None:
    html = report_page.render(found(prompt=HOSTILE), folder)
    policy = next(meta["content"] for meta in Tags(html).of("meta") if meta.get("http-equiv"))
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in rules["script-src"]
    scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert rules["script-src"].split() == [f"'sha256-{value}'" for value in hashes]
    assert len(scripts) == 2


def pooled(mean: float) -> dict[str, Any]:
    return {"mean": mean, "min": mean, "frames": [], "reason": None}


def test_the_closest_run_is_that_of_the_least_squared_error_and_not_of_the_best_mean_of_decibels(folder: Path) -> None:
    base, _ = fields()["runs"]
    still = MEASURED | {"psnr": {"mean": 60.0, "min": 20.0, "frames": [100.0, 20.0], "reason": None}}
    runs = [base | {"name": "even", "similarity": MEASURED | {"psnr_pooled": pooled(31.2)}}]
    runs += [base | {"name": "half equal", "similarity": still | {"psnr_pooled": pooled(23.0)}}]
    text = " ".join(Tags(report_page.render(found_of(base, *runs), folder)).text.split())
    assert "Closest to baseline31.2 dB even" in text
    old = [run | {"similarity": {k: v for k, v in run["similarity"].items() if k != "psnr_pooled"}} for run in runs]
    text = " ".join(Tags(report_page.render(found_of(base, *old), folder)).text.split())
    assert "Closest to baseline60.0 dB half equal" in text


def test_a_metric_of_all_frames_has_no_worst_frame(folder: Path) -> None:
    block = Similarity.model_validate(MEASURED | {"psnr_pooled": pooled(31.2)})
    cells = metric_cells(block, Footnotes())["psnr_pooled"]
    assert (cells["mean"].text, cells["worst"].text) == ("31.20", "")


def found_of(*runs: dict[str, Any]) -> Report:
    return Report.model_validate(fields(runs=list(runs)))


def test_videos_are_inside_the_page_to_the_byte(folder: Path) -> None:
    videos = Tags(report_page.render(found(), folder)).of("video")
    inside = [base64.b64decode(str(video["src"]).split(",", 1)[1]) for video in videos]
    assert inside == [(folder / name).read_bytes() for name in ("baseline.mp4", "two.mp4", "heat.mp4")]
    assert all("muted" in video and "playsinline" in video for video in videos)


def test_hostile_texts_are_shown_as_text(folder: Path) -> None:
    runs = list(found().runs)
    runs[2] = runs[2].model_copy(update={"name": HOSTILE, "error": HOSTILE, "policy": HOSTILE})
    hostile = found(prompt=HOSTILE, negative_prompt=HOSTILE, model=HOSTILE, solver=HOSTILE)
    hostile = hostile.model_copy(update={"runs": tuple(runs), "noise_floor_reason": HOSTILE})
    plain, tags = Tags(report_page.render(found(), folder)), Tags(report_page.render(hostile, folder))
    assert [name for name, _ in tags.tags] == [name for name, _ in plain.tags]
    assert tags.text.count(HOSTILE) >= 7
    assert not [key for _, attributes in tags.tags for key in attributes if key.startswith("on")]


def test_the_chart_data_cannot_end_its_script(folder: Path) -> None:
    runs = [run.model_copy(update={"name": f"{HOSTILE}{index}"}) for index, run in enumerate(found().runs)]
    html = report_page.render(found().model_copy(update={"runs": tuple(runs)}), folder)
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    assert data is not None
    assert [run["name"] for run in json.loads(data[1])["runs"]] == [run.name for run in runs]
    assert "<" not in data[1]


def test_figures_stand_in_the_table(folder: Path) -> None:
    text = Tags(report_page.render(found(), folder)).text
    for figure in ("31.25", "30.50", "0.9877", "1.50×", "1.62×", "2.50", "2.00 GiB"):
        assert figure in text, figure


def pictured(*conditions: float | None) -> Report:
    """A report of runs from a picture, with what their conditions took."""
    whole = found(image={"sha256": "a" * 64, "width": 64, "height": 64}).model_dump(mode="json")
    for run, seconds in zip(whole["runs"], conditions, strict=False):
        run["latency"] |= {"condition_s": seconds}
    return Report.model_validate(whole)


def test_what_the_conditions_took_is_told_where_there_were_some(folder: Path) -> None:
    page = report_page.render(pictured(1.25, 2.75), folder)
    text = Tags(page).text
    assert "conditions" in text
    assert "1.25" in text
    assert "2.75" in text
    assert "(once a stage, at its size)" in text
    for report in (found(), pictured()):  # nothing was given, or nobody has measured it
        assert "conditions" not in Tags(report_page.render(report, folder)).text


def test_a_missing_figure_is_a_dash_with_its_reason_and_footnote(folder: Path) -> None:
    html = report_page.render(found(), folder)
    tags = Tags(html)
    dashes = [span for span in tags.of("span") if span.get("class") == "dash"]
    assert {"ffmpeg was not found.", "not installed", "Out of memory."} <= {str(dash["title"]) for dash in dashes}
    notes = re.findall(r'<li id="note-(\d+)">([^<]+)</li>', html)
    assert [int(number) for number, _ in notes] == list(range(1, len(notes) + 1))
    assert len({reason for _, reason in notes}) == len(notes)
    linked = {str(link["href"]) for link in tags.of("a") if link.get("class") == "note"}
    assert linked == {f"#note-{number}" for number, _ in notes}


def test_a_caveat_stands_once_in_the_head_and_not_at_each_value(folder: Path) -> None:
    spans = [
        span for span in Tags(report_page.render(found(), folder)).of("span") if span.get("title") == "4 of 5 scales"
    ]
    assert len(spans) == 1


def test_a_failed_run_is_shown_with_its_error(folder: Path) -> None:
    tags = Tags(report_page.render(found(), folder))
    assert "broken" in tags.text
    assert tags.text.count("Out of memory.") >= 2  # in its place among the videos, and as a footnote
    assert "Not finished" in tags.text


def test_a_failed_baseline_leaves_a_page(folder: Path) -> None:
    base = fields()["runs"][0] | {"status": "failed", "error": "Not finite at step 1.", "latency": {}, "video": None}
    base |= {"stages": [], "sigmas": [], "speedup": {}, "flops": None}
    html = report_page.render(Report.model_validate(fields(runs=[base])), folder)
    assert "Not finite at step 1." in html
    assert not Tags(html).of("video")


def test_a_missing_video_file_is_said(folder: Path) -> None:
    (folder / "two.mp4").unlink()
    assert "The video file is missing." in Tags(report_page.render(found(), folder)).text


def test_a_link_out_of_the_folder_is_not_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("other") / "secret.mp4"
    secret.write_bytes(b"secret bytes")
    (folder / "two.mp4").unlink()
    (folder / "two.mp4").symlink_to(secret)
    assert base64.b64encode(b"secret bytes").decode() not in report_page.render(found(), folder)


def test_frames_kept_without_ffmpeg_are_shown_as_a_picture(folder: Path) -> None:
    write_webp(folder / "two.webp", np.zeros((2, 16, 16, 3), np.float32), fps=8)
    runs = list(found().runs)
    runs[1] = runs[1].model_copy(update={"video": "two.webp", "heatmap": None})
    tags = Tags(report_page.render(found().model_copy(update={"runs": tuple(runs)}), folder))
    assert str(tags.of("img")[0]["src"]).startswith("data:image/webp;base64,")


@pytest.mark.parametrize(
    ("floor", "words"),
    [
        ({"noise_floor": None, "noise_floor_reason": "not asked for"}, "Noise floor not known: not asked for."),
        ({"noise_floor": MEASURED}, "differs from itself"),
        (
            {"noise_floor": MEASURED | {"psnr": {"mean": 100, "min": 100, "frames": [100], "reason": None}}},
            "came out the same: every",
        ),
    ],
)
def test_the_noise_floor_is_explained(folder: Path, floor: dict[str, Any], words: str) -> None:
    text = " ".join(Tags(report_page.render(found(**floor), folder)).text.split())
    assert words in text
    assert ("the baseline, run twice" in text) == (floor["noise_floor"] is not None)
    assert "Similarity to the baseline is not quality." in text


def test_another_seed_is_told_in_words_beside_the_noise_floor(folder: Path) -> None:
    seed = {"other_seed": MEASURED | {"psnr_pooled": pooled(18.04)}, "other_seed_reason": None}
    text = " ".join(Tags(report_page.render(found(**seed), folder)).text.split())
    assert "Another seed of the prompt: 18.0 dB; a run that is no closer shows another picture." in text
    without = " ".join(Tags(report_page.render(found(), folder)).text.split())
    assert "Another seed not known: reports of before do not have it." in without


def test_the_report_can_be_saved_from_the_page(folder: Path) -> None:
    link = next(link for link in Tags(report_page.render(found(), folder)).of("a") if link.get("download"))
    (folder / "again.json").write_bytes(base64.b64decode(str(link["href"]).split(",", 1)[1]))
    assert report_file.load(folder / "again.json") == found()


def test_many_runs_start_over_with_the_colours(folder: Path) -> None:
    base = fields()["runs"][0]
    runs = [base | {"name": "baseline" if n == 0 else f"run {n}"} for n in range(10)]
    html = report_page.render(Report.model_validate(fields(runs=runs)), folder)
    style = report_page._assets()["style"]
    used = {int(number) for number in re.findall(r"--accent: var\(--run-(\d+)\)", html)}
    assert used == set(range(COLOURS))
    assert used == {int(number) for number in re.findall(r"--run-(\d+):", style)}


def test_every_control_has_a_name(folder: Path) -> None:
    html = report_page.render(found(), folder)
    for button in Tags(html).of("button"):
        assert button.get("aria-label") or button.get("class") == "wide"
        assert button.get("type") == "button"
    assert all(item.get("aria-label") for item in Tags(html).of("input") + Tags(html).of("video"))
    assert Tags(html).of("html")[0]["lang"] == "en"


def test_the_index_is_written_whole_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = report_page.write_index(found(), folder)
    assert path == folder / "index.html"
    assert path.read_text("utf-8") == report_page.render(found(), folder)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    path.unlink()
    with pytest.raises(RunFailed, match=r"index\.html was not written: the disk is full"):
        report_page.write_index(found(), folder)
    assert not list(folder.glob("index*"))


def test_similarity_blocks_of_every_kind_have_a_column(folder: Path) -> None:
    heads = metric_heads(found(), Footnotes())
    assert list(heads) == list(Similarity.model_fields)


@pytest.mark.parametrize(("count", "text"), [(0, "0 MiB"), (5 * 2**20, "5 MiB"), (3 * 2**29, "1.50 GiB")])
def test_bytes_are_said_in_binary_units(count: int, text: str) -> None:
    assert gib_text(count) == text
