"""One rule for every text from outside: refused where it is typed, taken out of documents."""

from __future__ import annotations

import io
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from engine.cli import terminal
from engine.errors import InvalidInput
from engine.experiments.documents import load_experiment, parse_experiment
from engine.experiments.experiment import make_experiment
from engine.experiments.presets import parse_preset
from engine.experiments.settings import Settings
from engine.experiments.share_link import pack, unpack
from engine.jobs.service import Jobs
from engine.models.catalogue import catalogue_model
from engine.reports.report_file import load, save
from engine.texts import check_plain, escaped, plain
from tests.jobs import shelf
from tests.jobs.test_archive import exported, written  # noqa: F401
from ui.timeline.board import parse_board

HOSTILE = "x\x1b]0;PWN\x07\x1b[31mred\x9b32m\u202e"
TAKEN_OUT = "x]0;PWN[31mred32m"
ODD = ["\x00", "\x07", "\x1b", "\x7f", "\x80", "\x9b", "\x85", "\ud800", "\udfff", "\uffff", "\U000e0080"] + [
    chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
]
HONEST = "a fox 🦊, 👩‍🚀 שלום مرحبا\u200f ½ — naïve 中文\u00a0x"


@pytest.mark.parametrize("char", ODD)
def test_what_no_text_may_hold_is_refused_by_name_and_taken_out(char):
    with pytest.raises(InvalidInput, match=r"name holds a control character .*; remove it\.$") as caught:
        check_plain("name", f"a{char}b")
    assert str(caught.value).isprintable()
    assert plain(f"a{char}b", lines=True) == "ab"
    assert escaped(f"a{char}b").isprintable()


def test_honest_texts_stay_as_they_are():
    check_plain("prompt", HONEST)
    assert plain(HONEST) == escaped(HONEST) == HONEST
    lines = "first\n\tsecond\r\n"
    check_plain("prompt", lines, lines=True)
    assert plain(lines, lines=True) == lines
    with pytest.raises(InvalidInput):
        check_plain("name", lines)


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_a_prompt_that_is_typed_with_an_escape_is_refused(field):
    spec = catalogue_model("emoji-wan")
    asked = replace(Settings("a fox"), **{field: HOSTILE})
    with pytest.raises(InvalidInput, match=f"{field} holds a control character"):
        make_experiment(spec, [], asked)
    assert make_experiment(spec, [], replace(asked, **{field: "a fox\nby night"})) is not None


def test_a_name_that_is_sent_with_an_escape_is_refused():
    experiment = shelf.experiment()
    tracks = [replace(experiment.tracks[0], name=HOSTILE)]
    with pytest.raises(InvalidInput, match="name holds a control character"):
        make_experiment(experiment.spec, tracks, Settings("a fox", steps=6))


@pytest.mark.parametrize("char", ["\x1b", "\x80", "\x9b", "\u202e", "\u2066", "\n"])
def test_the_board_has_the_same_rule(char):
    lane = {"policy": "anchored", "colour": 1, "resolution_rate": [0.5], "changing_resolution_steps": [3]}
    with pytest.raises(InvalidInput, match="Track 1: name holds a control character"):
        parse_board({"infer_steps": 6, "tracks": [lane | {"name": f"a{char}b"}]})


def hostile_document() -> dict:
    document = shelf.experiment().document()
    document["tracks"][0]["name"] = HOSTILE
    return document | {"prompt": f"a fox {HOSTILE}", "negative_prompt": HOSTILE}


def test_an_experiment_of_before_opens_without_what_no_text_may_hold(tmp_path):
    path = tmp_path / "exp.json"
    path.write_text(json.dumps(hostile_document()))
    made = load_experiment(path, catalogue_model)
    assert (made.prompt, made.negative_prompt) == (f"a fox {TAKEN_OUT}", TAKEN_OUT)
    assert made.tracks[0].name == TAKEN_OUT
    assert unpack(pack(made)) == made


