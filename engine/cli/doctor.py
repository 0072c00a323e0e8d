"""`python -m engine doctor`: what a report of a bug needs, and what is broken with its remedy. Changes nothing.

Nothing here identifies a person: no host name, no prompt, no address; the home folder is shown as ~.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from engine import __version__
from engine.errors import InvalidInput, ResoluteError
from engine.jobs import database
from engine.jobs.data_dir import DataDir, default_folder
from engine.jobs.job_errors import StorageError
from engine.jobs.limits import Limits
from engine.measuring.video import FFMPEG_REMEDY, VideoFailed, ffmpeg
from engine.models.availability import availability, studio_models
from engine.models.catalogue import ROOT, SHIPPED, find_model
from engine.models.load_options import LoadOptions
from engine.wording import GB, gb_text

EXTRAS = ("lpips", "kernels", "peft", "bitsandbytes", "torchao")
LITTLE_BYTES = 500_000_000  # of free disk: less, and a long video may not fit
PATIENCE_S = 120.0  # for torch to be imported on a busy machine
NOTICES = 5
TORCH = (
    "import json, torch; n = torch.cuda.device_count() if torch.cuda.is_available() else 0; "
    "print(json.dumps({'torch': torch.__version__, 'cuda': torch.version.cuda or 'none', 'threads': "
    "torch.get_num_threads(), 'gpus': [torch.cuda.get_device_name(k) for k in range(n)]}))"
)
Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something needed that is broken, and what to do about it; one sentence each."""

    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Facts by section, in order, as plain JSON types; and what is broken."""

    facts: dict[str, Facts]
    problems: tuple[Problem, ...]

    @property
    def well(self) -> bool:
        """Whether nothing needed is broken."""
        return not self.problems

    def to_json(self) -> str:
        """One JSON object: the sections, and `problems`."""
        problems = [{"what": problem.what, "remedy": problem.remedy} for problem in self.problems]
        return json.dumps(_nameless(self.facts | {"problems": problems}), indent=1, ensure_ascii=False)

    def __str__(self) -> str:
        lines = []
        for section, facts in _nameless(self.facts).items():
            lines += [section, *(f"  {name:<22}{_shown(value)}" for name, value in facts.items()), ""]
        told = [f"! {_nameless(problem.what)} {_nameless(problem.remedy)}" for problem in self.problems]
        return "\n".join([*lines, *(told or ["Nothing needed is broken."])])


def examine(folder: Path | None = None, environ: Mapping[str, str] = os.environ) -> Diagnosis:
    """Look at everything; `folder` is the data directory, the default one where it is None. Raises nothing."""
    problems: list[Problem] = []
    data = folder or default_folder(environ)
    facts = {
        "Resolute": {"version": __version__, **_settings(environ, problems)},
        "Machine": _machine(),
        "Devices": _devices(problems),
        "Packages": _packages(problems),
        "ffmpeg": _ffmpeg(problems),
        "Data directory": _data(data, environ, problems),
        "Database": _database(data / "resolute.db", problems),
        "Models": _models(problems),
        "Notices": _notices(data / "resolute.db"),
    }
    return Diagnosis(facts, tuple(problems))


def _settings(environ: Mapping[str, str], problems: list[Problem]) -> Facts:
    try:
        Limits.from_environment(environ)
        LoadOptions.from_environment(environ)
    except InvalidInput as error:
        problems.append(Problem(str(error), "Correct the environment variable or unset it."))
    named = ("RESOLUTE_HOSTS", "RESOLUTE_ORIGINS")  # that they are set is told, and no name of a host
    return {key: "set" if key in named else environ[key] for key in sorted(environ) if key.startswith("RESOLUTE_")}


def _machine() -> Facts:
    memory, process = psutil.virtual_memory(), psutil.Process()
    usable = f", {len(process.cpu_affinity() or ())} usable" if hasattr(process, "cpu_affinity") else ""
    return {
        "platform": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "cores": f"{os.cpu_count()}{usable}",
        "memory": f"{_size(memory.total)}, {_size(memory.available)} free",
    }


def _devices(problems: list[Problem]) -> Facts:
    """What torch sees, asked in a process of its own: a broken driver may take the process with it."""
    facts: Facts = {"driver": _driver() or "none: runs use the CPU"}
    try:
        done = subprocess.run([sys.executable, "-c", TORCH], capture_output=True, text=True, timeout=PATIENCE_S)
        told = json.loads(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        told = None
    if told is None:
        problems.append(Problem("torch cannot be imported.", "Install it again: pip install -r requirements.txt."))
        return facts | {"torch": "broken"}
    return facts | told | {"gpus": told["gpus"] or "none"}


def _driver() -> str | None:
    """The GPUs as the driver's own tool names them; None where it is not there."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return "; ".join(done.stdout.strip().splitlines()) if done.returncode == 0 and done.stdout.strip() else None


