"""Runs with a cache beside the same schedule without: how alike they are, whichever of the two runs first."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from engine.experiments.experiment import Track
from engine.measuring.similarity import similarity
from engine.reports.closeness import Similarity, Uncached


class CachedPairs:
    """Keeps the frames that a comparison still needs because of its caches, and no others.

    `tracks` has the baseline first; `left` are the numbers of those that are going to run.
    """

    def __init__(self, tracks: Sequence[Track], left: Collection[int], fps: float) -> None:
        self.tracks, self.fps = tracks, fps
        self.twin = {k: _twin(track, tracks) for k, track in enumerate(tracks) if track.cache}
        self.waiting = {k for k in self.twin if k in left}
        self.left = set(left)
        self.frames: dict[int, np.ndarray] = {}

    def seen(self, number: int, frames: np.ndarray) -> dict[int, Uncached]:
        """A run has given its frames, (T, H, W, 3): what can now be said of it, and of those that waited for it."""
        found = {}
        for k in [k for k in self.waiting if number in (k, self.twin[k])]:
            twin = self.twin[k]
            other = frames if twin == number else self.frames.get(-1 if twin is None else twin)
            own = frames if k == number else self.frames.get(k)
            if own is not None and other is not None and twin is not None:
                found[k] = Uncached(
                    run=self.tracks[twin].name, similarity=Similarity(**similarity(own, other, self.fps))
                )
                self.waiting.discard(k)
            elif k == number:
                found[k] = self._missing(k)
        self.left.discard(number)
        self._keep(number, frames)
        return found

    def _missing(self, k: int) -> Uncached:
        twin = self.twin[k]
        if twin is None:
            self.waiting.discard(k)
            reason = "the same schedule without its cache is not in this comparison"
            return Uncached(run=None, similarity=Similarity.missing(reason))
        name = self.tracks[twin].name
        if twin not in self.left:
            self.waiting.discard(k)
            reason = f"the frames of {name}, the same without its cache, are not at hand"
        else:
            reason = f"{name}, the same without its cache, has not finished"
        return Uncached(run=name, similarity=Similarity.missing(reason))

    def _keep(self, number: int, frames: np.ndarray) -> None:
        self.frames[number] = frames
        needed = {n for k in self.waiting for n in (k, self.twin[k])}
        self.frames = {n: kept for n, kept in self.frames.items() if n in needed}


def _twin(track: Track, tracks: Sequence[Track]) -> int | None:
    """The number of the first track that is this one without its cache."""
    return next((number for number, other in enumerate(tracks) if track.without_cache(other)), None)
