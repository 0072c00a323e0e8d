"""Videos: what is written plays, says the truth about itself, and is whole or absent."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import psutil
import pytest
from PIL import Image

from engine.errors import InvalidInput, RunFailed
from engine.measuring import video


def moving(frames: int = 17, height: int = 64, width: int = 96) -> np.ndarray:
    """Smooth coloured waves that move: float32 (frames, height, width, 3) in [0, 1]."""
    t, y, x = np.meshgrid(np.arange(frames), np.arange(height), np.arange(width), indexing="ij")
    waves = [np.sin((x + 2 * t) / 11), np.sin((y - t) / 13), np.sin((x + y + t) / 17)]
    return (0.5 + 0.4 * np.stack(waves, axis=-1)).astype(np.float32)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a.astype(np.float64) - b) ** 2)))


def ffmpeg_says(path: Path, *options: str) -> str:
    command = [video.ffmpeg(), "-i", str(path), *options, "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_frames_come_back_close_with_their_count_and_rate(tmp_path: Path) -> None:
    frames = moving()
    video.write_mp4(tmp_path / "a.mp4", frames, fps=8)
    back = video.read_mp4(tmp_path / "a.mp4")
    assert back.shape == frames.shape
    assert back.dtype == np.float32
    assert psnr(back, frames) > 38
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4")) == (
        17,
        pytest.approx(17 / 8, abs=0.01),
    )


@pytest.mark.parametrize("colour", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (0, 0, 0), (0.9, 0.5, 0.1)])
def test_flat_colours_survive_the_colour_matrix(tmp_path: Path, colour: tuple[float, float, float]) -> None:
    frames = np.tile(np.float32(colour), (2, 32, 32, 1))
    video.write_mp4(tmp_path / "a.mp4", frames, fps=8)
    assert np.abs(video.read_mp4(tmp_path / "a.mp4") - frames).max() < 4 / 255


def test_the_file_is_tagged_bt709_yuv420p_h264(tmp_path: Path) -> None:
    video.write_mp4(tmp_path / "a.mp4", moving(4), fps=16)
    line = next(line for line in ffmpeg_says(tmp_path / "a.mp4").splitlines() if "Video: h264" in line)
    assert "yuv420p(tv, bt709, progressive)" in line
    assert "16 fps" in line


def test_key_frames_are_at_most_eight_apart(tmp_path: Path) -> None:
    video.write_mp4(tmp_path / "a.mp4", moving(33), fps=8)
    log = ffmpeg_says(tmp_path / "a.mp4", "-vf", "showinfo")
    keys = [int("iskey:1" in line) for line in log.splitlines() if "iskey:" in line]
    at = [index for index, key in enumerate(keys) if key]
    assert len(keys) == 33
    assert at[0] == 0
    assert max(b - a for a, b in zip(at, [*at[1:], 33], strict=True)) <= video.GOP


def test_the_index_stands_before_the_data(tmp_path: Path) -> None:
    video.write_mp4(tmp_path / "a.mp4", moving(4), fps=8)
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_odd_sizes_are_padded_by_the_last_row_and_column(tmp_path: Path) -> None:
    frames = moving(3, 33, 47)
    video.write_mp4(tmp_path / "a.mp4", frames, fps=8)
    back = video.read_mp4(tmp_path / "a.mp4")
    assert back.shape == (3, 34, 48, 3)
    assert psnr(back[:, :33, :47], frames) > 35


@pytest.mark.parametrize("shape", [(1, 2, 2, 3), (1, 1, 1, 3), (1, 16, 16, 3)])
def test_the_smallest_videos_can_be_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    video.write_mp4(tmp_path / "a.mp4", np.full(shape, 0.5, np.float32), fps=1)
    assert len(video.read_mp4(tmp_path / "a.mp4")) == 1


def test_tags_round_trip_with_quotes_emoji_and_line_breaks(tmp_path: Path) -> None:
    tags = {
        "title": "a fox 🦊 \"runs\" 'fast' — שלום",
        "comment": 'a=b; #c \\ "d"\nsecond line\\\n=third',
        "resolute_schedule": '{"resolution_rate": [0.75], "changing_resolution_steps": [15]}',
        "resolute.seed": "42",
        "empty_end": "x\\",
    }
    video.write_mp4(tmp_path / "a.mp4", moving(2), fps=8, metadata=tags)
    assert video.read_metadata(tmp_path / "a.mp4") == tags
    assert (tmp_path / "a.mp4").read_bytes().index(b"moov")


@pytest.mark.parametrize(
    ("key", "value"),
    [("a=b", "x"), ("", "x"), ("-i", "x"), ("ok", "nul\0"), ("ok", "\ud800"), ("ok", "x" * 200_000)],
)
def test_tags_that_a_file_cannot_hold_are_refused(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(InvalidInput):
        video.write_mp4(tmp_path / "a.mp4", moving(2), fps=8, metadata={key: value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((2, 8, 8), np.float32),
        np.zeros((0, 8, 8, 3), np.float32),
        np.zeros((2, 8, 8, 4), np.float32),
        np.full((2, 8, 8, 3), np.nan, np.float32),
    ],
)
def test_frames_of_another_kind_are_refused(tmp_path: Path, frames: np.ndarray) -> None:
    with pytest.raises(InvalidInput):
        video.write_mp4(tmp_path / "a.mp4", frames, fps=8)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_an_impossible_frame_rate_is_refused(tmp_path: Path, fps: float) -> None:
    with pytest.raises(InvalidInput):
        video.write_mp4(tmp_path / "a.mp4", moving(2), fps=fps)


def fake_ffmpeg(folder: Path, script: str) -> str:
    program = folder / "fake-ffmpeg"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('for a; do :; done; echo x > "$a"; echo "No space left on device" >&2; exit 1', "disk is full"),
        (
            'for a; do :; done; echo x > "$a"; cat > /dev/null; echo "No space left on device" >&2',
            "disk is full",
        ),
        ('for a; do :; done; echo x > "$a"; echo broken >&2; exit 3', "code 3: broken"),
        ("kill -9 $$", "code -9"),
    ],
)
def test_when_ffmpeg_fails_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", fake_ffmpeg(tmp_path, script))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(RunFailed, match=words):
        video.write_mp4(out / "a.mp4", moving(17, 128, 128), fps=8)
    assert list(out.iterdir()) == []


def test_a_missing_ffmpeg_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(RunFailed, match="ffmpeg cannot start; reinstall"):
        video.write_mp4(tmp_path / "a.mp4", moving(2), fps=8)


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, "input/output error")])
def test_a_failing_disk_leaves_the_old_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, words: str
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(RunFailed, match=words):
        video.write_mp4(tmp_path / "a.mp4", moving(2), fps=8)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"old"


def test_an_interrupt_ends_ffmpeg_and_removes_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def wait(self, timeout: float | None = None) -> int:
            if self not in started:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        video.write_mp4(tmp_path / "a.mp4", moving(8), fps=8)
    assert started[0].poll() is not None
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"a\.mp4 was not written"):
        video.write_mp4(tmp_path / "none" / "a.mp4", moving(2), fps=8)


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    with pytest.raises(RunFailed, match="cannot be read as a video"):
        video.read_metadata(tmp_path / "a.mp4")
    with pytest.raises(RunFailed, match="cannot be read as a video"):
        video.read_mp4(tmp_path / "a.mp4")


def test_a_poster_is_exact_to_eight_bit(tmp_path: Path) -> None:
    frame = moving(1)[0]
    video.write_png(tmp_path / "a.png", frame)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), video.to_uint8(frame))


def test_without_ffmpeg_the_frames_can_be_kept_exactly_as_webp(tmp_path: Path) -> None:
    frames = moving(5)
    video.write_webp(tmp_path / "a.webp", frames, fps=8)
    with Image.open(tmp_path / "a.webp") as image:
        assert image.n_frames == 5  # type: ignore[attr-defined]
        image.seek(4)
        assert np.array_equal(np.asarray(image.convert("RGB")), video.to_uint8(frames[4]))


def test_encoding_leaks_no_file_handles(tmp_path: Path) -> None:
    process = psutil.Process()
    video.write_mp4(tmp_path / "a.mp4", moving(2), fps=8)
    before = process.num_fds()
    for _ in range(5):
        video.write_mp4(tmp_path / "a.mp4", moving(2), fps=8)
    assert process.num_fds() == before