def _packages(problems: list[Problem], needed: Path = ROOT / "requirements.txt") -> Facts:
    """Versions of what is needed, as far as the list is here, and of the extras."""
    lines = needed.read_text("utf-8").splitlines() if needed.is_file() else []
    pins = dict(line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
    facts: Facts = {}
    for name, pin in pins.items():
        version = _version(name)
        facts[name] = version or "missing"
        if version is None:
            problems.append(Problem(f"The package {name} is not installed.", f"Run: pip install {name}=={pin}."))
        elif version.partition("+")[0] != pin:
            facts[name] = f"{version} (tested with {pin})"
    return facts | {name: _version(name) or "not installed (an extra)" for name in EXTRAS}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _ffmpeg(problems: list[Problem]) -> Facts:
    try:
        program = ffmpeg()
        done = subprocess.run([program, "-hide_banner", "-version"], capture_output=True, text=True, timeout=60)
    except (VideoFailed, OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode:
        problems.append(
            Problem("ffmpeg is missing or does not start.", f"Without it no video is written: {FFMPEG_REMEDY}.")
        )
        return {"program": "missing"}
    version = (done.stdout.splitlines() or ["unknown"])[0].split(" Copyright")[0]
    if "--enable-libx264" not in done.stdout:
        problems.append(Problem("This ffmpeg cannot write H.264.", f"Use one that has libx264: {FFMPEG_REMEDY}."))
    return {
        "program": program,
        "version": version,
        "libx264": _yes("--enable-libx264" in done.stdout),
        "libvmaf": _yes("--enable-libvmaf" in done.stdout),
    }


def _data(folder: Path, environ: Mapping[str, str], problems: list[Problem]) -> Facts:
    """The data directory as it would be used; one that is not there yet is made at the first start."""
    facts: Facts = {"path": str(folder)}
    near = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    free = shutil.disk_usage(near).free if near.exists() else 0
    if free < LITTLE_BYTES:
        problems.append(Problem(f"The disk of the data directory has {_size(free)} left.", "Make room on it."))
    if not folder.exists():
        facts |= {"state": "not there yet; made at the first start"}
        if not os.access(near, os.W_OK):
            problems.append(Problem(f"{folder} cannot be made.", "Give another with --data-dir or RESOLUTE_DATA."))
        return facts | {"disk free": _size(free)}
    try:
        data = DataDir(folder)
    except StorageError as error:
        problems.append(Problem(_sentence(str(error)), "See its owner and rights."))
        return facts | {"state": "cannot be used", "disk free": _size(free)}
    return facts | {
        "state": "writable",
        "kept": data.ephemeral(environ) or "across restarts",
        "in use": _holder(folder / "lock"),
        "disk free": _size(free),
    }


def _holder(lock: Path) -> str:
    """Whether a Resolute runs on it; looked at, not taken."""
    if sys.platform == "win32" or not lock.exists():
        return "unknown" if lock.exists() else "no"
    import fcntl

    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return f"yes, by process {lock.read_text('ascii', 'replace')[:10].strip()}"
    except OSError:
        return "unknown"
    return "no"


def _database(path: Path, problems: list[Problem]) -> Facts:
    if not path.is_file():
        return {"state": "not there yet"}
    try:
        with closing(_reader(path)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            sound = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            jobs = dict(db.execute("SELECT status, count(*) FROM jobs GROUP BY status"))
            size = db.execute("SELECT coalesce(sum(bytes), 0) FROM jobs").fetchone()[0]
            runs, notices = (db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("runs", "notices"))
    except sqlite3.Error as error:
        remedy = "Start Resolute: it puts a corrupt database aside and finds results again by their files."
        problems.append(Problem(f"The database cannot be read ({error}).", remedy))
        return {"state": "cannot be read"}
    if sound != "ok" or version > database.VERSION:
        newer = version > database.VERSION
        what = f"The database has schema {version}." if newer else "The database is damaged."
        remedy = "Use the newer Resolute that made it." if newer else "Start Resolute: it puts it aside."
        problems.append(Problem(what, remedy))
    counted = ", ".join(f"{count} {status}" for status, count in sorted(jobs.items())) or "none"
    facts = {"schema": f"{version} of {database.VERSION}", "jobs": counted, "runs": runs, "notices": notices}
    return facts | {"results": _size(size)}


def _notices(path: Path) -> Facts:
    """The last notices, which hold no texts of people."""
    sql = f"SELECT id, created, kind, text FROM notices ORDER BY id DESC LIMIT {NOTICES}"
    try:
        with closing(_reader(path)) as db:
            rows = db.execute(sql).fetchall()
    except sqlite3.Error:
        rows = []
    return {
        f"number {number}": f"{datetime.fromtimestamp(created, UTC):%Y-%m-%d %H:%M:%S}Z {kind}: {text}"
        for number, created, kind, text in rows
    } or {"none": ""}


def _reader(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise sqlite3.OperationalError("there is no database")
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)


def _models(problems: list[Problem]) -> Facts:
    found = studio_models()
    facts: Facts = {one.spec.id: f"{one.told}; {one.too_large}" if one.too_large else one.told for one in found}
    try:
        spec = find_model(SHIPPED)
    except ResoluteError as error:
        problems.append(
            Problem(f"The shipped model cannot be used: {error}", "Get the repository's weights folder again.")
        )
        return facts | {SHIPPED: "damaged"}
    if availability(spec).place != "here":
        problems.append(Problem("The shipped model has no weights.", "Get the repository's weights folder again."))
    return facts


def _size(count: float) -> str:
    return gb_text(count, 1) if count >= GB / 10 else f"{count / 1e6:.1f} MB"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _nameless(value: Any) -> Any:
    """The same with the home folder as ~, wherever it stands in a text."""
    if isinstance(value, str):
        home = str(Path.home())
        return value.replace(home, "~") if len(home) > 1 else value
    if isinstance(value, Mapping):
        return {_nameless(key): _nameless(one) for key, one in value.items()}
    return [_nameless(one) for one in value] if isinstance(value, list) else value
