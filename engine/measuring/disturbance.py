"""What kept a run from its processor or its GPU while it was timed: others, a hypervisor, a clock that was lowered.

A figure of a disturbed run says so, and predictions do not learn from it. On Linux the system counts, thread by thread,
how long it was ready and did not run; elsewhere the load of the whole machine has to do. On an NVIDIA GPU its own
library is asked, where the package `nvidia-ml-py` is installed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import torch

from engine.checked import checked_number

# The most that leaves a figure plain, as a share of the time that was wanted. Two threads that work step by step lose
# at least what the slower of them loses: beside 5 % a ratio of two runs is no longer good to the percent.
LIMIT = 0.05
SETTING = "RESOLUTE_MAX_WAITED"  # the operator's own limit, for a machine that is always shared
TASKS = Path("/proc/self/task")


@dataclass(frozen=True)
class Disturbance:
    """What was found: the share of the processor time wanted that was not got, None where unknown; and why, in words.

    `reason` is one sentence without a full stop, None where nothing over the limit was seen.
    """

    waited: float | None
    reason: str | None


class Watch:
    """Watches a block; `found` is there after it. Costs a few reads of counters at both ends, nothing between."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = _Gpu(device) if device.type == "cuda" else None
        self._machine, self._most = _Machine(), limit()
        self.found = Disturbance(None, None)

    def __enter__(self) -> Watch:
        if self._gpu:
            self._gpu.begin()
        self._machine.begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        waited, stolen = self._machine.end()
        # On a GPU the process waits for it most of the time: what others take of the processors says little.
        reasons = self._gpu.end(self._most) if self._gpu else processor_reasons(waited, stolen, self._most)
        self.found = Disturbance(None if self._gpu else waited, "; ".join(reasons) or None)


def limit(environ: Mapping[str, str] = os.environ) -> float:
    """The share from which a figure is marked. Raises InvalidInput where the operator's is no share."""
    text = environ.get(SETTING, "")
    try:
        value: object = float(text or LIMIT)
    except ValueError:
        value = text
    return checked_number(SETTING, value, 0, 1)


def processor_reasons(waited: float | None, stolen: float, most: float = LIMIT) -> list[str]:
    """What is over a limit, in words: shares of the time that was wanted, and of the machine's whole time."""
    reasons = []
    if waited is not None and waited > most:
        reasons.append(f"other programs kept it from the processor for {waited:.0%} of the time that it wanted")
    if stolen > most:
        reasons.append(f"the machine's host took {stolen:.0%} of the processors' time")
    return reasons


class _Machine:
    """Shares of processor time between `begin` and `end`."""

    def begin(self) -> None:
        self._begun, self._threads, self._cpu, self._own = time.monotonic(), _threads(), _cpu_times(), _own_seconds()

    def end(self) -> tuple[float | None, float]:
        """The share of the time wanted by this process that it did not get, and the share that the host took."""
        cpu = {name: after - self._cpu[name] for name, after in _cpu_times().items()}
        whole = sum(cpu.values()) or 1.0
        stolen = max(0.0, cpu.get("steal", 0.0) / whole)
        if self._threads is None:
            return _by_load(cpu, whole, _own_seconds() - self._own), stolen
        return waited_share(self._threads, _threads() or {}), stolen


Counts = Mapping[str, tuple[int, int]]  # by thread: nanoseconds that it ran, and that it was ready and waited


def waited_share(before: Counts, after: Counts) -> float | None:
    """The share of the time that the threads of `after` were ready in which they waited; None where they never were.

    A thread that ended between is not counted.
    """
    ran = waited = 0
    for name, (run, wait) in after.items():
        earlier = before.get(name, (0, 0))
        ran, waited = ran + run - earlier[0], waited + wait - earlier[1]
    return waited / (ran + waited) if ran + waited > 0 else None


def _threads() -> Counts | None:
    """The counts of this process's threads; None where the system does not keep them."""
    if not (TASKS / str(os.getpid()) / "schedstat").is_file():
        return None
    found = {}
    for task in TASKS.iterdir():
        with contextlib.suppress(OSError, ValueError):  # it has just ended
            ran, waited, _ = (task / "schedstat").read_text().split()
            found[task.name] = int(ran), int(waited)
    return found


def _by_load(cpu: Mapping[str, float], whole: float, own: float) -> float | None:
    """What others took of a machine that had nothing left, of what they and this process took."""
    idle = cpu.get("idle", 0.0) + cpu.get("iowait", 0.0)
    if idle / whole > LIMIT:
        return 0.0
    busy = whole - idle
    return min(1.0, max(0.0, 1 - own / busy)) if busy > 0 else None


def _cpu_times() -> dict[str, float]:
    """Seconds of all processors by kind; `guest` is inside `user`."""
    return {name: value for name, value in psutil.cpu_times()._asdict().items() if not name.startswith("guest")}


def _own_seconds() -> float:
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


class _Gpu:
    """Other processes' use of a GPU and lowered clocks, by NVIDIA's library; without it nothing is known."""

    def __init__(self, device: torch.device) -> None:
        self._begun, self._nvml, self._handle = 0, None, None
        with contextlib.suppress(Exception):  # not installed, no rights, a slice of a card: then nothing is known
            nvml: Any = importlib.import_module("pynvml")
            nvml.nvmlInit()
            uuid = str(torch.cuda.get_device_properties(device).uuid)
            self._handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}")
            self._nvml = nvml

    def begin(self) -> None:
        self._begun = int(time.time() * 1e6)

    def end(self, most: float) -> list[str]:
        """What disturbed it since `begin`, in words."""
        reasons = []
        with contextlib.suppress(Exception):
            others = self._others()
            if others > most:
                reasons.append(f"other programs used {others:.0%} of the GPU")
        with contextlib.suppress(Exception):
            reasons.extend(self._slowed())
        return reasons

    def _others(self) -> float:
        """The mean share of the GPU's time that other processes used since `begin`."""
        nvml: Any = self._nvml
        used: dict[int, list[int]] = {}
        for sample in nvml.nvmlDeviceGetProcessUtilization(self._handle, self._begun):
            used.setdefault(sample.pid, []).append(sample.smUtil)
        return sum(sum(found) / len(found) for pid, found in used.items() if pid != os.getpid()) / 100

    def _slowed(self) -> list[str]:
        nvml: Any = self._nvml
        bits = nvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle)
        causes = {
            "its heat": nvml.nvmlClocksEventReasonSwThermalSlowdown | nvml.nvmlClocksEventReasonHwThermalSlowdown,
            "its power supply": nvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
        }
        return [f"the GPU's clock was lowered for {cause}" for cause, bit in causes.items() if bits & bit]
