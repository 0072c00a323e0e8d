"""How far a run is from the baseline: PSNR, SSIM, MS-SSIM, VMAF, XPSNR, temporal flicker, LPIPS.

Frames are numpy float32 (T, H, W, 3) in [0, 1], as decoded, never read back from a lossy file. All of
these say how similar a run is to the baseline; none says how good the video is.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from engine.errors import ResoluteError
from engine.measuring.frames import as_frames, told_difference, told_size
from engine.measuring.squared_error import CEILING_DB, decibels, squared_errors
from engine.measuring.ssim import WINDOW, both_of, ssim_of
from engine.measuring.video import Measure, VideoFailed, VideoStuck, filter_logs, filtering
from engine.schedules.latent_sizes import MAX_FRAMES
from engine.texts import plain

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first
VMAF_MIN_SIDE = 32  # libvmaf crashes or reads past the picture on frames of under about 22 pixels
VMAF_TRAINED_HEIGHT = 1080
_FILTERS = {  # of ffmpeg, each writing to a file of its metric's name
    "vmaf": Measure("libvmaf=log_fmt=json:log_path=vmaf:n_threads=2", baseline_first=False),
    # It calls its second pad "reference", but weighs errors by the activity of its first (vf_xpsnr.c, `porg`).
    "xpsnr": Measure("xpsnr=stats_file=xpsnr", baseline_first=True),
}

_Logs = Callable[[], dict[str, str]]  # waits for ffmpeg; the texts by metric


def _plain_lines(text: str) -> str:
    return plain(text, lines=True)


class Metric(BaseModel):
    """One figure of similarity. `mean` and `min` are over `frames`; all are None when not computed.

    `reason` says why a value is missing, or what to know when reading one that is there. A frame
    without a value (the first frame has no flicker) is None in `frames`; a metric of all frames at once has no frames
    there. Never NaN or infinite.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: FiniteFloat | None
    min: FiniteFloat | None
    frames: Annotated[tuple[FiniteFloat | None, ...], Field(max_length=MAX_FRAMES, fail_fast=True)] | None
    reason: Annotated[str, Field(max_length=4000), AfterValidator(_plain_lines)] | None = None

    @model_validator(mode="after")
    def _missing_has_a_reason(self) -> Metric:
        if (self.mean is None) != (self.min is None) or (self.mean is None) != (self.frames is None):
            raise ValueError("mean, min and frames are all there or all null")
        if self.mean is None and not self.reason:
            raise ValueError("a metric that is null needs a reason")
        return self


@dataclass(frozen=True, slots=True)
class MetricKind:
    """How to show a metric: its label, unit ("" for none), direction, and decimals worth printing."""

    label: str
    unit: str
    higher_is_better: bool
    decimals: int
    by_frame: bool = True  # False: one value of all frames at once


KINDS: dict[str, MetricKind] = {
    "psnr": MetricKind("PSNR", "dB", True, 2),
    "psnr_pooled": MetricKind("PSNR of all frames", "dB", True, 2, by_frame=False),
    "ssim": MetricKind("SSIM", "", True, 4),
    "ms_ssim": MetricKind("MS-SSIM", "", True, 4),
    "vmaf": MetricKind("VMAF", "", True, 1),
    "xpsnr": MetricKind("XPSNR", "dB", True, 2),
    "flicker": MetricKind("Flicker difference", "/255", False, 3),
    "lpips": MetricKind("LPIPS", "", False, 4),
}
HIGHER_IS_BETTER = {name: kind.higher_is_better for name, kind in KINDS.items()}
UNITS = {name: kind.unit for name, kind in KINDS.items()}


class _NotComputed(Exception):
    """A metric has no value; the text is the reason."""


def missing(reason: str) -> Metric:
    """A metric that was not computed."""
    return Metric(mean=None, min=None, frames=None, reason=reason)


def no_similarity(reason: str) -> dict[str, Metric]:
    """All metrics missing for one reason, e.g. "no baseline: it failed"."""
    return {name: missing(reason) for name in KINDS}


def worst(name: str, metric: Metric) -> float | None:
    """The worst frame's value: the minimum where higher is better, else the maximum."""
    values = [value for value in metric.frames or () if value is not None]
    return (min if HIGHER_IS_BETTER[name] else max)(values, default=None)


