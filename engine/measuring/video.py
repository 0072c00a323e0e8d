"""Videos for people: H.264 mp4 files and PNG posters, written through ffmpeg, whole or not at all.

Frames are numpy float32 (T, H, W, 3) in [0, 1]. Files are for looking at; nothing is measured on them.
ffmpeg is the one that imageio-ffmpeg bundles (IMAGEIO_FFMPEG_EXE names another).
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from engine.errors import InvalidInput, RunFailed

CRF = 12  # x264 constant rate factor: no visible loss
GOP = 8  # frames from one key frame to the next: a browser steps backwards without decoding everything
MAX_PIXELS = 4096 * 4096  # of a frame that is decoded: more is memory that a stranger's header asks for
SMALL = 256 * 256  # pixels of a frame up to which one thread of ffmpeg is faster than its starting more
TIMEOUT_S = 600.0  # for ffmpeg to read or compare a video
TAG_BYTES = 100_000  # one command line argument may hold 128 KiB
TAGS_BYTES = 4 * TAG_BYTES  # of all tags of a file that are read
CODECS = "h264,hevc,vp9,av1,libdav1d,mpeg4"  # that are decoded for strangers, whatever file they come in
PLAIN = ("-map_metadata", "-1", "-map_metadata:s", "-1", "-map_chapters", "-1", "-write_tmcd", "0")
FIRST_FRAME = ("-map", "0:v:0", "-frames:v", "1", "-f", "null")
FFMPEG_REMEDY = "reinstall it with `pip install imageio-ffmpeg`, or name another in IMAGEIO_FFMPEG_EXE"
_OWN_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder"}


class VideoFailed(RunFailed):
    """A video could not be written or read; the sentence names ffmpeg, the disk or the file."""


class VideoStuck(VideoFailed):
    """ffmpeg did not end in time; trying again would take as long."""


@dataclass(frozen=True)
class Measure:
    """A filter of ffmpeg that compares two videos, and which of them it has to get first."""

    filter: str
    baseline_first: bool


def ffmpeg() -> str:
    """Path of the ffmpeg program. Raises VideoFailed where there is none."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise VideoFailed(f"ffmpeg was not found: {FFMPEG_REMEDY}.") from error


def to_uint8(frames: np.ndarray) -> np.ndarray:
    """Frames in [0, 1], any float type and shape, as rounded uint8. Raises InvalidInput on others."""
    if not np.issubdtype(frames.dtype, np.floating):
        raise InvalidInput("frames", f"frames are floats from 0 to 1, got {frames.dtype}.")
    if not np.isfinite(frames).all():
        raise InvalidInput("frames", "frames hold values that are not finite (NaN or infinity).")
    return np.rint(np.clip(frames, 0.0, 1.0) * 255.0).astype(np.uint8)


def write_mp4(
    path: str | Path, frames: np.ndarray, fps: float, metadata: Mapping[str, str] | None = None, preset: str = "medium"
) -> None:
    """Write frames (T, H, W, 3) as H.264 yuv420p mp4, tagged bt709, for playing in a browser.

    Every GOP is closed and at most 8 frames long, there are no B-frames, and the index stands first
    (+faststart). An odd height or width is padded by one repeated row or column, since yuv420p needs
    even sizes. `metadata` keys and values (`title`, `comment` or one's own) come back by `read_metadata`; `preset` is
    x264's, how long it looks for a smaller file of the same quality.
    The file appears whole under its name or not at all. Raises InvalidInput for frames, fps or metadata
    that cannot be written, VideoFailed when ffmpeg or the disk fails.
    """
    path = Path(path)
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InvalidInput("frames", f"frames must have the shape (T, H, W, 3), got {frames.shape}.")
    if not 0 < fps <= 1000:
        raise InvalidInput("fps", f"fps must be above 0 and at most 1000, got {fps}.")
    tags = _tag_options(metadata or {})
    even = ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0))
    pixels = np.pad(to_uint8(frames), even, mode="edge")
    with whole_file(path) as part:
        _encode([ffmpeg(), *_encode_options(pixels, fps, preset), *tags, str(part)], pixels, path.name)


def write_png(path: str | Path, frame: np.ndarray) -> None:
    """Write one frame (H, W, 3) in [0, 1] as PNG, whole or not at all. Raises VideoFailed."""
    image = Image.fromarray(to_uint8(frame))
    with whole_file(Path(path)) as part:
        image.save(part, format="PNG")


def write_webp(path: str | Path, frames: np.ndarray, fps: float) -> None:
    """Write frames as lossless animated WebP: what is kept of a run when ffmpeg is missing."""
    first, *rest = [Image.fromarray(frame) for frame in to_uint8(frames)]
    pause = round(1000 / fps)  # milliseconds a frame
    with whole_file(Path(path)) as part:
        first.save(part, "WEBP", save_all=True, append_images=rest, duration=pause, loop=0, lossless=True)


