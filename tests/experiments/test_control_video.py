"""Control videos: read under limits, named by their pixels, at every stage's own size."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.comparing.comparison import compare
from engine.errors import InvalidInput
from engine.experiments import control_video
from engine.experiments.conditions import Conditions
from engine.experiments.control_video import clip_file, clip_frames, read_clip
from engine.experiments.documents import load_experiment
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.script import diffusers_snippet
from engine.experiments.settings import Settings
from engine.experiments.share_link import pack, unpack
from engine.jobs.job_errors import StorageError
from engine.jobs.service import Jobs
from engine.measuring.video import VideoFailed, ffmpeg, write_mp4
from engine.models.catalogue import catalogue_model, find_model
from engine.models.loading import load_model
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import resized
from engine.schedules.latent_sizes import full_size, stage_sizes
from engine.schedules.schedule import flat
from engine.switching.policies import policy_named
from tests.families.builders_wan import CALL, wan_vace
from tests.families.cases import CASES, STEPS, U, geometry, request, untouched
from tests.families.parts import Case, seeded


def moving(frames: int = 9, height: int = 48, width: int = 80) -> np.ndarray:
    """A ramp that moves to the right."""
    x = np.arange(width, dtype=np.float32)[None, None] + 3 * np.arange(frames, dtype=np.float32)[:, None, None]
    ramp = np.broadcast_to((x % width) / width, (frames, height, width))
    return np.stack([ramp, ramp[:, :, ::-1], np.full_like(ramp, 0.5)], axis=-1)


def mp4(folder: Path, frames: np.ndarray | None = None, **tags: str) -> bytes:
    write_mp4(folder / "given.mp4", moving() if frames is None else frames, 8, tags)
    return (folder / "given.mp4").read_bytes()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return read_clip(mp4(tmp_path_factory.mktemp("clip")))


# ---- reading -----------------------------------------------------------------------------------------------------


def test_a_video_is_read_with_its_size_and_length_and_without_its_comments(tmp_path):
    found = read_clip(mp4(tmp_path, comment="at home, 52.1 N"))
    assert (found.width, found.height, found.frames) == (80, 48, 9)
    assert b"at home" in (tmp_path / "given.mp4").read_bytes()
    assert b"at home" not in found.content


def test_what_is_kept_is_read_as_the_same_video(clip):
    again = read_clip(clip.content)
    assert again == clip
    assert again.content == clip.content


def test_other_pixels_have_another_name(clip, tmp_path):
    other = moving()
    other[4] *= 0.5
    assert read_clip(mp4(tmp_path, other)).sha256 != clip.sha256


def test_sound_is_left_out(tmp_path):
    path = tmp_path / "loud.mp4"
    made = ["-f", "lavfi", "-i", "testsrc2=d=1:s=64x48", "-f", "lavfi", "-i", "sine=d=1", str(path)]
    subprocess.run([ffmpeg(), "-v", "error", *made], check=True)
    found = clip_file(path)
    assert b"soun" in path.read_bytes()
    assert b"soun" not in found.content


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no mp4"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "no mp4"),
        (b"\0\0\0\x18ftypmp42" + b"x" * 200, "cannot be read"),
        (b"\0\0\0\x18ftypmp42" + b"x" * control_video.MAX_BYTES, "more than 24 MiB"),
    ],
)
def test_what_is_no_video_is_refused_in_a_sentence(data, told):
    with pytest.raises(InvalidInput, match=told) as caught:
        read_clip(data)
    assert caught.value.field == "video"


def test_a_playlist_that_calls_itself_mp4_opens_no_other_file(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    with pytest.raises(InvalidInput, match="no mp4"):
        clip_file(tmp_path / "a.mp4")


def test_a_video_that_is_cut_off_is_refused(tmp_path):
    data = mp4(tmp_path)
    with pytest.raises(InvalidInput):
        read_clip(data[: len(data) // 8])


def test_too_many_frames_and_too_small_ones_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InvalidInput, match="80 × 12 pixels"):
        read_clip(mp4(tmp_path, moving(height=12)))
    monkeypatch.setattr(control_video, "MAX_FRAMES", 8)
    with pytest.raises(InvalidInput, match="more than 8 frames"):
        read_clip(mp4(tmp_path))


def test_frames_are_the_first_ones_at_the_runs_size(clip):
    frames = clip_frames(clip.content, 5, 48, 80)
    assert [one.size for one in frames] == [(80, 48)] * 5
    assert np.abs(np.stack(frames) / 255.0 - moving()[:5]).mean() < 0.03  # colour is kept at half size
    tall = np.asarray(clip_frames(clip.content, 1, 48, 48)[0]) / 255.0
    assert np.abs(tall - moving()[0, :, 16:64]).mean() < 0.03  # cut around the middle


# ---- experiments -------------------------------------------------------------------------------------------------


def experiment(model: str = "wan2.1-vace-1.3b", **given):
    spec = catalogue_model(model)
    tracks = [Track("half", load_preset("0.5@50%", 6).schedule, policy_named("coherent"))]
    return make_experiment(spec, tracks, Settings(prompt="a red apple", steps=6, **given))


def test_a_model_that_takes_none_refuses_it_by_name(clip):
    for model in ("emoji-wan", "wan2.2-i2v-a14b", "flux.1-dev"):
        with pytest.raises(InvalidInput, match="takes no control video; leave it out") as caught:
            experiment(model, video=clip)
        assert caught.value.field == "video"


def test_a_video_that_is_shorter_than_the_run_is_refused(clip):
    with pytest.raises(InvalidInput, match="video has 9 frames and the run 13"):
        experiment(video=clip, frames=13)
    assert experiment(video=clip, frames=9).conditions.video == clip


def test_a_link_and_a_document_name_it(clip):
    asked = experiment(video=clip, frames=9)
    assert asked.document()["video"] == clip.document()
    opened = unpack(pack(asked))
    assert opened == asked
    assert opened.conditions.video.content is None
    with pytest.raises(InvalidInput, match=r"control video .* is not here"):
        opened.conditions.check_here()
    other = replace(clip, sha256="0" * 64)
    with pytest.raises(InvalidInput, match="another than"):
        opened.conditions.given_again({"video": other})


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"frames": 10**9}, {"width": 5}, {"sha256": "../x"}, {"path": "/etc"}]
)
def test_a_document_that_names_no_video_is_refused(clip, wrong):
    with pytest.raises(InvalidInput) as caught:
        experiment(video=clip.document() | wrong, frames=9)
    assert caught.value.field == "video"


def test_a_script_cuts_the_video_as_the_run_does(clip):
    asked = experiment(video=clip, frames=9)
    text = diffusers_snippet(asked, asked.tracks[0])
    compile(text, "script", "exec")
    assert "from engine.experiments.control_video import cut_clip" in text
    assert '"video": cut_clip(VIDEO, FRAMES, HEIGHT, WIDTH)' in text
    assert "cut_file" not in text


# ---- runs --------------------------------------------------------------------------------------------------------


def control(clip):
    return Case("vace", seeded(wan_vace), frames=5, call=CALL | {"video": clip_frames(clip.content, 5, 64, 96)})


def test_flat_is_bit_identical_to_the_untouched_pipeline_with_the_video(clip):
    case = control(clip)
    expected = untouched(case, case.build())
    assert np.array_equal(run_staged(request(case, case.build(), flat(STEPS))).frames, expected)
    assert not np.array_equal(expected, untouched(CASES["wan-vace"], CASES["wan-vace"].build()))


@pytest.mark.parametrize("width", [96, 160])  # 160 by 3/4 has another aspect, which the pipeline itself would keep
def test_every_stage_encodes_the_video_once_at_its_own_size(clip, width):
    case = replace(control(clip), width=width, call=CALL | {"video": clip_frames(clip.content, 5, 64, width)})
    pipe, seen = case.build(), []
    prepare = pipe.prepare_video_latents
    pipe.prepare_video_latents = lambda video, *more: seen.append(video) or prepare(video, *more)
    run_staged(request(case, pipe, U))
    cut = geometry(pipe)
    sizes = stage_sizes(U, full_size(cut, 64, width, 5), cut.patch)
    assert [tuple(one.shape[-2:]) for one in seen] == [(size.height * 8, size.width * 8) for size in sizes]
    small = resized(case.call["video"], *seen[1].shape[-2:])
    told = torch.from_numpy(np.stack(small)).permute(3, 0, 1, 2) / 127.5 - 1
    assert torch.allclose(seen[1][0].float().cpu(), told, atol=1e-2)


def test_a_comparison_keeps_the_video_and_runs_again_from_it(clip, tmp_path):
    seeded(wan_vace)().save_pretrained(tmp_path / "tiny")
    own = {"height": 64, "width": 96, "num_frames": 5, "fps": 8, "steps": 4, "guidance": 3.0, "max_sequence_length": 16}
    (tmp_path / "tiny" / "resolute.json").write_text(json.dumps(own))
    spec = find_model(str(tmp_path / "tiny"))
    tracks = [Track("half", load_preset("0.5@50%", 4).schedule, policy_named("coherent"))]
    asked = make_experiment(spec, tracks, Settings(prompt="a red apple", video=clip))
    report = compare(asked, load_model(str(tmp_path / "tiny"), device="cpu"), tmp_path / "out", noise_floor=False)
    assert [run.status for run in report.runs] == ["done", "done"]
    assert report.video.model_dump() == clip.document()
    assert clip_file(tmp_path / "out" / clip.file) == clip
    again = load_experiment(tmp_path / "out" / "report.json", models=lambda name: spec)
    assert again.conditions == Conditions(video=clip)
    assert again.conditions.video.content == clip.content


def test_without_ffmpeg_a_video_is_not_blamed(tmp_path, monkeypatch):
    data = mp4(tmp_path)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(VideoFailed, match="pip install imageio-ffmpeg"):
        read_clip(data)
    with Jobs(tmp_path / "data", worker=False) as jobs, pytest.raises(StorageError, match="ffmpeg"):
        jobs.add_picture(data)