def similarity(
    frames: np.ndarray, baseline: np.ndarray, fps: float, own: dict[str, Metric] | None = None
) -> dict[str, Metric]:
    """Every metric of KINDS of `frames` against `baseline`, both float (T, H, W, 3) in [0, 1].

    A metric that cannot be computed is missing with a reason and takes no other along; so are all of
    them where the shapes differ or a value is not finite. `own` is what `own_similarity` of the same gave, where it
    was called before. Raises InvalidInput for arrays that are no frames at all (another type, rank or range): integers
    are refused because they wrap when subtracted.
    """
    pair = _pair(frames, baseline)
    if isinstance(pair, str):
        return no_similarity(pair)
    with ExitStack() as stack:
        logs = _filtering(stack, *pair, fps)  # at work in a process of its own meanwhile
        found = (own or _own(*pair, fps)) | _by_ffmpeg(*pair, fps, logs)
    return {name: found[name] for name in KINDS}


def own_similarity(frames: np.ndarray, baseline: np.ndarray, fps: float) -> dict[str, Metric]:
    """The metrics that this process computes itself, without ffmpeg; otherwise as `similarity`."""
    pair = _pair(frames, baseline)
    return no_similarity(pair) if isinstance(pair, str) else _own(*pair, fps)


def _pair(frames: np.ndarray, baseline: np.ndarray) -> tuple[np.ndarray, np.ndarray] | str:
    """Both as they are measured, or why they cannot be compared."""
    run, base = as_frames("frames", frames), as_frames("baseline", baseline)
    if run.shape != base.shape:
        return f"{told_difference(run, base)}."
    for name, array in (("run", run), ("baseline", base)):
        if not (finite := np.isfinite(array).all(axis=(1, 2, 3))).all():
            return f"frame {int(np.argmin(finite)) + 1} of the {name} is not finite."
    return run, base


def _own(run: np.ndarray, base: np.ndarray, fps: float) -> dict[str, Metric]:
    return {name: _guarded(name, run, base, fps) for name in ("psnr", "psnr_pooled", "flicker", "lpips")} | _structure(
        run, base, fps
    )


def _filtering(stack: ExitStack, run: np.ndarray, base: np.ndarray, fps: float) -> _Logs | None:
    """VMAF and XPSNR begun in one pass of ffmpeg, which ends with the stack; None where that cannot be."""
    if not _large_enough_for_vmaf(run):
        return None
    try:
        return stack.enter_context(filtering(run, base, fps, _FILTERS))
    except (VideoFailed, OSError, MemoryError):
        return None


def _by_ffmpeg(run: np.ndarray, base: np.ndarray, fps: float, logs: _Logs | None) -> dict[str, Metric]:
    """VMAF and XPSNR of one pass of ffmpeg; where it failed each is tried alone, so that each has its own reason."""
    if logs:
        try:
            texts = logs()
            return {name: _guarded(name, run, base, fps, texts[name]) for name in _FILTERS}
        except VideoStuck as error:
            return {name: missing(str(error)) for name in _FILTERS}
        except (VideoFailed, OSError, MemoryError):
            pass
    return {name: _guarded(name, run, base, fps) for name in _FILTERS}


def _guarded(name: str, *measured: Any) -> Metric:
    try:
        return _COMPUTE[name](*measured)
    except (_NotComputed, ResoluteError) as error:
        return missing(str(error))
    except (ImportError, LookupError, OSError, RuntimeError, ValueError, MemoryError) as error:
        return missing(f"{KINDS[name].label} failed: {type(error).__name__}: {error}")


def psnr(run: np.ndarray, base: np.ndarray, fps: float = 0.0) -> Metric:
    """Peak signal-to-noise ratio a frame in dB: 10 log10(1 / MSE) over all pixels and RGB channels.

    Data range 1. Identical frames, and any above, have CEILING_DB = 100. `mean` is the mean of the
    frames' dB, as of skimage.metrics.peak_signal_noise_ratio: one frame that is equal lifts it by dBs.
    """
    return _metric(map(decibels, squared_errors(run, base)))


