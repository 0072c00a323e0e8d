"""Do the tests notice when the mathematics is wrong? `make mutants`, or `python -m benchmarks.mutants [NAME ...]`.

Every file of `mutants.toml` is changed in one small place at a time, and its tests are run on the change: a mutant that
none of them notices is a hole in the tests. Nothing is written to the working tree but the results, which a later call
goes on from; with all files tried, `docs/mutants.md` is written. One process, an hour or less.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, at the rehearsal

from benchmarks.mutants.changes import Mutant, mutants_of
from benchmarks.mutants.listed import ROOT, Listed, Subject
from benchmarks.mutants.page import aim_missed, written
from benchmarks.mutants.trial import Rehearsal


@dataclass(frozen=True)
class Result:
    """The verdict on one mutant."""

    key: str
    name: str
    stamp: str  # of the files that it rests on
    killer: str  # "" for a survivor


class Results:
    """Verdicts in a file, one a line; the last one of a mutant counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        lines = [line for line in path.read_text("utf-8").splitlines() if line.endswith("}")]
        self._known = {result.key: result for result in (Result(**json.loads(line)) for line in lines)}

    def killer(self, mutant: Mutant, stamp: str) -> str | None:
        known = self._known.get(mutant.key)
        return known.killer if known and known.stamp == stamp else None

    def former_killer(self, mutant: Mutant) -> str:
        return self._known[mutant.key].killer if mutant.key in self._known else ""

    def add(self, result: Result) -> None:
        self._known[result.key] = result
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="of mutants.toml; all by default")
    parser.add_argument("--results", type=Path, default=ROOT / "out/mutants.jsonl")
    options = parser.parse_args()
    listed, results = Listed.read(), Results(options.results)
    subjects = [subject for subject in listed.subjects if not options.names or subject.name in options.names]
    mutants = {subject: mutants_of(subject, ROOT, listed) for subject in subjects}
    stamps = {subject: listed.stamp(subject) for subject in subjects}
    waiting = [
        mutant
        for subject, every in mutants.items()
        for mutant in every
        if results.killer(mutant, stamps[subject]) is None
    ]
    if waiting:
        try_all(waiting, stamps, results, listed.left_out)
    killers = {
        mutant: results.killer(mutant, stamps[mutant.subject]) or "" for every in mutants.values() for mutant in every
    }
    page = written(listed, killers)
    print(page)
    if not options.names:
        (ROOT / "docs/mutants.md").write_text(page, "utf-8")
    if missed := aim_missed(listed, killers):
        raise SystemExit(missed)


def try_all(waiting: list[Mutant], stamps: dict[Subject, str], results: Results, left_out: tuple[str, ...]) -> None:
    rehearsal = Rehearsal.of(sorted({test for mutant in waiting for test in mutant.subject.tests}), left_out)
    begun = time.monotonic()
    for number, mutant in enumerate(waiting, 1):
        killer = rehearsal.killer_of(mutant, results.former_killer(mutant))
        results.add(Result(mutant.key, mutant.name, stamps[mutant.subject], killer))
        if not killer:
            print("survived:", mutant.name, flush=True)
        if number % 50 == 0:
            print(f"{number} of {len(waiting)}, {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
