"""Runners that die where it hurts most, for workers of their own process."""

from __future__ import annotations

import os
import signal
import time

from tests.jobs import fakes


class _Fatal(fakes._Fake):
    """Dies by SIGKILL at `word`, in the run number 1."""

    at = ""

    def run(self):
        ended = self.task.listener.run_ended

        def run_ended(run):
            self._die("row", run.name)
            ended(run)

        self.task.listener.run_ended = run_ended
        return super().run()

    def written(self, number, track):
        if number == 1 and self.at == "half":
            (self.task.folder / "01.mp4.part").write_bytes(b"half a video")
        self._die("half", track.name)
        run = super().written(number, track)
        self._die("report", track.name)
        return run

    def _die(self, at, name):
        if at == self.at and name == "track 0":
            self.trace("dies", os.getpid())
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # the signal is on its way


def _dying(at: str):
    class Dying(fakes.FakeRunner):
        def run(self, task):
            return type("Fake", (_Fatal,), {"at": at})(task).run()

    return Dying


DiesBeforeTheRename = _dying("half")  # its video is half written
DiesBeforeTheReport = _dying("report")  # its video has its name, no report owns it
DiesBeforeTheRow = _dying("row")  # its report is saved, its row is not