def psnr_pooled(run: np.ndarray, base: np.ndarray, fps: float = 0.0) -> Metric:
    """Peak signal-to-noise ratio of all frames in dB: 10 log10(1 / MSE), the mean squared error of the whole video.

    Data range 1; identical videos, and any above, have CEILING_DB = 100. One value: `mean` and `min` are it, and
    `frames` is empty. Never above the mean of `psnr`: a frame that is equal adds no error and takes none away.
    """
    errors = squared_errors(run, base)
    value = decibels(sum(errors) / len(errors))
    return Metric(mean=value, min=value, frames=())


def ssim(run: np.ndarray, base: np.ndarray, fps: float = 0.0) -> Metric:
    """Structural similarity a frame, -1 to 1, averaged over RGB; sides from 11 pixels (engine.measuring.ssim)."""
    if min(run.shape[1:3]) < WINDOW:
        raise _NotComputed(f"SSIM needs frames of at least {WINDOW}x{WINDOW} pixels, got {told_size(run)}.")
    return _metric(ssim_of(a, b) for a, b in zip(run, base, strict=True))


def ms_ssim(run: np.ndarray, base: np.ndarray, fps: float = 0.0) -> Metric:
    """Multi-scale SSIM a frame, 0 to 1: SSIM's window at up to five scales, each half the one before.

    Five scales need 176 pixels on the shorter side. Smaller frames use the finest scales that fit, with
    Wang's weights scaled to sum to 1, and say so in `reason`; below 22 pixels (two scales) there is none.
    Per RGB channel, then averaged (engine.measuring.ssim).
    """
    weights = _scales(run)
    return _metric((both_of(a, b, weights)[1] for a, b in zip(run, base, strict=True)), _short(weights, run))


def _structure(run: np.ndarray, base: np.ndarray, fps: float = 0.0) -> dict[str, Metric]:
    """SSIM and MS-SSIM, sharing their work where both can be computed."""
    try:
        weights = _scales(run)
    except _NotComputed:
        return {name: _guarded(name, run, base, fps) for name in ("ssim", "ms_ssim")}
    pairs = [both_of(a, b, weights) for a, b in zip(run, base, strict=True)]
    return {"ssim": _metric(p[0] for p in pairs), "ms_ssim": _metric((p[1] for p in pairs), _short(weights, run))}


def _scales(run: np.ndarray) -> tuple[float, ...]:
    """The weights of the scales that fit."""
    count = sum(min(run.shape[1:3]) >= WINDOW * 2**n for n in range(len(MS_SSIM_WEIGHTS)))
    if count < 2:
        raise _NotComputed(f"MS-SSIM needs frames of at least 22x22 pixels, got {told_size(run)}.")
    total = sum(MS_SSIM_WEIGHTS[:count])
    return tuple(weight / total for weight in MS_SSIM_WEIGHTS[:count])


def _short(weights: tuple[float, ...], run: np.ndarray) -> str | None:
    if len(weights) == len(MS_SSIM_WEIGHTS):
        return None
    return (
        f"{len(weights)} of 5 scales, weights renormalised: the {WINDOW}-pixel window fits no more in {told_size(run)}."
    )


def flicker(run: np.ndarray, base: np.ndarray, fps: float = 0.0) -> Metric:
    """Temporal flicker difference a frame in 8-bit levels, 0 to 510; lower is better, 0 is the same.

    The mean over pixels and RGB channels of |(run_t - run_t-1) - (base_t - base_t-1)| * 255: motion that
    both share cancels, and so does a constant offset; flicker and judder of the run alone stay. The
    first frame has no value; one frame alone has none.
    """
    if len(run) < 2:
        raise _NotComputed("flicker needs at least two frames, got 1.")
    values = (
        float(np.abs((run[t] - run[t - 1]) - (base[t] - base[t - 1])).mean(dtype=np.float64) * 255.0)
        for t in range(1, len(run))
    )
    return _metric([None, *values])


