"""A run as one file: a zip of its request, report, videos and stills, and the strict way back in.

An archive comes from a stranger. Its members may only be files that a job's folder has, each within its size, declared
and actual, and none that unpacks to far more than it was packed to. Report and request are parsed strictly, before all
else is unpacked, and must agree; videos and pictures are checked one by one as they are unpacked, and written anew.
Whatever is taken in gets an id of its own and replaces nothing.
"""

from __future__ import annotations

import json
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from engine import strict_json
from engine.errors import InvalidInput, RunFailed
from engine.experiments import control_video
from engine.experiments.conditions import FILE, ROLES, Conditions
from engine.experiments.documents import parse_experiment
from engine.experiments.experiment import MAX_TRACKS, Experiment
from engine.experiments.input_picture import MAX_KEPT
from engine.jobs import job_folders, queue, recovery
from engine.jobs.archive_media import keep_member
from engine.jobs.archive_media import refuse as _refuse
from engine.jobs.data_dir import DataDir, new_id
from engine.jobs.database import Store, now
from engine.jobs.job_errors import NotFound, StorageError
from engine.jobs.limits import Limits
from engine.models.catalogue import catalogue_model
from engine.reports.report_file import BOUNDS, load, save
from engine.reports.schema import Report
from engine.wording import first_line

MIB = 2**20
MAX_TOTAL = 2048 * MIB  # bytes of everything inside, unpacked
MAX_MEMBERS = 2 + len(ROLES) + 3 * (MAX_TRACKS + 1)  # request, report, what runs start from; three of every run
CHUNK = 256 * 1024
MAX_RATIO = 50  # bytes that a byte of a packed video or picture may unpack to: they are packed already
FREE_RATIO = 64 * 1024  # bytes below which a member may unpack as it will
PAGE_BYTES = 6 * MIB  # of the page that is made from it, beside the videos in it
# what may be inside, and how many bytes of it; index.html is left out: a stranger's page is made anew from the report
_KINDS = (
    (re.compile(r"job\.json"), strict_json.MAX_BYTES),
    (re.compile(r"report\.json"), BOUNDS.size),
    (re.compile(r"[0-9]{2}(-difference)?\.mp4"), 512 * MIB),
    (re.compile(r"[0-9]{2}(-difference)?\.webp"), 512 * MIB),
    (re.compile(r"[0-9]{2}-level-[1-8]\.mp4"), 64 * MIB),
    (re.compile(r"[0-9]{2}\.png"), 16 * MIB),
    (FILE, max(MAX_KEPT, control_video.MAX_BYTES)),
)
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, ValueError, IndexError,
)  # fmt: skip


# ---- out --------------------------------------------------------------------------------------------------------


def pack(folder: Path) -> Iterator[bytes]:
    """The zip of a job's folder, piece by piece, never whole in memory or on the disk. Raises NotFound.

    The id stays out of it: whoever is given the file is not given the job.
    """
    record, report = job_folders.record_of(folder), job_folders.report_of(folder)
    if record is None or report is None:
        raise NotFound("there is nothing to export yet.")
    names = [
        name
        for name in job_folders.plain_names(folder)
        if _limit(name) and name not in (job_folders.JOB, job_folders.REPORT)
    ]
    request = json.dumps({"created": record.get("created"), "document": record.get("document")}, ensure_ascii=False)
    return _pieces(folder, request.encode(), [job_folders.REPORT, *names])


def _pieces(folder: Path, request: bytes, names: list[str]) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[call-overload]
        archive.writestr(zipfile.ZipInfo(job_folders.JOB), request, zipfile.ZIP_DEFLATED)
        for name in names:
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
            with (folder / name).open("rb") as source, archive.open(member, "w") as target:
                while data := source.read(CHUNK):
                    target.write(data)
                    yield sink.take()
    yield sink.take()


class _Sink:
    """A file to write a zip to, whose content is taken away as it comes."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        data, self._pieces = b"".join(self._pieces), []
        return data


# ---- in ---------------------------------------------------------------------------------------------------------


def take_in(path: Path, store: Store, data: DataDir, limits: Limits) -> str:
    """Add the job of an archive to the library under a new id, and return the id.

    Raises InvalidInput, with one sentence, for whatever `pack` would not have written; ModelNotFound for a model that
    this server lacks; StorageError where it would not fit: nothing that is kept goes for it.
    """
    job_id = new_id()
    staging = data.trash / job_id  # what a crash leaves there is removed at the next start
    try:
        staging.mkdir()
        try:
            experiment = _unpack(path, staging, _room(store, data, limits))
            names = [track.name for track in queue.tracks_of(experiment)]
            if len(job_folders.finished_runs(staging, names)) < len(names):
                limits.check(experiment)  # what is missing can be run here, so it has to be within what may be run
            record = {"id": job_id, "created": now(), "pinned": False, "document": queue.dumps(experiment)}
            job_folders.write_record(staging, record)
            job_folders.move(staging, data.job(job_id))
        finally:
            job_folders.remove(staging)
    except OSError as error:
        raise StorageError(f"the archive was not taken in: {(error.strerror or str(error)).lower()}.") from error
    except RunFailed as error:  # a file of it could not be written anew
        raise StorageError(f"the archive was not taken in: {error}") from error
    if not recovery.adopt(store, data, job_id):
        job_folders.remove(data.job(job_id))
        raise StorageError("the archive was not taken in: its files could not be kept.")
    return job_id


def _room(store: Store, data: DataDir, limits: Limits) -> int:
    """Bytes that a new job may have without another having to go."""
    taken = store.read("SELECT coalesce(sum(bytes), 0) FROM jobs")[0][0]
    return int(min(limits.disk_bytes - taken, data.free_bytes() // 2, MAX_TOTAL))


def _unpack(path: Path, folder: Path, room: int) -> Experiment:
    """The members, checked by what they declare, then each by what it holds; the experiment that they are of."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(members, room, path.stat().st_size)
            documents = [member for member in members if member.filename in (job_folders.JOB, job_folders.REPORT)]
            for member in documents:
                _extract(archive, member, folder)
            experiment = _agreed(folder)
            for member in members:
                if member not in documents:
                    keep_member(_extract(archive, member, folder), experiment)
            return experiment
    except _DAMAGED as error:
        raise InvalidInput("archive", f"the archive cannot be read: {_reason(error)}; export it again.") from None


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> Path:
    path = folder / member.filename
    with archive.open(member) as source, path.open("xb") as target:
        _copy(source, target, member)
    return path


