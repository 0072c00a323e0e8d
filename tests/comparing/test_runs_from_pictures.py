"""Whole comparisons that start from a picture: run, run again, refused, and what the pipeline makes of it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from engine.cli.commands import main
from engine.comparing.baseline_store import key_of
from engine.comparing.comparison import compare
from engine.errors import InvalidInput
from engine.experiments.conditions import check_complete, cut_file, pixels_of
from engine.experiments.documents import load_experiment
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.input_picture import picture_file, read_picture
from engine.experiments.presets import load_preset
from engine.experiments.script import diffusers_snippet
from engine.experiments.settings import Settings
from engine.models.catalogue import find_model
from engine.models.loading import load_model
from engine.reports.schema import Environment
from engine.switching.policies import policy_named
from tests.experiments.pictures import MALICIOUS, drawn, saved
from tests.experiments.test_conditions import experiment, track
from tests.families.builders_wan import wan_a14b_i2v, wan_flf2v
from tests.families.parts import seeded

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Wan 2.2 I2V as a folder: two experts, a first and a last frame."""
    return saved_pipeline(wan_a14b_i2v, tmp_path_factory.mktemp("models") / "tiny-i2v")


def saved_pipeline(build, folder: Path) -> Path:
    seeded(build)().save_pretrained(folder)
    own = {"height": 64, "width": 96, "num_frames": 5, "fps": 8, "steps": 6, "guidance": 3.0, "max_sequence_length": 16}
    (folder / "resolute.json").write_text(json.dumps(own))
    return folder