def vmaf(run: np.ndarray, base: np.ndarray, fps: float = 8.0, log: str | None = None) -> Metric:
    """VMAF a frame, 0 to 100, model vmaf_v0.6.1 in libvmaf as built into the bundled ffmpeg.

    Reads the luma of 8-bit BT.709 4:4:4 made of the float frames, at their own size. Identical frames
    get 97 to 100 (the first frame, which has no motion, gets the least). The model was trained on 1080p
    at three screen heights; smaller frames say so in `reason`. Sides from 32 pixels. `log` is the filter's, where it
    has run already.
    """
    if not _large_enough_for_vmaf(run):
        raise _NotComputed(f"VMAF needs at least {VMAF_MIN_SIDE}x{VMAF_MIN_SIDE} pixels, got {told_size(run)}.")
    found = json.loads(log or filter_logs(run, base, fps, {"vmaf": _FILTERS["vmaf"]})["vmaf"])
    values = [frame["metrics"]["vmaf"] for frame in found["frames"]]
    note = f"Trained on {VMAF_TRAINED_HEIGHT}p: at {told_size(run)} it ranks runs, it is no absolute grade."
    return _metric(_as_many("VMAF", values, run), note if run.shape[1] < VMAF_TRAINED_HEIGHT // 2 else None)


def _large_enough_for_vmaf(run: np.ndarray) -> bool:
    return min(run.shape[1:3]) >= VMAF_MIN_SIDE


def xpsnr(run: np.ndarray, base: np.ndarray, fps: float = 8.0, log: str | None = None) -> Metric:
    """Perceptually weighted PSNR a frame in dB: (4 Y + U + V) / 6 of ffmpeg's xpsnr filter.

    Reads 8-bit BT.709 4:4:4 made of the float frames; errors weigh less where the baseline is busy, and `fps` sets
    the filter's temporal weighting.
    Identical planes have CEILING_DB = 100. `log` is the filter's, where it has run already. Helmrich et al. 2020.
    """
    found = log or filter_logs(run, base, fps, {"xpsnr": _FILTERS["xpsnr"]})["xpsnr"]
    planes = re.findall(r"^n:.*y:\s*(\S+).*u:\s*(\S+).*v:\s*(\S+)", found, flags=re.MULTILINE)
    values = [[min(float(plane), CEILING_DB) for plane in frame] for frame in planes]
    return _metric(_as_many("XPSNR", [(4 * y + u + v) / 6 for y, u, v in values], run))


def lpips(run: np.ndarray, base: np.ndarray, fps: float = 0.0) -> Metric:
    """LPIPS a frame (AlexNet), from 0, lower is better; only where the optional package `lpips` is there."""
    import torch

    compute = _lpips_network()
    with torch.inference_mode():
        values = [
            float(compute(*(torch.from_numpy(x[t : t + 1]).permute(0, 3, 1, 2) * 2 - 1 for x in (run, base))))
            for t in range(len(run))
        ]
    return _metric(values)


@lru_cache(maxsize=1)
def _lpips_network() -> Any:
    try:
        return importlib.import_module("lpips").LPIPS(net="alex", verbose=False)
    except ImportError as error:
        raise _NotComputed("not installed: LPIPS is an extra, `pip install lpips`.") from error
    except Exception as error:  # it fetches its weights and unpickles them: anything may fail
        raise _NotComputed(f"LPIPS could not load its weights: {error}") from error


_COMPUTE: dict[str, Callable[..., Metric]] = {
    "psnr": psnr,
    "psnr_pooled": psnr_pooled,
    "ssim": ssim,
    "ms_ssim": ms_ssim,
    "vmaf": vmaf,
    "xpsnr": xpsnr,
    "flicker": flicker,
    "lpips": lpips,
}


def _metric(frames: Iterable[float | None], reason: str | None = None) -> Metric:
    """A metric of values a frame. Raises _NotComputed where one is not finite."""
    every = tuple(frames)
    values = [value for value in every if value is not None]
    try:
        return Metric(mean=sum(values) / len(values), min=min(values), frames=every, reason=reason)
    except ValidationError as error:
        raise _NotComputed("a frame's value is not a finite number.") from error


def _as_many(label: str, values: list[float], run: np.ndarray) -> list[float]:
    if len(values) != len(run):
        raise _NotComputed(f"{label}: ffmpeg gave {len(values)} values for {len(run)} frames.")
    return values
