"""Control videos: a stranger's mp4 read once under limits, named by its pixels, cut to the run's size. No torch here.

What is kept is the file's own video stream in a new mp4 without sound, places, times or comments. Its name is the
SHA-256 of its size and of its frames as they decode (8-bit 4:2:0), so that the same frames are the same video.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from engine.errors import InvalidInput
from engine.measuring.video import CODECS, FFMPEG_REMEDY, PLAIN, VideoFailed, ffmpeg
from engine.strict_json import shown

MAX_BYTES = 24 * 2**20  # of a file
MAX_SIDE, MIN_SIDE = 2048, 16
MAX_FRAMES = 1000
TIMEOUT_S = 120.0  # to decode one
HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Clip:
    """A control video by its name; `content` is its mp4, None where it is only named. Build it by `read_clip`."""

    sha256: str
    width: int
    height: int
    frames: int
    content: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def file(self) -> str:
        """The name of its file beside a report."""
        return f"input-{self.sha256}.mp4"

    @property
    def text(self) -> str:
        """For people: the first of its hash, its size and length."""
        return f"{self.sha256[:12]}… ({self.width} × {self.height}, {self.frames} frames)"

    def document(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "width": self.width, "height": self.height, "frames": self.frames}


def is_mp4(data: bytes) -> bool:
    """Whether a file says that it is an mp4 or a QuickTime film."""
    return data[4:8] == b"ftyp"


def clip_file(path: Path, role: str = "video") -> Clip:
    """The control video in a file. Raises InvalidInput."""
    return read_clip(bytes_of(path, role, MAX_BYTES), role, path.name[:80])


def bytes_of(path: Path, role: str, most: int) -> bytes:
    """What a file holds, and one byte more than `most` where it holds more. Raises InvalidInput."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise InvalidInput(role, f"{role}: {path.name[:80]} cannot be read: {reason}.") from None


def read_clip(data: bytes, role: str = "video", what: str = "the file") -> Clip:
    """A stranger's control video, decoded whole under limits.

    Raises InvalidInput with one sentence for whatever is none, VideoFailed where there is no ffmpeg.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInput(role, f"{role}: {what} has more than {MAX_BYTES >> 20} MiB; save it shorter or smaller.")
    if not is_mp4(data):
        raise InvalidInput(role, f"{role}: {what} is no mp4 video; save it as one.")
    with tempfile.TemporaryDirectory() as folder:
        given, kept = Path(folder, "given.mp4"), Path(folder, "kept.mp4")
        given.write_bytes(data)
        copied = _run(["-i", f"file:{given}", "-map", "0:v:0", "-c", "copy", *PLAIN, "-fflags", "+bitexact",
                       "-movflags", "+faststart", "-f", "mp4", str(kept)])  # fmt: skip
        if copied and kept.is_file() and kept.stat().st_size <= MAX_BYTES:
            sha256, width, height, frames = _measured(kept, role, what)
            return Clip(sha256, width, height, frames, kept.read_bytes())
    raise InvalidInput(role, f"{role}: {what} cannot be read as an mp4 video; save it again as one, in H.264.")


def named_clip(role: str, value: object) -> Clip:
    """A control video as a document names it. Raises InvalidInput."""
    keys = ["frames", "height", "sha256", "width"]
    if not isinstance(value, dict) or sorted(value) != keys:
        raise InvalidInput(role, f"{role} is {shown(value)}; it must be an object of sha256, width, height and frames.")
    name, sides, frames = value["sha256"], (value["width"], value["height"]), value["frames"]
    if not isinstance(name, str) or not HASH.fullmatch(name):
        raise InvalidInput(role, f"{role}: sha256 is {shown(name)}; it must be 64 hexadecimal digits.")
    if not all(type(side) is int and MIN_SIDE <= side <= MAX_SIDE for side in sides):
        raise InvalidInput(role, f"{role}: {shown(list(sides))} is no size; sides are {MIN_SIDE} to {MAX_SIDE} pixels.")
    if type(frames) is not int or not 1 <= frames <= MAX_FRAMES:
        raise InvalidInput(role, f"{role}: frames is {shown(frames)}; it must be an integer in 1..{MAX_FRAMES}.")
    return Clip(name, *sides, frames)


def clip_frames(content: bytes, frames: int, height: int, width: int) -> list[Image.Image]:
    """The first `frames` frames, cut around the middle to the aspect and resized by Lanczos, as a call takes them.

    Raises VideoFailed where they cannot be decoded.
    """
    fit = f"scale={width}:{height}:force_original_aspect_ratio=increase:flags=lanczos+accurate_rnd+full_chroma_int"
    with tempfile.TemporaryDirectory() as folder:
        path, raw = Path(folder, "clip.mp4"), Path(folder, "raw")
        path.write_bytes(content)
        done = _run([*_decoder(path), "-frames:v", str(frames), "-vf", f"{fit},crop={width}:{height},format=rgb24",
                     "-f", "rawvideo", str(raw)])  # fmt: skip
        pixels = np.fromfile(raw, np.uint8) if done and raw.is_file() else np.empty(0, np.uint8)
    if pixels.size != frames * height * width * 3:
        raise VideoFailed("the control video cannot be decoded any more; add it again.")
    return [Image.fromarray(frame) for frame in pixels.reshape(frames, height, width, 3)]


def cut_clip(path: str, frames: int, height: int, width: int) -> list[Image.Image]:
    """The control video in a file as a pipeline's call takes it, for scripts. Raises InvalidInput, VideoFailed."""
    return clip_frames(clip_file(Path(path)).content or b"", frames, height, width)