def cli(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd or ROOT)
        patch.setattr(sys, "argv", ["resolute", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    return subprocess.CompletedProcess(words, ended.value.code or 0, out.getvalue(), err.getvalue())


def cli_alone(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "engine", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd, env=environment)


@pytest.fixture(scope="module")
def compared(folder, tmp_path_factory) -> Path:
    """LightX2V's two I2V configs compared from a photograph by the command line."""
    out = tmp_path_factory.mktemp("out")
    (out / "photo.jpg").write_bytes(saved(drawn(300, 200), "JPEG"))
    said = cli(
        "compare", "--model", "tiny-i2v", "--prompt", "a red apple", "--steps", 6, "--image", out / "photo.jpg",
        "-s", "lightx2v-wan_i2v", "-s", "lightx2v-wan_i2v_U", "--policy", "lightx2v", "--no-noise-floor",
        "--out", out / "first", cwd=folder.parent,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    return out


def test_lightx2vs_i2v_configs_run_from_a_picture(compared):
    report = json.loads((compared / "first" / "report.json").read_text())
    picture = picture_file(compared / "photo.jpg")
    assert [run["status"] for run in report["runs"]] == ["done"] * 3
    assert report["image"] == picture.document()
    assert report["last_image"] is None
    assert picture_file(compared / "first" / picture.file) == picture
    assert str(compared) not in (compared / "first" / "report.json").read_text()


@pytest.mark.parametrize(("file", "run"), [("report.json", cli_alone), ("00-baseline.mp4", cli)])
def test_what_a_run_left_behind_runs_again_to_the_same_pixels(compared, folder, tmp_path, file, run):
    said = run("reproduce", compared / "first" / file, "--out", tmp_path, "--no-noise-floor", cwd=folder.parent)
    assert said.returncode == 0, said.stderr
    for video in (compared / "first").glob("*.mp4"):
        assert decoded(tmp_path / video.name) == decoded(video)


def decoded(video: Path) -> bytes:
    return b"".join(frame for frame in imageio_ffmpeg.read_frames(str(video)) if isinstance(frame, bytes))


def test_a_reproduction_finds_its_picture_or_asks_for_it(compared, folder, tmp_path):
    found = load_experiment(compared / "first" / "report.json", models=lambda name: find_model(str(folder)))
    assert found.conditions.image.png is not None
    shutil.copy(compared / "first" / "report.json", tmp_path)
    alone = load_experiment(tmp_path / "report.json", models=lambda name: find_model(str(folder)))
    assert alone == found
    assert alone.conditions.image.png is None
    with pytest.raises(InvalidInput, match=found.conditions.image.sha256[:12]):
        alone.conditions.check_here()


def test_the_command_line_refuses_before_anything_is_loaded(folder, tmp_path):
    (tmp_path / "a.png").write_bytes(MALICIOUS["svg"])
    words = ["compare", "--prompt", "a", "-s", "u-0.75", "--steps", "6", "--out", tmp_path / "out", "--model", folder]
    for more, told in (((), "image is empty; give it one"), (("--image", tmp_path / "a.png"), "is no whole PNG")):
        said = cli(*words, *more)
        assert (said.returncode, said.stderr.count("\n")) == (2, 1)
        assert told in said.stderr
    assert not (tmp_path / "out").exists()


def test_every_stage_encodes_the_one_picture_once_at_its_own_size(folder, tmp_path, monkeypatch):
    spec, seen = find_model(str(folder)), []
    asked = make_experiment(
        spec, [track("u-0.75", 6)], Settings(prompt="a red apple", image=read_picture(saved(drawn(300, 200))))
    )
    model = load_model(str(folder))
    encode = model.pipe.vae.encode
    monkeypatch.setattr(model.pipe.vae, "encode", lambda video, *more: seen.append(video) or encode(video, *more))
    report = compare(asked, model, tmp_path, noise_floor=False)
    assert [run.status for run in report.runs] == ["done", "done"]
    ran = [tuple(video.shape[-2:]) for video in seen]
    sizes = [(size.height * 8, size.width * 8) for size in asked.sizes(asked.tracks[0].schedule)]
    assert sizes == [(64, 96), (48, 64), (64, 96)]
    assert ran[-3:] == sizes
    full, small = (np.asarray(video[0, :, 0].permute(1, 2, 0)) for video in seen[-3:-1])
    whole = np.asarray(pixels_of(asked.conditions, tmp_path, 64, 96)["image"]) / 127.5 - 1
    assert np.abs(full - whole).max() < 0.02  # bfloat16 or not, the very cut
    again = Image.fromarray(np.uint8((whole + 1) * 127.5)).resize((64, 48), Image.Resampling.LANCZOS)
    assert np.abs(small - (np.asarray(again) / 127.5 - 1)).mean() < 0.02  # and a stage's is made of it


def test_a_model_of_two_pictures_runs_from_both_and_asks_for_the_last(tmp_path):
    folder = saved_pipeline(wan_flf2v, tmp_path / "tiny-flf2v")
    model = load_model(str(folder), device="cpu")
    first, last = (read_picture(saved(drawn(150, 100 + k))) for k in range(2))
    track = Track("two-stage", load_preset("0.5@50%", 4).schedule, policy_named("coherent"))
    settings = {"prompt": "a red apple", "steps": 4, "image": first}
    alone = make_experiment(model.spec, [track], Settings(**settings))
    with pytest.raises(InvalidInput, match="from a first picture to a last one, and last_image is empty"):
        check_complete(model.spec, alone.conditions)
    both = make_experiment(model.spec, [track], Settings(**settings, last_image=last))
    report = compare(both, model, tmp_path / "out", noise_floor=False)
    assert [run.status for run in report.runs] == ["done", "done"], [run.error for run in report.runs]


def test_another_picture_is_another_baseline(folder):
    spec = find_model(str(folder))
    there = Environment(resolute="0", python="3", torch="2", platform="Linux", device="cpu", dtype="float32")
    keys = {
        key_of(make_experiment(spec, [], Settings(prompt="a", **given)), there)
        for given in ({}, {"image": read_picture(saved(drawn()))}, {"image": read_picture(saved(drawn(90, 64)))})
    }
    assert len(keys) == 3


def test_the_script_of_a_track_cuts_the_picture_as_the_run_does(tmp_path):
    asked = experiment(image=read_picture(saved(drawn(300, 200))))
    script = diffusers_snippet(asked, asked.tracks[0])
    asked.conditions.keep(tmp_path)
    assert f"IMAGE = '{asked.conditions.image.file}'" in script
    assert '"image": cut_file(IMAGE, HEIGHT, WIDTH)' in script
    compile(script, "script", "exec")
    cut = cut_file(str(tmp_path / asked.conditions.image.file), 64, 96)
    assert cut.tobytes() == pixels_of(asked.conditions, tmp_path, 64, 96)["image"].tobytes()
