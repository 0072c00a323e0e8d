"""The files of one comparison: their names, and how each is written, whole or not at all."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np

from engine.comparing.baseline_store import Baseline
from engine.experiments.documents import TAG
from engine.experiments.experiment import Experiment, Track
from engine.measuring.heatmap import heatmap
from engine.measuring.video import VideoFailed, whole_file, write_mp4, write_png, write_webp

log = logging.getLogger(__name__)
HEAT_GAIN = 4.0
HEAT_PRESET = "ultrafast"  # half the time of "medium" for noise like this, and no larger to speak of


class ResultFiles:
    """A comparison's folder. With `numbered` files are named by number alone and every run gets a still, `NN.png`."""

    def __init__(self, folder: Path, experiment: Experiment, numbered: bool) -> None:
        self.folder, self.experiment, self.numbered = folder, experiment, numbered
        folder.mkdir(parents=True, exist_ok=True)

    def video(self, number: int, track: Track, frames: np.ndarray) -> str:
        """Write a run's video, which carries the experiment; returns its name."""
        document = json.dumps(self.experiment.document(), ensure_ascii=False)
        return self._write(self._stem(number, track), frames, {TAG: document})

    def heat(self, number: int, track: Track, frames: np.ndarray, baseline: np.ndarray) -> str:
        """Write the difference of a run to the baseline; returns its name."""
        stem = f"{self._stem(number, track)}-difference"
        return self._write(stem, heatmap(frames, baseline, HEAT_GAIN), None, HEAT_PRESET)

    def still(self, number: int, track: Track, frames: np.ndarray) -> None:
        """Write a run's middle frame, where files are numbered."""
        if self.numbered:
            write_png(self.folder / f"{self._stem(number, track)}.png", frames[len(frames) // 2])

    def take_over(self, track: Track, found: Baseline) -> str:
        """The files of an earlier comparison's baseline under this one's names; returns the video's."""
        name = f"{self._stem(0, track)}{found.video.suffix}"
        with whole_file(self.folder / name) as part:
            shutil.copyfile(found.video, part)
        self.still(0, track, found.frames)
        return name

    def _stem(self, number: int, track: Track) -> str:
        return f"{number:02d}" if self.numbered else f"{number:02d}-{track.slug}"

    def _write(self, stem: str, frames: np.ndarray, tags: dict[str, str] | None, preset: str = "medium") -> str:
        """Write a video and return its name; where ffmpeg fails the frames are kept as lossless WebP."""
        try:
            write_mp4(self.folder / f"{stem}.mp4", frames, self.experiment.fps, tags, preset)
            return f"{stem}.mp4"
        except VideoFailed as error:
            log.warning("%s The frames are kept as WebP.", error)
            write_webp(self.folder / f"{stem}.webp", frames, self.experiment.fps)
            return f"{stem}.webp"
