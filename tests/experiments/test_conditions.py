"""Pictures that runs start from: strangers' files, their names, their one cut, and whole comparisons."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
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
from engine.experiments.conditions import Conditions, check_complete, cut_file, pixels_of, roles_of
from engine.experiments.documents import experiment_of, load_experiment
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.input_picture import MAX_BYTES, MAX_SIDE, Picture, picture_file, read_picture
from engine.experiments.presets import load_preset
from engine.experiments.script import diffusers_snippet
from engine.experiments.settings import Settings
from engine.experiments.share_link import pack, unpack
from engine.models.catalogue import catalogue, catalogue_model, find_model
from engine.models.loading import load_model
from engine.reports.schema import Environment
from engine.switching.policies import policy_named
from tests.families.builders_wan import wan_a14b_i2v, wan_flf2v
from tests.families.parts import seeded

ROOT = Path(__file__).parents[2]
MODES = [("RGB", "PNG"), ("RGB", "WEBP"), ("P", "PNG"), ("CMYK", "JPEG"), ("L", "JPEG")]


def drawn(width: int = 80, height: int = 60, mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"", *more: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def pixels(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.png)))


# ---- strangers' files --------------------------------------------------------------------------------------------

FRAMES = [drawn(), drawn().rotate(90)]
MALICIOUS = {
    "empty": b"",
    "text": b"a red apple",
    "truncated": saved(drawn())[:-600],
    "truncated jpeg": saved(drawn(400, 300), "JPEG")[:2000],
    "bomb": png(50_000, 50_000, bytes(1000)),
    "over the pixels": png(10_000, 10_000, bytes(1000)),
    "no pixels": png(0, 0),
    "one pixel": saved(drawn(1, 1)),
    "a line": saved(drawn(2000, 2)),
    "text bomb": png(64, 64, bytes(64 * 193), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(90_000_000)))),
    "wrong checksum": saved(drawn()).replace(b"IDAT", b"IDAX"),
    "animated webp": saved(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]),
    "animated png": saved(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]),
    "gif": saved(drawn(), "GIF"),
    "tiff": saved(drawn(), "TIFF"),
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(/etc/passwd) (r) file\n",
    "too many bytes": bytes(MAX_BYTES + 1),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("data", MALICIOUS.values(), ids=MALICIOUS)
def test_what_is_no_picture_is_refused_in_one_sentence(data):
    with pytest.raises(InvalidInput) as caught:
        read_picture(data, "last_image", "a.png")
    assert caught.value.field == "last_image"
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "PNG"), ("RGB", "WEBP"), ("P", "PNG"), ("CMYK", "JPEG"), ("L", "JPEG")]
)
def test_every_honest_picture_becomes_eight_bit_rgb(mode, kind):
    options = {"quality": 95} | ({"lossless": True} if kind == "WEBP" else {})
    found = read_picture(saved(drawn(mode=mode), kind, **options))
    assert (found.width, found.height) == (80, 60)
    expected = np.asarray(drawn(mode=mode).convert("RGB"), dtype=int)
    assert np.abs(pixels(found).astype(int) - expected).mean() < 4
    assert Image.open(io.BytesIO(found.png)).mode == "RGB"


def test_sixteen_bits_are_scaled_and_not_clipped():
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    assert np.abs(pixels(read_picture(saved(Image.fromarray(ramp))))[..., 0] - ramp / 257).max() <= 0.5


def test_what_is_transparent_lies_on_white():
    image = drawn(mode="RGBA")
    image.putalpha(0)
    assert (pixels(read_picture(saved(image))) == 255).all()


def test_a_turned_photograph_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    found = read_picture(saved(drawn(80, 60), "JPEG", exif=exif, quality=95))
    assert (found.width, found.height) == (60, 80)
    assert np.abs(pixels(found).astype(int) - np.asarray(drawn(80, 60).rotate(-90, expand=True), int)).mean() < 4


def test_nothing_but_pixels_is_kept():
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    found = read_picture(saved(drawn(), "JPEG", exif=exif, comment=b"secret"))
    assert b"where I live" not in found.png
    assert b"secret" not in found.png
    assert not Image.open(io.BytesIO(found.png)).info


def test_the_name_is_of_the_pixels_and_stays_when_it_is_read_again():
    stored, packed = saved(drawn(), compress_level=0), saved(drawn(), compress_level=9)
    first = read_picture(stored)
    assert stored != packed
    assert first == read_picture(packed) == read_picture(first.png)
    assert first != read_picture(saved(drawn().transpose(Image.Transpose.FLIP_LEFT_RIGHT)))


def test_a_large_picture_is_reduced_to_what_runs_use():
    found = read_picture(saved(drawn(3000, 1500), "JPEG"))
    assert (found.width, found.height) == (MAX_SIDE, MAX_SIDE // 2)
    assert read_picture(found.png) == found


def test_the_cut_is_around_the_middle(tmp_path):
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (90, 0, 210, 100))
    conditions = Conditions(read_picture(saved(image)))
    cut = np.asarray(pixels_of(conditions, tmp_path, 64, 64)["image"])
    assert cut.shape == (64, 64, 3)
    assert (cut == (0, 0, 255)).all()


# ---- what models take --------------------------------------------------------------------------------------------


def test_the_catalogue_says_what_each_model_takes():
    takes = {name: roles_of(spec) for name, spec in catalogue().items()}
    assert takes["wan2.1-i2v-480p"] == ("image",)  # CLIP has positions for one picture
    assert takes["wan2.2-i2v-a14b"] == ("image", "last_image")
    assert takes["wan2.2-ti2v-5b-i2v"] == ("image",)  # the picture is the first latent frame
    assert takes["emoji-wan"] == ()
    assert takes["wan2.1-vace-1.3b"] == ("video",)
    assert takes["flux.1-kontext"] == ("image",)
    assert not catalogue()["flux.1-kontext"].family.needs


def experiment(model: str = "wan2.2-i2v-a14b", **given):
    spec = catalogue_model(model)
    return make_experiment(spec, [track("u-0.75", 6)], Settings(prompt="a red apple", steps=6, **given))


def track(name: str, steps: int) -> Track:
    preset = load_preset(name, steps)
    return Track(preset.name, preset.schedule.with_steps(steps), policy_named(preset.policy or "coherent"))


def test_a_picture_for_a_model_that_takes_none_is_refused_by_name():
    with pytest.raises(InvalidInput, match=r"Emoji-Wan \(shipped\) takes no picture; leave it out"):
        experiment("emoji-wan", image=read_picture(saved(drawn())))
    with pytest.raises(InvalidInput, match="takes no picture of the last frame"):
        experiment("wan2.1-i2v-480p", last_image=read_picture(saved(drawn())))


def test_a_missing_picture_is_asked_for_by_model_and_field():
    asked = experiment()
    with pytest.raises(InvalidInput, match=f"{asked.spec.title} starts from a picture, and image is empty") as caught:
        check_complete(asked.spec, asked.conditions)
    assert caught.value.field == "image"
    check_complete(catalogue_model("flux.1-kontext"), Conditions())  # it can do without


@pytest.mark.parametrize(
    "value",
    [7, "a.png", {}, {"sha256": "../../etc/passwd", "width": 64, "height": 64}, {"sha256": "0" * 64, "width": 64},
     {"sha256": "0" * 64, "width": 64.0, "height": 64}, {"sha256": "0" * 64, "width": 9999, "height": 64},
     {"sha256": "0" * 64, "width": True, "height": 64}, {"sha256": "0" * 64, "width": 64, "height": 64, "path": "/a"}],
)  # fmt: skip
def test_a_document_names_pictures_by_hash_and_size_alone(value):
    document = experiment(image=read_picture(saved(drawn()))).document()
    with pytest.raises(InvalidInput):
        experiment_of(document | {"image": value}, "the file")


def test_documents_and_links_name_the_picture_and_lose_nothing_else():
    asked = experiment(image=read_picture(saved(drawn())), last_image=read_picture(saved(drawn(90, 64))))
    assert "png" not in json.dumps(asked.document())
    for found in (experiment_of(asked.document(), "the file"), unpack(pack(asked))):
        assert found == asked
        assert found.conditions.image.png is None
        with pytest.raises(InvalidInput, match=f"{asked.conditions.image.sha256[:12]}.* is not here: links and docum"):
            found.conditions.check_here()


def test_without_pictures_documents_are_as_they_were():
    assert not {"image", "last_image"} & set(experiment("emoji-wan").document())


def test_another_picture_is_no_reproduction():
    asked = experiment(image=read_picture(saved(drawn())))
    with pytest.raises(InvalidInput, match="is another than"):
        asked.conditions.given_again({"image": read_picture(saved(drawn(90, 64)))})
    with pytest.raises(InvalidInput, match="made without a picture of the last frame"):
        asked.conditions.given_again({"last_image": read_picture(saved(drawn(90, 64)))})


# ---- whole comparisons -------------------------------------------------------------------------------------------


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


# ---- what a pipeline makes of it ---------------------------------------------------------------------------------


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
