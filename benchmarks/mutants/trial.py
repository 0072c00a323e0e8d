"""One mutant, tried in a forked process: the tests run there with the changed text in the file's place."""

from __future__ import annotations

import contextlib
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import CodeType, ModuleType
from typing import Any

import pytest

from benchmarks.mutants.changes import Mutant

_OWN = ("engine", "tests")  # packages that every trial imports anew
_FORK = multiprocessing.get_context("fork")


@dataclass
class Durations:
    """A plugin of pytest: seconds of every test of a run, set-up included, by its id."""

    seconds: dict[str, float] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration


@dataclass
class _UntilOneFails:
    """A plugin of pytest: the tests in an order that ends it soon; the one that fails is told and ends it all."""

    order: Callable[[str], tuple[float, ...]]  # sorts by a test's id
    answer: Connection

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self.order(item.nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.answer.send(report.nodeid)
            os._exit(0)  # taking pytest down takes longer than most tests


class _Loader(importlib.abc.InspectLoader):
    """Loads a module from a text that stands in no file."""

    def __init__(self, text: str, path: str) -> None:
        self._text, self._path = text, path

    def get_source(self, fullname: str) -> str:
        return self._text

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._text, self._path)

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the mutant under its module's name, ahead of the file."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = mutant.subject.path.removesuffix(".py").replace("/", ".")
        self._loader = _Loader(mutant.text, mutant.subject.path)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self._loader) if fullname == self._name else None


@dataclass(frozen=True)
class Rehearsal:
    """A run of the tests on the unchanged engine: how long each took, and which were left out."""

    seconds: Mapping[str, float]
    left_out: tuple[str, ...]
    _kills: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, tests: Sequence[str], left_out: tuple[str, ...]) -> Rehearsal:
        """Runs in this process, which keeps the libraries loaded. Raises SystemExit where a test fails as it is."""
        durations = Durations()
        if pytest.main(_arguments(tests, left_out), plugins=[durations]) != 0:
            raise SystemExit("The tests must pass before anything is changed.")
        for name in [name for name in sys.modules if name.split(".")[0] in _OWN]:
            del sys.modules[name]
        gc.collect()
        gc.freeze()  # what is here by now is not looked through again in every trial
        return cls(durations.seconds, left_out)

    def killer_of(self, mutant: Mutant, first: str) -> str:
        """The test that fails on a mutant, "at import" or "out of time"; "" for one that survives.

        `first` is the test to begin with; those that killed most so far come next, then the fastest.
        """
        ours, theirs = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=self._try, args=(theirs, mutant, first))
        process.start()
        theirs.close()
        with ours:
            try:
                killer = str(ours.recv()) if ours.poll(30 + 4 * sum(self.seconds.values())) else "out of time"
            except EOFError:
                killer = "at import"  # the process itself ended
            finally:
                process.kill()
                process.join()
        self._kills[killer] += 1
        return killer

    def _try(self, answer: Connection, mutant: Mutant, first: str) -> None:
        sys.meta_path.insert(0, _Finder(mutant))
        plugin = _UntilOneFails(lambda test: (test != first, -self._kills[test], self.seconds.get(test, 0.0)), answer)
        with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
            code = pytest.main(_arguments(mutant.subject.tests, self.left_out), plugins=[plugin])
        answer.send("" if code == 0 else "at import")


def _arguments(tests: Sequence[str], left_out: Sequence[str]) -> list[str]:
    return [
        "-q",
        "-x",
        "--assert=plain",
        "-p",
        "no:cacheprovider",
        *tests,
        *(f"--deselect={test}" for test in left_out),
    ]
