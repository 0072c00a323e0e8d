"""Pictures that visitors have added and may run from: by their hash, bounded, the least recently used removed first."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

from engine.conditions import FILE, HASH, Conditions, Picture, picture_file, read_picture
from engine.errors import InvalidInput, RunFailed
from engine.jobs.data_dir import DataDir
from engine.jobs.errors import NotFound, StorageError
from engine.jobs.limits import Limits


def add(data: DataDir, limits: Limits, content: bytes) -> Picture:
    """Read a stranger's picture and keep it. Raises InvalidInput, StorageError."""
    picture = read_picture(content)
    try:
        Conditions(picture).keep(data.inputs)
    except RunFailed as error:
        raise StorageError(f"the picture was not kept: {error}") from error
    path = data.inputs / picture.file
    with contextlib.suppress(OSError):
        os.utime(path)
    _make_room(data, limits, path)
    return replace(picture, png=None)


def path_of(data: DataDir, sha256: object) -> Path:
    """The file of a picture that was added. Raises NotFound for whatever names none."""
    if isinstance(sha256, str) and HASH.fullmatch(sha256):
        path = data.inputs / f"input-{sha256}.png"
        if path.is_file() and not path.is_symlink():
            return path
    raise NotFound("there is no such picture.")


def named(data: DataDir, sha256: object, role: str) -> Picture:
    """The picture that a program or a page names by its hash. Raises InvalidInput."""
    try:
        return picture_file(path_of(data, sha256), role)
    except NotFound:
        raise InvalidInput(role, f"{role} names a picture that is not here; add it again.") from None


def lend(data: DataDir, limits: Limits, conditions: Conditions, folder: Path) -> None:
    """Have the pictures of a job among those that were added, so that another job can start from them."""
    for _, picture in conditions.filled(folder).given():
        if picture.png is not None and not (data.inputs / picture.file).is_file():
            add(data, limits, picture.png)


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
