"""The runs of a comparison as they come in, and what is taken over from a try that was interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from engine.comparing.speedups import at_pace, pace_here, with_speedups
from engine.experiments.experiment import Track
from engine.reports.closeness import Uncached
from engine.reports.schema import Report, Run


class FinishedRuns:
    """Runs by number, the baseline's is 0. `tracks` has the baseline first.

    The finished runs of `earlier`, an unfinished report of the same comparison, are there from the beginning as far as
    their files still lie in `folder`.
    """

    def __init__(self, tracks: Sequence[Track], earlier: Report | None, folder: Path) -> None:
        self._count = len(tracks)
        self._runs = dict(_finished(tracks, earlier, folder)) if earlier else {}

    def left(self, baseline_here: bool) -> list[int]:
        """The numbers that are left to run, in order.

        A finished baseline is run again where its frames are not here: similarity needs them.
        """
        left = [number for number in range(self._count) if number not in self._runs]
        if left and left[0] > 0 and not baseline_here:
            left.insert(0, 0)
        return left

    def add(self, number: int, run: Run) -> Run:
        """Take a run in; what stands now: one that finished earlier stays where running it again came to nothing."""
        if run.status == "done" or number not in self._runs:
            self._runs[number] = run
        if 0 in self._runs:
            self._compare_seconds()
        return self._runs[number]

    def tell(self, uncached: Mapping[int, Uncached]) -> None:
        """How like runs are to the same without their caches, of those that are here."""
        for number in uncached.keys() & self._runs.keys():
            self._runs[number] = self._runs[number].model_copy(update={"uncached": uncached[number]})

    def by_number(self) -> Mapping[int, Run]:
        """The runs that are here; the baseline's number is 0."""
        return dict(self._runs)

    def in_order(self) -> tuple[Run, ...]:
        """The baseline, then the others."""
        return tuple(run for _, run in sorted(self._runs.items()))

    def _compare_seconds(self) -> None:
        """With every run more is known of how runs vary, and of a reused baseline's pace here."""
        baseline, *others = self.in_order()
        pace = pace_here(baseline, others) if baseline.reused else None
        if pace:
            baseline = at_pace(baseline, pace)
        for number, run in zip(sorted(self._runs), with_speedups([baseline, *others]), strict=True):
            self._runs[number] = run


def _finished(tracks: Sequence[Track], earlier: Report, folder: Path) -> Iterator[tuple[int, Run]]:
    numbers = {track.name: number for number, track in enumerate(tracks)}
    for run in earlier.runs:
        files = [name for name in (run.video, run.heatmap) if name]
        if run.status == "done" and run.name in numbers and all((folder / name).is_file() for name in files):
            yield numbers[run.name], run