def test_a_preset_of_before_opens_without_what_no_text_may_hold():
    own = {"resolute_preset": 1, "infer_steps": 6, "resolution_rate": [0.5], "changing_resolution_steps": [3]}
    preset = parse_preset(json.dumps(own | {"name": HOSTILE, "description": f"{HOSTILE}\nmore"}), "x.json")
    assert (preset.name, preset.description) == (TAKEN_OUT, f"{TAKEN_OUT}\nmore")
    assert parse_preset(json.dumps(own | {"name": "a\0b"}), "x.json").name == "ab"
    with pytest.raises(InvalidInput, match=r"name is .*; it must be text of 1 to 80 characters"):
        parse_preset(json.dumps(own | {"name": "\x1b\0"}), "x.json")
    config = {"infer_steps": 6, "changing_resolution": False}
    assert parse_preset(json.dumps(config), "a\x1b[31m\u202e.json").name == "a[31m"


def test_a_report_of_before_opens_without_what_no_text_may_hold(tmp_path):
    experiment = shelf.experiment()
    save(shelf.report_of(experiment, range(3)), tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    document["prompt"] = document["runs"][2]["name"] = document["runs"][1]["similarity"]["lpips"]["reason"] = HOSTILE
    (tmp_path / "report.json").write_text(json.dumps(document))
    report = load(tmp_path / "report.json")
    assert {report.prompt, report.runs[2].name, report.runs[1].similarity.lpips.reason} == {TAKEN_OUT}


def test_an_archive_with_such_a_name_opens_with_the_rest_of_it(exported, tmp_path):  # noqa: F811
    request, report = json.loads(exported["job.json"]), json.loads(exported["report.json"])
    document = json.loads(request["document"])
    document["tracks"][0]["name"] = report["runs"][1]["name"] = HOSTILE
    members = exported | {
        "job.json": json.dumps(request | {"document": json.dumps(document)}).encode(),
        "report.json": json.dumps(report).encode(),
    }
    with Jobs(tmp_path / "data", worker=False) as jobs:
        job = jobs.take_in(written(tmp_path / "a.zip", members))
        assert jobs.view(job).runs[1].name == jobs.view(job).experiment.tracks[0].name == TAKEN_OUT
        assert jobs.report(job).runs[1].name == TAKEN_OUT
        assert "u001b" not in jobs.file(job, "report.json").read_text()


def test_a_job_of_before_with_such_a_name_is_shown_with_the_rest_of_it(tmp_path):
    job = shelf.put(tmp_path, shelf.experiment())
    with Jobs(tmp_path, worker=False) as jobs:
        with sqlite3.connect(jobs.data.database) as database:
            database.execute("UPDATE runs SET name = ? WHERE number = 1", (HOSTILE,))
            database.execute("UPDATE jobs SET document = ?, revision = revision + 1", (json.dumps(hostile_document()),))
        view = jobs.view(job)
        assert (view.prompt, view.runs[1].name) == (f"a fox {TAKEN_OUT}", TAKEN_OUT)
        assert view.experiment.tracks[0].name == TAKEN_OUT


def test_the_terminal_is_told_no_escape(tmp_path, monkeypatch):
    """Even by a report that was made in this process and so never read."""
    report = shelf.report_of(shelf.experiment(), range(3))
    runs = [
        run.model_copy(update={"name": HOSTILE, "error": HOSTILE, "disturbed": HOSTILE, "policy": HOSTILE})
        for run in report.runs
    ]
    shown = io.StringIO()
    monkeypatch.setattr(terminal, "_console", lambda: Console(file=shown, force_terminal=True, color_system=None))
    terminal.print_report(report.model_copy(update={"runs": tuple(runs), "model": HOSTILE}), Path("out"))
    text = shown.getvalue()
    assert "red" in text
    assert not {char for char in text if char in HOSTILE} & set("\x1b\x07\x9b\u202e")


def test_the_bars_are_told_no_escape():
    lines = terminal.ProgressLines(quiet=True)
    lines.run_started(HOSTILE, 0, 1)
    lines.phase(HOSTILE, HOSTILE)
    (task,) = lines._bars.tasks
    assert task.description.isprintable()
    assert task.fields["state"].isprintable()


def test_a_document_that_is_no_text_is_refused_in_plain_words():
    with pytest.raises(InvalidInput) as caught:
        parse_experiment(json.dumps({HOSTILE: 1}), "x.json", catalogue_model)
    assert str(caught.value).isprintable()