def _decoder(path: Path) -> list[str]:
    """Options that decode one video stream, frame by frame as they come."""
    return ["-i", f"file:{path}", "-map", "0:v:0", "-fps_mode", "passthrough"]


def _command(options: Sequence[str]) -> list[str]:
    # the format is said, not guessed, and no other file or address is opened
    only = [
        "-protocol_whitelist",
        "file,pipe",
        "-max_pixels",
        str(MAX_SIDE**2),
        "-codec_whitelist",
        CODECS,
        "-f",
        "mov",
    ]
    return [ffmpeg(), "-v", "error", "-nostdin", "-y", *only, *options]


def _run(options: Sequence[str]) -> bool:
    """Whether ffmpeg did it. Raises VideoFailed where there is none."""
    try:
        done = subprocess.run(_command(options), capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    except OSError as error:
        raise VideoFailed(f"ffmpeg cannot start: {FFMPEG_REMEDY}.") from error
    return done.returncode == 0


def _measured(path: Path, role: str, what: str) -> tuple[str, int, int, int]:
    """Hash, width, height and length of the frames as they decode; never more than one is in memory."""
    options = [*_decoder(path), "-frames:v", str(MAX_FRAMES + 1), "-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "-"]
    process = subprocess.Popen(_command(options), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    clock = threading.Timer(TIMEOUT_S, process.kill)
    clock.start()
    try:
        found = _counted(process.stdout, role, what)  # type: ignore[arg-type]
        whole = process.wait() == 0
    finally:
        clock.cancel()
        process.kill()
        process.stdout.close()  # type: ignore[union-attr]
        process.wait()
    if not whole:
        raise InvalidInput(role, f"{role}: {what} is damaged, or takes too long to read; save it again.")
    return found


def _counted(stream: IO[bytes], role: str, what: str) -> tuple[str, int, int, int]:
    size = re.match(rb"YUV4MPEG2 W(\d+) H(\d+) ", stream.readline(200))
    if not size:
        raise InvalidInput(role, f"{role}: {what} has no frames that can be read; save it again as an mp4, in H.264.")
    width, height = int(size[1]), int(size[2])
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in (width, height)):
        raise InvalidInput(
            role,
            f"{role}: {what} is {width} × {height} pixels; sides are {MIN_SIDE} to {MAX_SIDE}: save it anew.",
        )
    digest, frames = hashlib.sha256(f"{width}x{height} YUV420P8\n".encode()), 0
    area = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    while stream.readline(200):  # FRAME
        frames += 1
        digest.update(stream.read(area))
        if frames > MAX_FRAMES:
            raise InvalidInput(role, f"{role}: {what} has more than {MAX_FRAMES} frames; save it shorter.")
    if not frames:
        raise InvalidInput(role, f"{role}: {what} has no frames; save it again.")
    return digest.hexdigest(), width, height, frames
