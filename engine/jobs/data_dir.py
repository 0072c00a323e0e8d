"""The data directory: one place for everything that is kept, owned by one instance, paths made from ids alone.

resolute.db     jobs, runs, timings, notices
resolute.log    what happened, one JSON line an event
secret          signs visitors' names where strangers come; its owner's alone to read
lock            held while an instance runs; holds its process id
worker.lock     held while a worker runs
jobs/ID/        job.json, report.json, index.html, NN.mp4, NN-difference.mp4, NN.png
trash/ID/       deleted jobs, until they are purged
inputs/         pictures that visitors have added, input-HASH.png; the least recently used go
baselines/      baselines that later comparisons may reuse
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from engine.jobs.job_errors import NotFound, StorageError

ENVIRONMENT = "RESOLUTE_DATA"
ID = re.compile(r"[A-Za-z0-9_-]{16}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
PATIENCE_S = 2.0  # a child that a killed instance was just starting holds its lock for a moment
EPHEMERAL = "Results are lost when this server restarts: {why}."


def default_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where data goes if nobody says otherwise: RESOLUTE_DATA, a Space's /data, or the user's own data folder."""
    if environ.get(ENVIRONMENT):
        return Path(environ[ENVIRONMENT]).expanduser()
    if environ.get("SPACE_ID") and os.access("/data", os.W_OK):
        return Path("/data/resolute")
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "resolute"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "resolute"
    return Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "resolute"


def new_id() -> str:
    """A name that nobody can guess and every file system takes: 16 of A-Z a-z 0-9 _ -, 96 random bits."""
    return secrets.token_urlsafe(12)


class DataDir:
    """An opened data directory. `owner` takes the lock of the instance; workers and readers leave it alone."""

    def __init__(self, root: Path, *, owner: bool = False) -> None:
        self.root = _usable(root, create=owner)
        self.database = self.root / "resolute.db"
        self.log = self.root / "resolute.log"
        self.jobs, self.trash, self.baselines = (self.root / name for name in ("jobs", "trash", "baselines"))
        self.inputs = self.root / "inputs"
        self.secret = self.root / "secret"
        self._lock: FileLock | None = None
        if owner:
            self._lock = FileLock(self.root / "lock")
            if not self._lock.take(patience_s=PATIENCE_S):
                holder = self._lock.holder()
                raise StorageError(
                    f"the data directory {_shown(self.root)} is in use by another Resolute"
                    f"{f' (process {holder})' if holder else ''}; stop it, or give another --data-dir."
                )
            for folder in (self.jobs, self.trash, self.baselines, self.inputs):
                _make(folder)

    def close(self) -> None:
        """Give the lock back."""
        if self._lock:
            self._lock.release()

    def worker_lock(self) -> FileLock:
        """The lock that at most one worker holds, so that the device has one job at a time."""
        return FileLock(self.root / "worker.lock")

    def job(self, job_id: object) -> Path:
        """The folder of a job, whether it is there or not. Raises NotFound for what is no id."""
        if not isinstance(job_id, str) or not ID.fullmatch(job_id):
            raise NotFound("there is no such job.")
        return self.jobs / job_id

    def file(self, job_id: object, name: object) -> Path:
        """A file of a job. Raises NotFound for whatever is no plain file directly inside the job's own folder."""
        folder = self.job(job_id)
        if not isinstance(name, str) or not NAME.fullmatch(name) or name.endswith(".part"):
            raise NotFound("there is no such file.")
        path = folder / name
        try:
            inside = path.resolve(strict=True) == self.jobs.resolve() / folder.name / name
        except OSError:
            inside = False
        if not inside or not path.is_file():
            raise NotFound("there is no such file.")
        return path

    def ephemeral(self, environ: Mapping[str, str] = os.environ) -> str | None:
        """Why nothing here outlives a restart, as a sentence for the page; None where it does."""
        root = self.root.resolve()
        if environ.get("SPACE_ID") and not root.is_relative_to("/data"):
            return EPHEMERAL.format(why="the Space has no persistent storage at /data")
        if _file_system(root) in ("tmpfs", "ramfs"):
            return EPHEMERAL.format(why="the data directory lies in memory")
        return None

    def free_bytes(self) -> int:
        """Bytes that the disk still takes."""
        return shutil.disk_usage(self.root).free


class FileLock:
    """A file that the system locks for a process and frees when it ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def take(self, patience_s: float = 0.0) -> bool:
        """Take the lock, now or within some seconds; False where another holds it."""
        file = open(self.path, "a+", encoding="ascii")  # noqa: SIM115 - open as long as the lock is held
        given_up = time.monotonic() + patience_s
        while not _locked(file):
            if time.monotonic() >= given_up:
                file.close()
                return False
            time.sleep(0.05)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return True

    def holder(self) -> int | None:
        """The process that holds it, as far as the file tells."""
        with contextlib.suppress(OSError, ValueError):
            return int(self.path.read_text("ascii"))
        return None

    def release(self) -> None:
        if self._file:
            self._file.close()  # which frees the lock
            self._file = None


def _locked(file: IO[str]) -> bool:
    try:
        _lock(file)
    except OSError:
        return False
    return True


def _lock(file: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(1 << 30)  # far behind the process id, which others may read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _usable(root: Path, *, create: bool) -> Path:
    """The folder, made where only it is missing and tried for writing. Raises StorageError in one sentence."""
    try:
        if create:
            root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return root.absolute()
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise StorageError(
            f"the data directory {_shown(root)} cannot be used ({why}); give another with --data-dir or {ENVIRONMENT}."
        ) from None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"{_shown(folder)} cannot be made: {(error.strerror or str(error)).lower()}.") from None


def _shown(path: Path) -> str:
    return str(path)[:200].encode("utf-8", "replace").decode("utf-8")


def _file_system(path: Path) -> str | None:
    """The kind of file system that a path lies on; None where the system does not tell."""
    try:
        lines = Path("/proc/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    mounts = [(Path(point.replace("\\040", " ")), kind) for _, point, kind, *_ in map(str.split, lines)]
    holding = [(len(point.parts), kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(holding, key=lambda found: found[0])[1] if holding else None
