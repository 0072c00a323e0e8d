"""What a device finds out is read when it has come this far, and waited for only where it must be known."""

from __future__ import annotations

import pytest
import torch

from engine.errors import RunFailed
from engine.measuring.late_flags import LateFlags, host_copy
from tests.measuring.late_device import LateDevice

CPU = torch.device("cpu")
YES, NO = torch.tensor(True), torch.tensor(False)


def error(step):
    return RunFailed(f"step {step}", step)


def test_on_the_cpu_a_flag_is_known_at_once():
    flags = LateFlags(CPU)
    flags.ask(YES, error(1))
    flags.check()
    flags.ask(NO, error(2))
    with pytest.raises(RunFailed, match="step 2"):
        flags.check()


def test_a_device_that_lags_is_not_waited_for_and_its_flags_are_read_in_order(monkeypatch):
    device = LateDevice(monkeypatch, lag=2)
    flags = LateFlags(torch.device("cuda"))
    seen = []
    for step, flag in enumerate((YES, NO, NO, YES, YES), 1):
        flags.ask(flag, error(step))
        try:
            flags.check()
        except RunFailed as failed:
            seen.append((step, failed.step))
            break
    assert seen == [(4, 2)]
    assert device.waits == 0


def test_what_must_be_known_is_waited_for(monkeypatch):
    device = LateDevice(monkeypatch, lag=100)
    flags = LateFlags(torch.device("cuda"))
    for step, flag in enumerate((YES, YES, NO), 1):
        flags.ask(flag, error(step))
        flags.check()
    assert device.waits == 0
    with pytest.raises(RunFailed, match="step 3"):
        flags.check(wait=True)
    flags.check(wait=True)  # what was found is told once


def test_what_is_dropped_is_asked_no_more(monkeypatch):
    LateDevice(monkeypatch, lag=0)
    flags = LateFlags(torch.device("cuda"))
    flags.ask(NO, error(1))
    flags.drop()
    flags.check(wait=True)


def test_of_a_tensor_on_the_cpu_no_copy_is_made():
    assert host_copy(YES) is YES
