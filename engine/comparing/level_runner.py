"""Runs of a hierarchical patch model, level by level."""

from __future__ import annotations

import contextlib
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.caches.counting import Evaluations, StageCount
from engine.comparing.runner import Runner
from engine.comparing.settling import BandWatch
from engine.costs.flops_count import Cost, StageCost
from engine.experiments.experiment import Track
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.level_choice import level_steps
from engine.hpdm.patch_flops import run_flops
from engine.hpdm.pyramid_run import HpdmResult, LevelResult, frames, run_hpdm
from engine.hpdm.sampling_request import HpdmRequest, make_request, tile_batch
from engine.hpdm.seams import seam_lines, seam_ratio
from engine.measuring.device import trim_heap
from engine.measuring.meter import Readings
from engine.measuring.step_event import StepEvent
from engine.measuring.video import write_mp4
from engine.reports.closeness import Similarity
from engine.reports.level_videos import LevelVideo, Seams


@dataclass(frozen=True)
class LevelRun:
    """A run as the comparison takes it: frames (T, H, W, 3) float32 in [0, 1] at the finest level's size."""

    frames: np.ndarray
    result: HpdmResult
    sigmas: tuple[float, ...]
    evaluations: Evaluations
    text_s: float = 0.0

    @property
    def readings(self) -> Readings:
        return self.result.readings


def doubled(pictures: np.ndarray) -> np.ndarray:
    """Frames (F, H, W, 3) uint8 as float32 in [0, 1], every pixel as two by two: an mp4 keeps colours at half size."""
    return pictures.repeat(2, axis=1).repeat(2, axis=2).astype(np.float32) / 255


class LevelRunner(Runner[LevelRun]):
    """Runs level by level; a level that is stopped at is enlarged to the finest one's size."""

    takes_over = False  # the videos of a baseline's levels are wanted too
    solver = "hpdm"

    @property
    def config(self) -> HpdmConfig:
        assert self.experiment.spec.levels is not None
        return self.experiment.spec.levels

    def prepared(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def warm_up(self, track: Track) -> float | None:
        """One unmeasured step at the two lowest levels, tiles side by side, once a loaded model: kernels are chosen."""
        kinds = {self._kind(level) for level in range(self.config.levels)}
        if kinds <= self.model.warm:
            return None
        self.listener.phase(track.name, "warming up")
        begun = time.perf_counter()
        request = self._request(self.experiment.baseline)
        few = replace(request, levels=min(2, request.levels), steps=(1,) * len(request.steps), overlap="none")
        run_hpdm(self.model.pipe.network, few)
        self.model.warm |= kinds
        return time.perf_counter() - begun

    def _kind(self, level: int) -> tuple[tuple[int, ...], int]:
        """What makes a level's steps alike: its size, and the rows of a tile, which are twice as many with guidance."""
        return tuple(self.config.size(level)), self.config.branches(level, self.experiment.guidance)

    def _request(self, track: Track) -> HpdmRequest:
        experiment, levels = self.experiment, track.levels
        assert levels is not None
        return make_request(
            self.config,
            prompt=experiment.prompt,
            seed=experiment.seed,
            levels=levels.levels,
            steps=level_steps(track.schedule),
            overlap=levels.overlap,
            cache=levels.context,
            guidance=experiment.guidance,
            heun=levels.heun,
        )

    def run(self, track: Track, watch: BandWatch | None = None) -> LevelRun:
        request, sigmas = self._request(track), []

        def on_step(event: StepEvent) -> None:
            sigmas.append(event.sigma)
            self.listener.step(track.name, event)

        trim_heap()
        result = run_hpdm(self.model.pipe.network, request, on_step)
        self.model.warm |= {self._kind(level) for level in range(request.levels)}
        return LevelRun(
            self._full_size(result.levels[-1].video), result, tuple(sigmas), self._evaluations(request, result)
        )

    def _full_size(self, video: Tensor) -> np.ndarray:
        """A level's video (C, F, H, W), enlarged to the finest level's size where it is smaller."""
        size = self.config.size(self.config.levels - 1)
        if video.shape[1:] != torch.Size(size):
            video = F.interpolate(video[None], size=size, mode="trilinear", align_corners=False)[0]
        pixels = (video.float().clamp(-1, 1) + 1) / 2
        return np.ascontiguousarray(pixels.permute(1, 2, 3, 0).cpu().numpy())  # (F, H, W, C)

    def _evaluations(self, request: HpdmRequest, result: HpdmResult) -> Evaluations:
        """Network rows of every level: tiles x passes x branches; features of finished patches are not among them."""
        counts = []
        for level in result.levels:
            passes = 2 * level.steps - 1 if request.heun and level.level == 0 else level.steps
            rows = self.config.branches(level.level, request.guidance)
            counts.append(StageCount(computed=rows * passes * len(level.tiles)))
        return Evaluations(counts)

    def cost(self, track: Track) -> Cost:
        flops = self._level_flops(track)
        base = self._level_flops(self.experiment.baseline)
        sizes = self.experiment.sizes(track.schedule)
        stages = tuple(
            StageCost(stage, sizes[stage.index], flops[stage.index] // stage.steps) for stage in track.stages
        )
        return Cost(stages, sum(base))

    def _level_flops(self, track: Track) -> tuple[int, ...]:
        request = self._request(track)
        return run_flops(self.config, request, tile_batch(self.config, request.memory_mib))[0]

    def flops(self, track: Track, cost: Cost, result: LevelRun) -> int:
        return sum(self._level_flops(track))

    def choice(self, track: Track) -> dict[str, Any]:
        return {"policy": None, "levels": track.levels and track.levels.document()}

    def extras(self, number: int, track: Track, result: LevelRun) -> dict[str, Any]:
        """Every level's video with its tiles."""
        return {"pyramid": tuple(self._level_video(number, track, level) for level in result.result.levels)}

    def _level_video(self, number: int, track: Track, level: LevelResult) -> LevelVideo:
        count, height, width = level.video.shape[1:]
        name = f"{self.files._stem(number, track)}-level-{level.level + 1}.mp4"
        fps = self.experiment.fps * count / self.experiment.frames
        write_mp4(self.files.folder / name, doubled(frames(level.video)), fps, None)
        lines = seam_lines(level.video, self.config, track.levels.overlap) if track.levels else None
        return LevelVideo(
            level=level.level + 1,
            video=name,
            width=width,
            height=height,
            frames=count,
            steps=level.steps,
            patch=self.config.patch,
            tiles=level.tiles,
            seam=seam_ratio(level.video, self.config),
            seams=Seams(**asdict(lines)) if lines else None,
            seconds=level.seconds,
        )

    def remarked(self, track: Track, similar: Similarity) -> Similarity:
        last = track.stages[-1].index
        if last == self.config.levels - 1 or similar.psnr.mean is None:
            return similar
        f, h, w = self.config.size(last)
        told = f"stopped at level {last + 1} and enlarged from {f} frames of {w}x{h}"
        metrics = {
            name: m.model_copy(update={"reason": f"{told}; {m.reason}" if m.reason else told})
            for name, m in similar.metrics().items()
        }
        return Similarity(**metrics)
