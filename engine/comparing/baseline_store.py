"""Finished baselines that a later comparison of the very same settings takes over instead of running them again.

An entry is a folder named by the hash of everything that decides a baseline's pixels and its timing. It holds the
run as the report had it, its video, and its frames losslessly, so that similarity to a reused baseline is exact.
A cache: whatever goes wrong with it costs a baseline's time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import try_to_load_from_cache
from pydantic import ValidationError

from engine.errors import ResoluteError
from engine.experiments.experiment import Experiment
from engine.measuring.video import whole_file
from engine.models.catalogue import ModelSpec
from engine.reports.closeness import Similarity
from engine.reports.schema import Environment, Run

log = logging.getLogger(__name__)
FORMAT = 2  # of an entry; part of the key. 2: conditions and moves between devices are phases of their own
RUN, FRAMES = "run.json", "frames.npy"


@dataclass(frozen=True)
class Baseline:
    """A baseline found again: its run with `reused` set, frames (T, H, W, 3) float32 in [0, 1], its video's path.

    `other_seed` is how far another seed of its prompt was from it, where that was run.
    """

    run: Run
    frames: np.ndarray
    video: Path
    other_seed: Similarity | None = None


@dataclass(frozen=True)
class Baselines:
    """The cache: a folder of entries, the least recently used removed above `quota` bytes."""

    folder: Path
    quota: float

    def find(self, key: str) -> Baseline | None:
        """The baseline of a key, or None. A damaged entry is removed."""
        entry = self.folder / key
        if not entry.is_dir():
            return None
        try:
            found = _read(entry)
            os.utime(entry)  # used just now
            return found
        except (OSError, ValueError, KeyError, EOFError, ValidationError) as error:
            log.warning("baseline %s is damaged and removed: %s", key[:12], error)
            shutil.rmtree(entry, ignore_errors=True)
            return None

    def tell(self, key: str, other_seed: Similarity) -> None:
        """Keep how far another seed is from a baseline that is kept; where the disk does not take it, it is not."""
        path = self.folder / key / RUN
        try:
            record = json.loads(path.read_text("utf-8")) | {"other_seed": other_seed.model_dump(mode="json")}
            with whole_file(path) as part:
                part.write_text(json.dumps(record, allow_nan=False), encoding="utf-8")
        except (OSError, ValueError, ResoluteError) as error:
            log.warning("the other seed of a baseline is not kept: %s", error)

    def keep(self, key: str, run: Run, frames: np.ndarray, video: Path) -> None:
        """Keep a finished baseline; where the disk does not take it, it is not kept."""
        if frames.nbytes > self.quota:
            return
        part = self.folder / f"{secrets.token_hex(8)}.part"
        try:
            self._make_room(frames.nbytes)
            part.mkdir(parents=True)
            np.save(part / FRAMES, frames, allow_pickle=False)
            shutil.copyfile(video, part / video.name)
            record = {"computed": datetime.now(UTC).isoformat(timespec="minutes"), "run": run.model_dump(mode="json")}
            (part / RUN).write_text(json.dumps(record, allow_nan=False), encoding="utf-8")
            shutil.rmtree(self.folder / key, ignore_errors=True)
            os.replace(part, self.folder / key)
        except OSError as error:
            log.warning("the baseline is not kept for reuse: %s", error)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(_size(entry) for entry in self._entries())

    def tidy(self) -> None:
        """Remove what a process left half written."""
        for entry in self._entries():
            if entry.suffix == ".part":
                shutil.rmtree(entry, ignore_errors=True)

    def _make_room(self, wanted: int) -> None:
        oldest_first = sorted(self._entries(), key=_used)
        total = sum(map(_size, oldest_first))
        for entry in oldest_first:
            if total + wanted <= self.quota:
                return
            total -= _size(entry)
            shutil.rmtree(entry, ignore_errors=True)

    def _entries(self) -> list[Path]:
        with contextlib.suppress(OSError):
            return [entry for entry in self.folder.iterdir() if entry.is_dir()]
        return []


class KeptBaseline:
    """The place of one comparison's baseline in the cache; without a cache nothing is found and nothing kept."""

    def __init__(self, baselines: Baselines | None, experiment: Experiment, environment: Environment) -> None:
        self._baselines = baselines
        self._key = key_of(experiment, environment) if baselines else ""
        self.found = baselines.find(self._key) if baselines else None

    def keep(self, run: Run, frames: np.ndarray, video: Path) -> None:
        """Keep a baseline that has just been run."""
        if self._baselines:
            self._baselines.keep(self._key, run, frames, video)

    def tell(self, other_seed: Similarity | None) -> None:
        """Keep what is known of another seed with the baseline."""
        if self._baselines and other_seed:
            self._baselines.tell(self._key, other_seed)


def key_of(experiment: Experiment, environment: Environment) -> str:
    """The hash of all that decides a baseline's pixels and timing: settings, weights, device, number type, versions."""
    document = experiment.document()
    del document["tracks"]
    facts = {
        "format": FORMAT,
        "experiment": document,
        "environment": environment.model_dump(mode="json"),
        "weights": fingerprint(experiment.spec),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, allow_nan=False).encode()).hexdigest()


def fingerprint(spec: ModelSpec) -> list[tuple[str, int, int]]:
    """What tells a model's files from others of the same name: path, bytes and time of change of each.

    A model of the hub is looked up in the local hub cache.
    """
    folder = Path(spec.location)
    if not spec.is_local:
        index = try_to_load_from_cache(spec.location, "model_index.json")
        if not isinstance(index, str):
            return []
        folder = Path(index).parent
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".safetensors", ".json"))
    stats = [(path, path.stat()) for path in files]
    return [(path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns) for path, stat in stats]


def _read(entry: Path) -> Baseline:
    record: dict[str, Any] = json.loads((entry / RUN).read_text("utf-8"))
    run = Run.model_validate_json(json.dumps(record["run"]), strict=True)
    if run.video is None or not (entry / run.video).is_file():
        raise ValueError("its video is missing")
    frames = np.load(entry / FRAMES, allow_pickle=False)
    computed = datetime.fromisoformat(record["computed"]).strftime("%Y-%m-%d %H:%M UTC")
    told = record.get("other_seed")
    other = Similarity.model_validate_json(json.dumps(told), strict=True) if told else None
    return Baseline(run.model_copy(update={"reused": f"computed on {computed}"}), frames, entry / run.video, other)


def _size(entry: Path) -> int:
    total = 0
    for path in entry.iterdir():
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _used(entry: Path) -> int:
    with contextlib.suppress(OSError):
        return entry.stat().st_mtime_ns
    return 0
