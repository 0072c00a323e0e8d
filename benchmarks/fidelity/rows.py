"""The file of finished cells: one JSON object a line, all of one setup; a killed process's torn line is left out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.errors import InvalidInput

Row = dict[str, Any]
SETUP = (
    "model",
    "weights",
    "judge",
    "dtype",
    "guidance",
    "shift",
    "prompts",
)  # what must be the same in every row of a file


def read_rows(path: Path) -> list[Row]:
    """The finished cells of a file; none where there is no file. Raises InvalidInput where setups are mixed."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the last line of a process that was killed while it wrote
        if isinstance(row, dict) and "setup" in row:
            found.append(row)
    for row in found[1:]:
        check_setup(path, row["setup"], found[0]["setup"])
    return found


def check_setup(path: Path, setup: Row, known: Row) -> None:
    """Refuse to mix rows of different weights, judges or settings."""
    for name in SETUP:
        if setup.get(name) != known.get(name):
            raise InvalidInput(
                "out",
                f"{path.name} holds rows made with {name} {known.get(name)}, and others are of {name} "
                f"{setup.get(name)}; rows of two models cannot be compared: give --out another file.",
            )


def append_row(path: Path, row: Row) -> None:
    """One write of one line, so that processes beside each other do not mix theirs. A torn line before it is ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        file.seek(max(0, file.seek(0, 2) - 1))
        torn = file.read(1) not in (b"", b"\n")
        file.write((b"\n" if torn else b"") + json.dumps(row, sort_keys=True).encode() + b"\n")


def done(rows: Iterable[Row]) -> set[tuple[str, int, str]]:
    """What need not be run again: prompt, seed and the cell's key."""
    return {(row["prompt"], row["seed"], row["cell"]) for row in rows}


def digest_of(paths: Iterable[Path]) -> str:
    """A short hash of files' contents and names, as the setup names weights."""
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(path.name.encode())
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:12]


def weights_of(folder: Path) -> str:
    """The hash of a diffusers folder: its weights and the configs that decide what they do."""
    return digest_of([*folder.rglob("*.safetensors"), *folder.rglob("*config.json"), *folder.rglob("tokenizer.json")])
