"""Fault 23: the device is lost. Simulated here by what CUDA says then; where there is a GPU it is really asserted."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from engine.jobs.stop_signals import FATAL
from tests.jobs.conftest import experiment, finished, trace, until

SAID = (
    "AcceleratorError: CUDA error: device-side assert triggered",
    "RuntimeError: CUDA error: an illegal memory access was encountered",
    "RuntimeError: CUDA error: unspecified launch failure",
)


@pytest.mark.parametrize("said", SAID)
def test_a_lost_device_fails_its_job_ends_the_process_and_the_queue_goes_on_in_another(jobs, said):
    until(lambda: jobs.worker.process)
    before = jobs.worker.process
    job, waiting = jobs.submit(experiment(tracks=2, fail={"1": said})), jobs.submit(experiment())
    view = finished(jobs, job)
    assert view.status == "failed"
    assert "the device failed and must be started anew" in view.error
    assert [run.status for run in view.runs] == ["done", "failed", "cancelled"]
    assert said in view.runs[1].error
    assert finished(jobs, waiting).status == "done"
    until(lambda: any("lost its device" in notice.text for notice in jobs.notices()))
    assert jobs.worker.process != before
    begun = [job for job, word, *_ in trace(jobs) if word == "begin"]
    assert begun == [job, waiting]  # the failing job was not run again


def test_devices_that_are_lost_again_and_again_end_in_a_worker_that_is_left_off(opened):
    jobs = opened()
    ids = [jobs.submit(experiment(fail={"0": SAID[0]})) for _ in range(7)]
    until(lambda: jobs.worker.status == "stopped")
    states = [jobs.view(job).status for job in ids]
    assert states == ["failed"] * 5 + ["queued"] * 2
    assert "it is not started again" in jobs.notices()[0].text
    assert jobs.worker.sentence


if torch.cuda.is_available():
    ASSERT = "import torch; x = torch.zeros(2, device='cuda'); x[torch.tensor([9], device='cuda')] += 1; print(x.cpu())"

    @pytest.mark.gpu
    def test_a_real_device_side_assert_is_recognised_as_a_lost_device():
        ended = subprocess.run([sys.executable, "-c", ASSERT], capture_output=True, text=True, timeout=120)
        assert ended.returncode
        assert FATAL.search(ended.stderr.splitlines()[-1] + ended.stderr)
