"""Time and memory of one run: device events read afterwards on a GPU, a monotonic clock and sampled RSS elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import psutil
import torch

MemoryKind = Literal["cuda", "rss_above_start"]
SAMPLE_EVERY_S = 0.05  # a thread that woke more often would delay the arithmetic it watches


@dataclass(frozen=True)
class Readings:
    """What a run cost. Seconds by phase; bytes by step.

    `steps_s[i]` runs from the end of the step before (or the start of the loop) to the end of step i, so a switch is
    paid by the first step at the new size; time inside the consumer's callback is in no step. `peak_bytes` and
    `steps_bytes`: with kind "cuda" the allocator's peaks (`reserved_bytes` the peak it held); with "rss_above_start"
    the process's resident set, sampled every 50 ms, above its level before the run.
    """

    steps_s: tuple[float, ...]
    decode_s: float
    memory_kind: MemoryKind
    peak_bytes: int
    reserved_bytes: int | None
    steps_bytes: tuple[int, ...]
    before_bytes: int | None = None  # peak until the loop began: text, condition images
    decode_bytes: int | None = None  # peak after the last step

    @property
    def denoise_s(self) -> float:
        return sum(self.steps_s)


class Meter:
    """Marks the spans of one run; use as a context manager around it.

    All methods are for the thread that runs the loop: CUDA marks go into its current stream. On the CPU a thread of its
    own samples the resident set between enter and exit. Nothing synchronises inside the loop (`resume`, `step_done`,
    `host_seconds`, the bytes): on CUDA a mark is a recorded event. Entering, `decoded` and `read` wait for the device.
    Seconds are floats; bytes are those of the whole process or, on CUDA, of the allocator on this device, whoever takes
    them, and entering resets the allocator's peak.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        self._spans: list[tuple[Any, Any]] = []
        self._begun: Any = None
        self._step_bytes: list[int] = []
        self._peak = self._reserved = 0
        self._rss = None if self._cuda else _RssSampler()
        self._decode_s = 0.0
        self._before: int | None = None
        self._decode: int | None = None

    def __enter__(self) -> Meter:
        if self._rss:
            self._rss.start()
        else:
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._rss:
            self._rss.stop()

    def resume(self) -> None:
        """The loop goes on from here: at its start, and after every callback."""
        if not self._spans:
            self._before = max(self._before or 0, self._take_peak())
        self._begun = self._now()

    @property
    def running(self) -> bool:
        """Whether the loop has begun."""
        return self._begun is not None

    def step_done(self) -> None:
        """A step has been issued, begun at the last `resume`."""
        self._spans.append((self._begun, self._now()))
        self._step_bytes.append(self._take_peak())

    def host_seconds(self) -> float | None:
        """The last step's seconds as far as known without waiting: None on a GPU."""
        if self._cuda or not self._spans:
            return None
        begun, ended = self._spans[-1]
        return ended - begun

    @property
    def last_bytes(self) -> int:
        """Peak bytes during the last step."""
        return self._step_bytes[-1]

    @property
    def peak_bytes(self) -> int:
        """Peak bytes until now, for a run that does not come to `read`."""
        self._take_peak()
        return self._peak

    def decoded(self) -> None:
        """Everything since the last step was decoding; waits for the device."""
        end = self._now()
        if self._cuda:
            end.synchronize()
        self._decode_s = self._between(self._begun, end)
        self._decode = self._take_peak()

    def read(self) -> Readings:
        """All readings, by step in order; waits for the device once."""
        if self._cuda:
            torch.cuda.synchronize(self._device)
        return Readings(
            steps_s=tuple(self._between(*span) for span in self._spans),
            decode_s=self._decode_s,
            memory_kind="cuda" if self._cuda else "rss_above_start",
            peak_bytes=self._peak,
            reserved_bytes=self._reserved if self._cuda else None,
            steps_bytes=tuple(self._step_bytes),
            before_bytes=self._before,
            decode_bytes=self._decode,
        )

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _between(self, begun: Any, ended: Any) -> float:
        return begun.elapsed_time(ended) / 1000 if self._cuda else ended - begun

    def _take_peak(self) -> int:
        if self._rss:
            peak = self._rss.take_peak()
        else:
            peak = torch.cuda.max_memory_allocated(self._device)
            self._reserved = max(self._reserved, torch.cuda.max_memory_reserved(self._device))
            torch.cuda.reset_peak_memory_stats(self._device)
        self._peak = max(self._peak, peak)
        return peak


class _RssSampler:
    """A thread that watches the resident set; peaks are bytes above the level at `start`."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="rss-sampler", daemon=True)
        self._base = self._peak = 0

    def start(self) -> None:
        self._base = self._peak = self._process.memory_info().rss
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def take_peak(self) -> int:
        """The highest level since the last call, and start over from the present one."""
        now = self._process.memory_info().rss
        peak, self._peak = max(self._peak, now), now
        return max(0, peak - self._base)

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY_S):
            with contextlib.suppress(psutil.Error):
                self._peak = max(self._peak, self._process.memory_info().rss)
