"""What is written down by hand in `mutants.toml`: which files, which tests, wrong variants, equivalent changes."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.mutants.changes import Mutant

ROOT = Path(__file__).parent.parent.parent
LIST = Path(__file__).with_name("mutants.toml")


@dataclass(frozen=True)
class Subject:
    """A file that is changed, and the test files that are to notice."""

    name: str
    path: str
    tests: tuple[str, ...]
    by_hand_only: bool = False


@dataclass(frozen=True)
class Wrong:
    """A variant that reads well and is wrong: `line` of a file, found once, becomes another."""

    file: str
    line: str
    becomes: str
    what: str


@dataclass(frozen=True)
class Spared:
    """Changes that may survive, by the lines that they take out and put in, and why."""

    file: str
    line: str
    becomes: tuple[str, ...]
    why: str

    def covers(self, mutant: Mutant) -> bool:
        removed, added = mutant.lines
        return (self.file, self.line) == (mutant.subject.name, removed) and added in self.becomes


@dataclass(frozen=True)
class Listed:
    """All of `mutants.toml`."""

    subjects: tuple[Subject, ...]
    helpers: tuple[str, ...]
    left_out: tuple[str, ...]  # tests
    wrong: tuple[Wrong, ...]
    equivalent: tuple[Spared, ...]  # no test can notice: the result is the same
    tolerated: tuple[Spared, ...]  # a test could notice; why there is none

    @classmethod
    def read(cls, path: Path = LIST) -> Listed:
        """Raises TypeError for a key that is missing or unknown."""
        document = tomllib.loads(path.read_text("utf-8"))
        subjects = [
            Subject(name, **(entry | {"tests": tuple(entry["tests"])})) for name, entry in document["files"].items()
        ]
        spared = {
            kind: tuple(Spared(**(entry | {"becomes": tuple(entry["becomes"])})) for entry in document.get(kind, []))
            for kind in ("equivalent", "tolerated")
        }
        wrong = tuple(Wrong(**entry) for entry in document["wrong"])
        return cls(tuple(subjects), tuple(document["helpers"]), tuple(document["left_out"]), wrong, **spared)

    def stamp(self, subject: Subject) -> str:
        """Changes whenever a file does that may change a verdict: a result with another stamp is not taken over."""
        paths = sorted({*(one.path for one in self.subjects), *self.helpers, *subject.tests})
        return hashlib.sha256(b"\0".join((ROOT / path).read_bytes() for path in paths)).hexdigest()[:16]