def read_mp4(path: str | Path) -> np.ndarray:
    """Decode a file of `write_mp4` to float32 frames (T, H, W, 3); H and W are even. For tests and tools."""
    rgb = "scale=in_color_matrix=bt709:in_range=tv:out_range=pc:flags=accurate_rnd+full_chroma_int"
    ppm = _read(path, "-vf", rgb, "-fps_mode", "passthrough", "-c:v", "ppm", "-f", "image2pipe")
    header = re.match(rb"P6\s(\d+) (\d+)\s255\s", ppm)
    if not header:
        raise VideoFailed(f"{Path(path).name} cannot be read as a video: it has no frames.")
    width, height = int(header[1]), int(header[2])
    pictures = np.frombuffer(ppm, np.uint8).reshape(-1, header.end() + height * width * 3)
    frames = pictures[:, header.end() :].reshape(-1, height, width, 3)
    return frames.astype(np.float32) / np.float32(255.0)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The tags of a file of `write_mp4`, those that ffmpeg itself adds left out.

    Raises VideoFailed, also for a file that has no picture in a coding that is read, or more tags than any of ours.
    """
    # ffmetadata is lines of key=value; a backslash shields "=", ";", "#", itself and a line's end
    told = _read(path, "-f", "ffmetadata", "-", *FIRST_FRAME)
    if len(told) > TAGS_BYTES:
        raise VideoFailed(f"{Path(path).name[:80]} has {len(told):,} bytes of tags; at most {TAGS_BYTES:,} are read.")
    body = told.decode("utf-8", "replace").removeprefix(";FFMETADATA1\n")
    pairs = re.findall(r"((?:\\.|[^\\=\n])+)=((?:\\.|[^\\\n])*)\n", body, flags=re.DOTALL)
    tags = {_unshield(key): _unshield(value) for key, value in pairs}
    return {key: value for key, value in tags.items() if key not in _OWN_TAGS}


def rewrite_mp4(path: Path, metadata: Mapping[str, str]) -> None:
    """Write a stranger's mp4 anew in its place: its first video stream as it is coded, and these tags alone.

    Sound, other streams, chapters, places and times go. Raises VideoFailed for a file that is no mp4, whose coding is
    not one of `CODECS`, or whose first frame does not decode; the frames after it are not decoded.
    """
    copied = ["-map", "0:v:0", "-c", "copy", *PLAIN, *_tag_options(metadata), "-fflags", "+bitexact"]
    with whole_file(path) as part:
        movflags = "+faststart+use_metadata_tags"
        _read(path, *copied, "-movflags", movflags, "-f", "mp4", f"file:{part}", *FIRST_FRAME)


def filter_logs(run: np.ndarray, base: np.ndarray, fps: float, measures: Mapping[str, Measure]) -> dict[str, str]:
    """What ffmpeg's filters over both write: each of `measures` is to write to the file of its key's name.

    Both videos are float frames (T, H, W, 3); they are fed as raw 8-bit RGB and turned into BT.709 4:4:4, once for all
    measures. Raises VideoFailed, naming ffmpeg, when it is missing, crashes or lacks a filter, and VideoStuck when it
    takes too long.
    """
    with filtering(run, base, fps, measures) as logs:
        return logs()


@contextmanager
def filtering(
    run: np.ndarray, base: np.ndarray, fps: float, measures: Mapping[str, Measure]
) -> Iterator[Callable[[], dict[str, str]]]:
    """Like `filter_logs`, begun at once and at work while the block runs; the call waits and gives what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        for name, frames in (("in-run", run), ("in-base", base)):
            to_uint8(frames).tofile(Path(folder, name))
        command = _measuring(run.shape[2], run.shape[1], fps, measures)
        with _started(command, folder) as process:
            try:
                yield lambda: _logs(process, Path(folder), measures)
            finally:
                process.kill()


def _logs(process: subprocess.Popen[bytes], folder: Path, measures: Mapping[str, Measure]) -> dict[str, str]:
    stderr = _ended(process)[1]
    logs = [folder / name for name in measures]
    if process.returncode or not all(log.exists() for log in logs):
        raise VideoFailed(f"ffmpeg failed (code {process.returncode}, {_last_line(stderr)}): {FFMPEG_REMEDY}.")
    return {log.name: log.read_text("utf-8") for log in logs}


def _measuring(width: int, height: int, fps: float, measures: Mapping[str, Measure]) -> list[str]:
    """The command that compares the files `in-run` and `in-base`; every measure gets its own copy of the frames."""
    yuv = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,format=yuv444p"
    shape = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    inputs = [part for name in ("in-run", "in-base") for part in (*shape, "-r", f"{fps:.6g}", "-i", name)]
    copies = [f"split={len(measures)}" + "".join(f"[{side}{n}]" for n in range(len(measures))) for side in "ab"]
    graph = [f"[{number}:v]{yuv},{copy}" for number, copy in enumerate(copies)]
    for n, measure in enumerate(measures.values()):
        first, second = "ba" if measure.baseline_first else "ab"
        graph.append(f"[{first}{n}][{second}{n}]{measure.filter}[o{n}]")
    outputs = [part for n in range(len(measures)) for part in ("-map", f"[o{n}]", "-f", "null", "-")]
    threads = ["-filter_complex_threads", "1"] if width * height <= SMALL else []
    return [ffmpeg(), "-v", "error", "-nostdin", *threads, *inputs, "-lavfi", ";".join(graph), *outputs]