def _check_members(members: list[zipfile.ZipInfo], room: int, size: int) -> None:
    if len(members) > MAX_MEMBERS:
        _refuse(f"it holds {len(members)} files, a run has at most {MAX_MEMBERS}")
    names = set()
    for member in members:
        name, limit = member.filename, _limit(member.filename)
        if limit is None or member.orig_filename != name:
            _refuse(f"it holds “{strict_json.shown(member.orig_filename)}”, which is no file of a run")
        if name in names:
            _refuse(f"it holds {name} twice")
        names.add(name)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            _refuse(f"{name} is not a plain file")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            _refuse(f"{name} is encrypted or packed in a way that is not read here")
        if member.file_size > limit:
            _refuse(f"{name} has {member.file_size:,} bytes, at most {limit:,} are taken")
        packed = name.endswith(".json") or member.file_size <= max(MAX_RATIO * member.compress_size, FREE_RATIO)
        if not packed:
            _refuse(f"{name} would unpack to {member.file_size:,} bytes from {member.compress_size:,}")
    for name in (job_folders.JOB, job_folders.REPORT):
        if name not in names:
            _refuse(f"it holds no {name}")
    if sum(member.compress_size for member in members) > size:
        _refuse("its files lie over one another")
    total = sum(member.file_size for member in members)
    total += PAGE_BYTES + total * 4 // 3  # the page holds the videos too, as text
    if total > room:
        raise StorageError(
            f"the archive takes {total:,} bytes and there is room for {max(0, room):,}; delete results first."
        )


def _copy(source: IO[bytes], target: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Copy a member; one that holds more than it declares is refused, whatever its compression."""
    left = member.file_size
    while data := source.read(CHUNK):
        left -= len(data)
        if left < 0:
            _refuse(f"{member.filename} holds more than it declares")
        target.write(data)
    if left:
        _refuse(f"{member.filename} is cut off")


def _agreed(folder: Path) -> Experiment:
    """The experiment of an archive whose request and report are unpacked and agree; the report is written anew."""
    record = strict_json.loads((folder / job_folders.JOB).read_bytes(), job_folders.JOB)
    document = record.get("document")
    if not isinstance(document, str):
        _refuse(f"{job_folders.JOB} holds no experiment")
    experiment = parse_experiment(document, job_folders.JOB, catalogue_model)
    report = load(folder / job_folders.REPORT)
    _agree(experiment, report)
    save(report, folder / job_folders.REPORT)
    return experiment


def _agree(experiment: Experiment, report: Report) -> None:
    """The report is of this experiment, and names the files of its own runs alone."""
    for name, asked, told in (
        ("model", experiment.spec.id, report.model),
        ("prompt", experiment.prompt, report.prompt),
        ("seed", experiment.seed, report.seed),
        ("steps", experiment.steps, report.steps),
        ("width", experiment.width, report.size.width),
        ("height", experiment.height, report.size.height),
        ("frames", experiment.frames, report.size.frames),
        *((role, _document(experiment.conditions, role), _document(report, role)) for role in ROLES),
    ):
        if asked != told:
            _refuse(f"{job_folders.JOB} and {job_folders.REPORT} differ in {name}")
    names = [track.name for track in queue.tracks_of(experiment)]
    for run in report.runs:
        if run.name not in names:
            _refuse(f"{job_folders.REPORT} tells of the run “{strict_json.shown(run.name)}”, which was not asked for")
        number = names.index(run.name)
        if run.steps != queue.tracks_of(experiment)[number].steps:
            _refuse(f"{job_folders.REPORT} gives “{strict_json.shown(run.name)}” other steps than were asked for")
        stem = f"{number:02d}"
        own = {f"{stem}.mp4", f"{stem}.webp", None}
        differing = {f"{stem}-difference.mp4", f"{stem}-difference.webp", None}
        if run.video not in own or run.heatmap not in differing:
            _refuse(f"{job_folders.REPORT} gives “{strict_json.shown(run.name)}” the files of another run")
        if any(level.video != f"{stem}-level-{level.level}.mp4" for level in run.pyramid):
            _refuse(f"{job_folders.REPORT} gives “{strict_json.shown(run.name)}” the levels of another run")


def _document(holder: Conditions | Report, role: str) -> dict[str, Any] | None:
    """A picture or video of the request or of the report as plain data."""
    given = getattr(holder, role)
    names = ("sha256", "width", "height", "frames")
    return given and {name: getattr(given, name) for name in names if hasattr(given, name)}


def _limit(name: str) -> int | None:
    """The most bytes that a file of this name may have; None for a name that no job's file has."""
    return next((limit for pattern, limit in _KINDS if pattern.fullmatch(name)), None)


def _reason(error: Exception) -> str:
    return first_line(error, 120, otherwise="").rstrip(".").lower() or "it is damaged"
