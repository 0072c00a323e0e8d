"""The supervisor: keeps one worker process alive, settles what a dead one left, gives up when they keep dying."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engine.cuda_allocator import let_segments_grow
from engine.jobs import logs, recovery
from engine.jobs.data_dir import DataDir
from engine.jobs.database import Store, now
from engine.jobs.job_errors import StorageError
from engine.jobs.limits import Limits
from engine.jobs.notices import notice
from engine.waiting_threads import let_threads_sleep

RUNNER = "engine.jobs.model_runner:TorchRunner"
EXIT_AGAIN = 75  # a worker ended itself on purpose; start another
EXIT_DEVICE = 70  # a worker's device failed; start another
DEATHS, WITHIN_S = 5, 300.0  # so many deaths in so many seconds, and no job done between them, are too many
PATIENCE_S = 5.0  # for a worker to end when it is told to
AGAIN_S = 1.0  # between two tries to settle what a dead worker left
ROOT = Path(__file__).parent.parent.parent
DOWNLOAD = "RESOLUTE_DOWNLOAD"  # set to 1, the worker may fetch a catalogue model's weights from the hub


@dataclass(frozen=True, slots=True)
class WorkerState:
    """Whether a worker is there ("running", "stopped"), its process id, and a sentence where it is not."""

    status: str
    process: int | None
    sentence: str | None


class Supervisor:
    """A thread that starts the worker, waits for its end, and starts another."""

    def __init__(
        self,
        data: DataDir,
        store: Store,
        *,
        runner: str = RUNNER,
        limits: Limits | None = None,
        environ: Mapping[str, str] | None = None,
        deaths: int = DEATHS,
        within_s: float = WITHIN_S,
    ) -> None:
        self._data, self._store, self._runner = data, store, runner
        self._environ = dict(os.environ if environ is None else environ)
        self._environ |= limits.to_environment() if limits else {}
        let_segments_grow(self._environ)
        let_threads_sleep(self._environ)
        self._most, self._within_s = deaths, within_s
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = self._stopped = False
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the first worker."""
        self._thread.start()

    @property
    def state(self) -> WorkerState:
        process = self._process
        if self._stopped:
            return WorkerState("stopped", None, "The worker has died too often and is not started again; see the log.")
        return WorkerState("running", process.pid if process else None, None)

    def wake(self) -> None:
        """Tell the worker that a job waits."""
        process = self._process
        if process and process.stdin:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.write(b"\n")
                process.stdin.flush()

    def restart(self) -> None:
        """Start a worker again after it was given up."""
        with self._changed:
            self._stopped = False
            self._changed.notify_all()

    def close(self) -> None:
        """End the worker and settle what it was running. Leaves no process behind."""
        with self._changed:
            self._closing = True
            process = self._process
            self._changed.notify_all()
        if process:
            _end(process)
        if self._thread.ident:
            self._thread.join()

    def _watch(self) -> None:
        deaths: deque[float] = deque(maxlen=self._most)
        while self._start():
            begun = now()
            code = self._outlive()
            if self._closing:
                self._settle("Resolute was stopped while this was running")
                return
            self._settle(f"the worker {_how(code)} while this was running")
            if code == EXIT_AGAIN:
                continue
            if self._has_worked(begun):
                deaths.clear()  # it dies now and then, but the queue moves on
            deaths.append(time.monotonic())
            if len(deaths) < self._most or deaths[-1] - deaths[0] > self._within_s:
                self._tell(f"The worker {_how(code)} and was started again.")
            else:
                self._give_up(code)
                deaths.clear()

    def _start(self) -> bool:
        """Start a worker unless the supervisor closes or has given up."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or not self._stopped)
            if self._closing:
                return False
            command = [sys.executable, "-m", "engine.jobs.worker", "--data-dir", str(self._data.root)]
            offline = {} if self._environ.get(DOWNLOAD) == "1" else {"HF_HUB_OFFLINE": "1"}
            self._process = subprocess.Popen(
                [*command, "--runner", self._runner],
                cwd=ROOT,
                env=self._environ | offline,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in a terminal is ours to handle
            )
            return True

    def _outlive(self) -> int:
        """Pass on what the worker says until it ends; its exit code."""
        process = self._process
        assert process
        assert process.stderr
        pump = threading.Thread(target=_pump, args=(process.stderr,), name="worker-log", daemon=True)
        pump.start()
        code = process.wait()
        _end_group(process)
        pump.join(PATIENCE_S)
        for pipe in (process.stdin, process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self._process = None
        logs.event("worker ended", process=process.pid, code=code)
        return code

    def _settle(self, why: str) -> None:
        """End what the dead worker was running. A full disk is waited for: until then no other could run anything."""
        while not self._stored(lambda: recovery.settle_running(self._store, self._data, why)):
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, AGAIN_S):
                    return

    def _has_worked(self, since: float) -> bool:
        """Whether a job has been done since a moment."""
        try:
            return bool(self._store.read("SELECT 1 FROM jobs WHERE status = 'done' AND ended >= ? LIMIT 1", since))
        except StorageError:
            return False

    def _tell(self, text: str) -> None:
        self._stored(lambda: notice(self._store, "worker", text))

    def _stored(self, change: Callable[[], object]) -> bool:
        """A change of the database; False where the disk does not take it."""
        try:
            change()
        except StorageError as error:
            logs.event("not stored", error=str(error))
            return False
        return True

    def _give_up(self, code: int) -> None:
        within = f"{self._most} times within {self._within_s / 60:.0f} minutes"
        self._tell(f"The worker {_how(code)}, {within}; it is not started again. Waiting jobs are kept.")
        with self._changed:
            self._stopped = True


def _pump(stream: IO[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError):
        for line in stream:
            logs.forward(line.decode("utf-8", "replace").rstrip())


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL where that is not heard."""
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what a dead worker had started: an ffmpeg that still writes would leave a half file."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _how(code: int) -> str:
    if code == EXIT_DEVICE:
        return "lost its device"
    if code == -9:
        return "was killed (signal 9, as the system does where memory runs out)"
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