def _started(command: list[str], folder: str | None = None) -> subprocess.Popen[bytes]:
    """ffmpeg, begun. Raises VideoFailed when it cannot start."""
    try:
        return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise VideoFailed(f"ffmpeg cannot start: {FFMPEG_REMEDY}.") from error


def _ended(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What ffmpeg wrote until its end, to its output and its log. Raises VideoStuck when it hangs."""
    try:
        return process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise VideoStuck(f"ffmpeg took over {TIMEOUT_S:.0f} s and was ended.") from error


def _read(path: str | Path, *options: str) -> bytes:
    """What ffmpeg writes to its standard output for this file and these options. Raises VideoFailed."""
    # the format is said, not guessed, and no other file or address is opened: a stranger's file may be a playlist
    only = ["-protocol_whitelist", "file,pipe", "-max_pixels", str(MAX_PIXELS), "-codec_whitelist", CODECS, "-f", "mov"]
    command = [ffmpeg(), "-v", "error", "-nostdin", *only, "-i", f"file:{path}", *options, "-"]
    with _started(command) as process:
        output, log = _ended(process)
    if b"No space left" in log or b"Disk quota" in log:
        raise VideoFailed(f"{Path(path).name[:80]} was not written anew: the disk is full.")
    if process.returncode:
        raise VideoFailed(f"{Path(path).name[:80]} cannot be read as a video: {_last_line(log)[:200]}.")
    return output


def _unshield(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _tag_options(metadata: Mapping[str, str]) -> list[str]:
    """ffmpeg options for the tags. Raises InvalidInput for what an mp4 tag cannot hold."""
    options = []
    for key, value in metadata.items():
        if not re.fullmatch(r"[A-Za-z][\w.-]{0,63}", key, flags=re.ASCII):
            raise InvalidInput("metadata", f"a metadata key is 1 to 64 letters, digits or _.-, got {key!r}.")
        try:
            size = len(value.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise InvalidInput(key, f"the metadata {key!r} is not valid Unicode (a lone surrogate).") from error
        if "\0" in value or size > TAG_BYTES:
            raise InvalidInput(key, f"the metadata {key!r} must be under {TAG_BYTES} bytes, without NUL.")
        options += ["-metadata", f"{key}={value}"]
    return options


def _encode_options(pixels: np.ndarray, fps: float, preset: str) -> list[str]:
    """ffmpeg options that read `pixels` (T, H, W, 3) uint8 from standard input and encode them."""
    tags = "color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
    scale = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+bicubic"
    return [
        *("-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"),
        *("-s", f"{pixels.shape[2]}x{pixels.shape[1]}", "-r", f"{fps:.6g}", "-i", "-", "-an"),
        *("-vf", f"{scale},format=yuv420p,setparams={tags}"),
        *("-c:v", "libx264", "-preset", preset, "-crf", str(CRF)),
        *("-g", str(GOP), "-bf", "0", "-sc_threshold", "0", "-flags", "+cgop"),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
        *("-movflags", "+faststart+use_metadata_tags", "-f", "mp4"),
    ]


def _encode(command: list[str], pixels: np.ndarray, name: str) -> None:
    """Pipe the pixels through ffmpeg; kill it when the caller is interrupted."""
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)
        except OSError as error:
            raise VideoFailed(f"{name} was not written: ffmpeg cannot start; {FFMPEG_REMEDY}.") from error
        try:
            with suppress(BrokenPipeError):  # ffmpeg has ended early; its log says why
                process.stdin.write(np.ascontiguousarray(pixels).data)  # type: ignore[union-attr]
                process.stdin.close()  # type: ignore[union-attr]
            code = process.wait()
        finally:
            process.kill()
            with suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr]
            process.wait()
        log.seek(0)
        _refuse_failure(code, log.read(), name)


def _refuse_failure(code: int, log: bytes, name: str) -> None:
    if b"No space left" in log or b"Disk quota" in log:
        raise VideoFailed(f"{name} was not written: the disk is full.")
    if code:
        raise VideoFailed(f"{name} was not written: ffmpeg ended with code {code}: {_last_line(log)}.")


def _last_line(log: bytes) -> str:
    lines = log.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else "it gave no reason"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A `NAME.part` to write to, which takes the name on success and is removed on any failure.

    What stood under the name before stays until then. Raises RunFailed when the disk fails.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else (error.strerror or str(error)).lower()
        raise RunFailed(f"{path.name} was not written: {reason}.") from error
    finally:
        with suppress(OSError):  # the folder itself may be missing
            part.unlink(missing_ok=True)
