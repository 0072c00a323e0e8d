"""A run beside the baseline: its video, its heat-map and its metrics, made side by side where cores are idle."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from engine.comparing.result_files import ResultFiles
from engine.experiments.experiment import Track
from engine.measuring.similarity import Metric, own_similarity, similarity
from engine.reports.closeness import Similarity


@dataclass(frozen=True)
class Written:
    """A run's video: its name, how long writing took, and the metrics that were computed meanwhile."""

    video: str
    encode_s: float
    own: dict[str, Metric] | None


class BesideBaseline:
    """Keeps the baseline's frames, (T, H, W, 3) float32 in [0, 1], None until its run has finished."""

    def __init__(self, files: ResultFiles, fps: float) -> None:
        self.files, self.fps = files, fps
        self.baseline: np.ndarray | None = None

    def write(self, number: int, track: Track, frames: np.ndarray) -> Written:
        """Write a run's video and still; ffmpeg leaves a core to the metrics that need no ffmpeg."""
        base = self.baseline if number else None
        with ThreadPoolExecutor(max_workers=1) as pool:
            own = None if base is None else pool.submit(own_similarity, frames, base, self.fps)
            begun = time.perf_counter()
            video = self.files.video(number, track, frames)
            encode_s = time.perf_counter() - begun
            self.files.still(number, track, frames)
            return Written(video, encode_s, own.result() if own else None)

    def compare(self, number: int, track: Track, frames: np.ndarray, written: Written) -> tuple[str | None, Similarity]:
        """The heat-map's name and all metrics; the heat-map is written while ffmpeg measures."""
        if number == 0:
            self.baseline = frames
            return None, Similarity.missing("this is the baseline")
        if self.baseline is None:
            return None, Similarity.missing("there is no baseline: its run did not finish")
        with ThreadPoolExecutor(max_workers=1) as pool:
            heat = pool.submit(self.files.heat, number, track, frames, self.baseline)
            similar = Similarity(**similarity(frames, self.baseline, self.fps, written.own))
            return heat.result(), similar
