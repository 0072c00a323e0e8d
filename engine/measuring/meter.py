"""Time and memory of one run: device events read afterwards on a GPU, a monotonic clock and sampled RSS elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

import psutil
import torch

MemoryKind = Literal["cuda", "rss_above_start"]
# What a run's time and memory belong to; None is nothing of the model's: callbacks, previews, our own watching.
Phase = Literal["text", "condition", "step", "decode", "load"]
SAMPLE_EVERY_S = 0.05  # a thread that woke more often would delay the arithmetic it watches


@dataclass(frozen=True)
class Readings:
    """What a run cost. Seconds by phase; bytes by step.

    `steps_s[i]` runs from the end of the step before (or the start of the stage's loop) to the end of step i, so a
    switch is paid by the first step at the new size. `conditions_s[k]` is what stage k took before its loop beside the
    text and the switch: encoding pictures and videos, preparing latents and tables. `load_s` is what moving whole
    networks to the device and back took, which is in none of the others. Time inside the consumer's callback is in
    none at all. `peak_bytes` and `steps_bytes`: with kind "cuda" the allocator's peaks (`reserved_bytes` the peak it
    held); with "rss_above_start" the process's resident set, sampled every 50 ms, above its level before the run.
    """

    steps_s: tuple[float, ...]
    decode_s: float
    memory_kind: MemoryKind
    peak_bytes: int
    reserved_bytes: int | None
    steps_bytes: tuple[int, ...]
    before_bytes: int | None = None  # peak outside of the loops: text, conditions of every stage
    decode_bytes: int | None = None  # peak after the last step
    conditions_s: tuple[float, ...] = ()  # by stage; empty for a model that has no such phase
    load_s: float | None = None  # None where nothing was moved

    @property
    def denoise_s(self) -> float:
        return sum(self.steps_s)

    @property
    def condition_s(self) -> float | None:
        """Of all stages together; None for a model that has no such phase."""
        return sum(self.conditions_s) if self.conditions_s else None


@dataclass
class _Part:
    """A step, a stage's preparation, decoding: its spans, and the highest peak in them."""

    spans: list[tuple[Any, Any]] = field(default_factory=list)
    peak: int | None = None


class Meter:
    """Says what every moment of one run belongs to; use as a context manager around it.

    Time belongs to one phase at a time. Entering a phase ends the one before; a step goes on until `step_done`, over
    whatever comes between. All methods are for the thread that runs the loop: CUDA marks go into its current stream. On
    the CPU a thread of its own samples the resident set between enter and exit. Nothing waits for the device but
    entering the meter and `read`: on CUDA a mark is a recorded event. Seconds are floats; bytes are those of the whole
    process or, on CUDA, of the allocator on this device, whoever takes them. Entering the meter and every phase resets
    the allocator's peaks.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._cuda = device.type == "cuda"
        self._rss = None if self._cuda else _RssSampler()
        self._phase: Phase | None = None
        self._begun: Any = None
        self._whole: dict[Phase, _Part] = {"text": _Part(), "decode": _Part(), "load": _Part()}  # of the run
        self._step = _Part()  # the one under way
        self._conditions: list[_Part] = []
        self._steps: list[_Part] = []
        self._peak = self._reserved = 0

    def __enter__(self) -> Meter:
        if self._rss:
            self._rss.start()
        else:
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._rss:
            self._rss.stop()

    @property
    def phase(self) -> Phase | None:
        """What the present moment belongs to."""
        return self._phase

    def enter(self, phase: Phase | None) -> None:
        """From here on time and memory belong to this phase; a stage's conditions begin with `stage_begins`."""
        now, peak = self._now(), self._take_peak()
        if self._phase is not None:
            part = self._part(self._phase)
            part.spans.append((self._begun, now))
            part.peak = max(part.peak or 0, peak)
            self._peak = max(self._peak, peak)
        self._phase, self._begun = phase, now

    @contextlib.contextmanager
    def within(self, phase: Phase | None) -> Iterator[None]:
        """The block belongs to this phase, and what comes after it to the one before."""
        before = self._phase
        self.enter(phase)
        try:
            yield
        finally:
            self.enter(before)

    def stage_begins(self) -> None:
        """A stage is prepared from here on: its conditions, until its loop."""
        self.enter(None)
        self._conditions.append(_Part())
        self.enter("condition")

    def step_done(self, then: Phase = "step") -> None:
        """A step has been issued; what follows is the next one, or the phase `then`."""
        self.enter(then)
        self._steps.append(self._step)
        self._step = _Part()

    def host_seconds(self) -> float | None:
        """The last step's seconds as far as known without waiting: None on a GPU."""
        return None if self._cuda or not self._steps else self._seconds(self._steps[-1])

    @property
    def last_bytes(self) -> int:
        """Peak bytes during the last step."""
        return self._steps[-1].peak or 0

    @property
    def peak_bytes(self) -> int:
        """Peak bytes until now, for a run that does not come to `read`."""
        self.enter(self._phase)
        return self._peak

    def read(self) -> Readings:
        """All readings, by step in order; waits for the device once."""
        if self._cuda:
            torch.cuda.synchronize(self.device)
        text, decode, load = (self._whole[phase] for phase in ("text", "decode", "load"))
        before = [part.peak for part in (text, *self._conditions) if part.peak is not None]
        return Readings(
            steps_s=tuple(map(self._seconds, self._steps)),
            decode_s=self._seconds(decode),
            memory_kind="cuda" if self._cuda else "rss_above_start",
            peak_bytes=self._peak,
            reserved_bytes=self._reserved if self._cuda else None,
            steps_bytes=tuple(part.peak or 0 for part in self._steps),
            before_bytes=max(before, default=None),
            decode_bytes=decode.peak,
            conditions_s=tuple(map(self._seconds, self._conditions)),
            load_s=self._seconds(load) if load.spans else None,
        )

    def _part(self, phase: Phase) -> _Part:
        """Where a phase's spans go to."""
        if phase == "condition":
            return self._conditions[-1]
        return self._step if phase == "step" else self._whole[phase]

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def _seconds(self, part: _Part) -> float:
        if self._cuda:
            return float(sum(begun.elapsed_time(ended) for begun, ended in part.spans)) / 1000
        return float(sum(ended - begun for begun, ended in part.spans))

    def _take_peak(self) -> int:
        """The highest level since the last call."""
        if self._rss:
            return self._rss.take_peak()
        peak = torch.cuda.max_memory_allocated(self.device)
        self._reserved = max(self._reserved, torch.cuda.max_memory_reserved(self.device))
        torch.cuda.reset_peak_memory_stats(self.device)
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
