"""The command line, on a tiny pipeline: what it writes, what it says, how it fails."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from engine.cli import commands
from engine.cli.terminal import ProgressLines, print_report
from engine.comparing.comparison import compare
from engine.errors import Cancelled, RunFailed
from engine.experiments.documents import load_experiment
from engine.measuring.video import read_mp4
from engine.models.loading import load_model
from engine.reports.report_file import load
from tests.comparing.test_comparison import catalogued, experiment, failing
from tests.reports.test_html import found, pictured
from tests.tiny import saved_tiny_wan

SIZE = ["--height", "64", "--width", "64", "--frames", "5", "--steps", "4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")


def run_cli(monkeypatch, *arguments) -> int:
    monkeypatch.setattr("sys.argv", ["resolute", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        commands.main()
    return stopped.value.code or 0


def test_compare_writes_a_complete_report(monkeypatch, capsys, folder, tmp_path):
    code = run_cli(
        monkeypatch, "compare", "--model", folder, "--prompt", "a red apple", "--seed", 3, *SIZE,
        "--schedule", "0.5@50%", "--schedule", "1/0.75@25%/75%", "--out", tmp_path, "--json",
    )  # fmt: skip
    assert code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "report.json").read_text("utf-8"))
    for key in ("version", "model", "prompt", "seed", "size", "steps", "environment", "runs"):
        assert key in printed
    assert [run["name"] for run in printed["runs"]] == ["baseline", "0.5@50%", "1/0.75@25%/75%"]
    for run in printed["runs"]:
        assert run["status"] == "done"
        assert len(run["latency"]["steps_s"]) == len(run["memory"]["steps_bytes"]) == len(run["sigmas"]) == 4
        assert run["latency"]["denoise_s"] == pytest.approx(sum(run["latency"]["steps_s"]))
        assert read_mp4(tmp_path / run["video"]).shape == (5, 64, 64, 3)
    for run in printed["runs"][1:]:
        assert run["schedule"]["changing_resolution"] is True
        assert run["speedup"]["by_flops"] > 1
        assert run["similarity"]["psnr"]["mean"] < 100
        assert len(run["similarity"]["ssim"]["frames"]) == 5
        assert (tmp_path / run["heatmap"]).is_file()
    speedup = printed["runs"][0]["speedup"]
    assert speedup["measured"] == speedup["whole"] == speedup["by_flops"] == 1.0
    assert all(run["speedup"]["interval"]["low"] > 0 for run in printed["runs"][1:])
    assert printed["noise_floor"]["psnr"]["mean"] == 100.0
    assert "<video" in (tmp_path / "index.html").read_text("utf-8")
    assert not list(tmp_path.glob("*.part"))


def test_ctrl_c_cancels_at_the_next_step_and_a_second_one_interrupts():
    before = signal.getsignal(signal.SIGINT)  # ignored where the tests run in the background
    with ProgressLines(quiet=True) as listener:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Cancelled):
            listener.phase("baseline", "decoding")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_failed_run_ends_the_command_with_code_1(monkeypatch, folder, tmp_path, capsys):
    failing(monkeypatch, 2, RunFailed("out of memory after step 2; use a smaller size.", 2))
    command = ["compare", "--model", folder, "--prompt", "x", *SIZE, "-s", "0.5@2", "--out", tmp_path]
    assert run_cli(monkeypatch, *command, "--no-noise-floor", "--no-other-seed") == 1
    assert "out of memory after step 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--schedule", "nope"], 'schedule "nope" is neither'),
        (["--schedule", "2@2"], "nearest legal value is 1.0"),
        (["--schedule", "0.01@2"], "smallest legal rate here is"),
        (["--schedule", "0.5@2", "--policy", "best"], "policy is 'best'"),
        (["--schedule", "0.5@2", "--height", "65"], "nearest is 64"),
        (["--schedule", "0.5@2", "--guidance", "nan"], "guidance is nan"),
        (["--schedule", "0.5@2", "--shift", "0"], "shift is 0"),
        (["--schedule", "0.5@2", "--seed", "-1"], "seed is -1"),
        (["--schedule", "0.5@2", "--steps", "0"], "infer_steps is 0"),
        (["--schedule", "0.5@2", "--prompt", " "], "prompt is empty"),
        (["--schedule", "0.5@2", "--prompt", "x" * 3000], "3,000 characters"),
        (["--schedule", "0.5@2", "--model", "wan9"], "neither in the catalogue"),
        (["--schedule", "0.5@2", "--device", "tpu"], "must be cpu, cuda"),
        (["--schedule", "0.5@2", "--device", "cuda:7"], "CUDA devices are here"),
        (["--schedule", "0.5@2", "--solver", "heun"], "unipc, euler"),
        (["--schedule", "0.5@2", "--dtype", "int8"], "bfloat16, float16, float32"),
        (["--schedule", "0.5@2", "--out", "/proc/nowhere"], "cannot be written to"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(monkeypatch, capsys, folder, tmp_path, arguments, sentence):
    command = ["compare", "--model", folder, "--prompt", "x", *SIZE, "--out", tmp_path / "out"]
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        if option in command:
            command[command.index(option) + 1] = value
        else:
            command += [option, value]
    assert run_cli(monkeypatch, *command) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_out_folder_that_cannot_be_written_is_found_before_anything_runs(monkeypatch, capsys, folder, tmp_path):
    (tmp_path / "file").write_text("")
    command = ["compare", "--model", folder, "--prompt", "x", *SIZE, "-s", "0.5@2", "--out", tmp_path / "file" / "out"]
    assert run_cli(monkeypatch, *command) == 2
    assert "cannot be written to" in capsys.readouterr().err


def test_what_the_conditions_took_is_a_column_where_there_were_some(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for report, shown in ((pictured(1.25, 10.5), True), (pictured(), False), (found(), False)):
        print_report(report, Path("out"))
        told = capsys.readouterr().out
        assert ("conditions s" in told) is ("1.25" in told) is ("10.50" in told) is shown


def test_schedule_check_says_what_a_file_means(monkeypatch, capsys, folder):
    assert run_cli(monkeypatch, "schedule", "check", "lightx2v-wan_t2v_U") == 0
    assert "U-shaped, 50 steps" in capsys.readouterr().out
    assert run_cli(monkeypatch, "schedule", "check", "0.5@50%", "--model", folder) == 0
    assert "true rate 0.5000" in capsys.readouterr().out


def test_schedule_check_refuses_a_broken_file(monkeypatch, capsys, tmp_path):
    (tmp_path / "broken.json").write_text('{"infer_steps": 50')
    assert run_cli(monkeypatch, "schedule", "check", tmp_path / "broken.json") == 2
    assert "broken.json is not complete, valid JSON" in capsys.readouterr().err


def test_models_and_cost_need_no_weights(monkeypatch, capsys):
    assert run_cli(monkeypatch, "models") == 0
    assert "wan2.1-14b" in capsys.readouterr().out
    command = ["cost", "--model", "wan2.1-1.3b", "--schedule", "lightx2v-wan_t2v_U", "--json"]
    assert run_cli(monkeypatch, *command) == 0
    costs = json.loads(capsys.readouterr().out)
    assert costs["schedules"]["lightx2v-wan_t2v_U"]["speedup_by_flops"] == pytest.approx(1.452, abs=0.001)


def test_schedules_with_steps_of_their_own_are_checked_exported_and_costed(monkeypatch, capsys, folder):
    assert run_cli(monkeypatch, "schedule", "check", "0.5@50%/6", "--model", folder) == 0
    assert "two-stage, 6 steps of its own" in capsys.readouterr().out
    assert run_cli(monkeypatch, "schedule", "export", "0.5@50%/6") == 0
    config = json.loads(capsys.readouterr().out)
    assert (config["infer_steps"], config["changing_resolution_steps"]) == (6, [3])
    assert run_cli(monkeypatch, "cost", "--model", "wan2.1-1.3b", "-s", "flat@15", "--steps", 30, "--json") == 0
    assert json.loads(capsys.readouterr().out)["schedules"]["flat@15"]["speedup_by_flops"] == 2
    assert run_cli(monkeypatch, "cost", "--model", "wan2.1-1.3b", "-s", "flat@1001") == 2
    assert "whole number in 1..1000" in capsys.readouterr().err


def test_a_comparison_runs_every_schedule_at_its_own_steps(monkeypatch, capsys, folder, tmp_path):
    command = [
        "compare",
        "--model",
        folder,
        "--prompt",
        "a red apple",
        *SIZE,
        "-s",
        "flat@2",
        "-s",
        "0.5@1/3",
        "-s",
        "0.5@2",
    ]
    out = tmp_path / "out"
    assert run_cli(monkeypatch, *command, "--no-noise-floor", "--no-other-seed", "--out", out) == 0
    assert [len(run.latency.steps_s) for run in load(out / "report.json").runs] == [4, 2, 3, 4]
    printed = capsys.readouterr().out
    assert "anchored, 2 steps" in printed
    assert "anchored, 3 steps" in printed


def test_a_video_or_a_report_reproduces_its_experiment(monkeypatch, capsys, folder, model, tmp_path):
    catalogued(monkeypatch, model)
    asked = experiment(model, "0.5@2", "1/0.75@1/3", prompt="„Apfel“ 🍎", guidance=2.5)
    first = compare(asked, model, tmp_path / "first", noise_floor=False)
    for source in (first.runs[2].video, "report.json"):
        found = load_experiment(tmp_path / "first" / source)
        assert (found.tracks, found.prompt, found.guidance) == (asked.tracks, asked.prompt, asked.guidance)
    command = ["reproduce", tmp_path / "first" / first.runs[1].video, "--out", tmp_path / "again", "--no-noise-floor"]
    assert run_cli(monkeypatch, *command) == 0
    again = load(tmp_path / "again" / "report.json")
    assert [run.similarity for run in again.runs] == [run.similarity for run in first.runs]
