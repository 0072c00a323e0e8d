"""Pictures and videos that visitors have added and may run from: by their hash, bounded, the least recently used go."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

from engine.errors import InvalidInput, RunFailed
from engine.experiments.conditions import FILE, PICTURES, Conditions, input_file
from engine.experiments.control_video import HASH, Clip, is_mp4, read_clip
from engine.experiments.input_picture import Picture, read_picture
from engine.jobs.data_dir import DataDir
from engine.jobs.job_errors import NotFound, StorageError
from engine.jobs.limits import Limits


def add(data: DataDir, limits: Limits, content: bytes) -> Picture | Clip:
    """Read a stranger's picture, or an mp4, and keep it. Raises InvalidInput, StorageError."""
    try:
        given = read_clip(content) if is_mp4(content) else read_picture(content)
        (Conditions(video=given) if isinstance(given, Clip) else Conditions(given)).keep(data.inputs)
    except RunFailed as error:
        raise StorageError(f"the file was not kept: {error}") from error
    path = data.inputs / given.file
    with contextlib.suppress(OSError):
        os.utime(path)
    _make_room(data, limits, path)
    return replace(given, content=None) if isinstance(given, Clip) else replace(given, png=None)


def path_of(data: DataDir, sha256: object, kind: str = "png") -> Path:
    """The file of a picture, or with "mp4" of a video, that was added. Raises NotFound for whatever names none."""
    if isinstance(sha256, str) and HASH.fullmatch(sha256):
        path = data.inputs / f"input-{sha256}.{kind}"
        if path.is_file() and not path.is_symlink():
            return path
    raise NotFound("there is no such picture or video.")


def named(data: DataDir, sha256: object, role: str) -> Picture | Clip:
    """The picture or video that a program or a page names by its hash. Raises InvalidInput."""
    try:
        return input_file(path_of(data, sha256, "png" if role in PICTURES else "mp4"), role)
    except NotFound:
        what = "picture" if role in PICTURES else "video"
        raise InvalidInput(role, f"{role} names a {what} that is not here; add it again.") from None


def lend(data: DataDir, limits: Limits, conditions: Conditions, folder: Path) -> None:
    """Have what a job starts from among what was added, so that another job can start from it."""
    for _, picture in conditions.filled(folder).given():
        if picture.content is not None and not (data.inputs / picture.file).is_file():
            add(data, limits, picture.content)


def _make_room(data: DataDir, limits: Limits, spared: Path) -> None:
    found = []
    for path in data.inputs.iterdir():
        with contextlib.suppress(OSError):
            if FILE.fullmatch(path.name):
                stat = path.lstat()
                found.append((path != spared, -stat.st_mtime_ns, stat.st_size, path))
    total = 0.0
    for other, _, size, path in sorted(found, key=lambda one: one[:2]):  # the newest first
        total += size
        if other and total > limits.input_bytes:
            with contextlib.suppress(OSError):
                path.unlink()
