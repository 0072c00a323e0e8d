"""What kept a run from its processor is seen, and a quiet run is left alone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import types

import psutil
import pytest
import torch

from engine.errors import InvalidInput
from engine.measuring import disturbance
from engine.measuring.disturbance import LIMIT, SETTING, Watch, limit, processor_reasons, waited_share

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def the_limit_that_ships(monkeypatch):
    monkeypatch.delenv(SETTING, raising=False)


def busy(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_waiting_is_a_share_of_the_time_wanted_by_all_threads():
    assert waited_share({"1": (100, 50)}, {"1": (400, 150), "2": (300, 300)}) == pytest.approx(400 / 1000)
    assert waited_share({"1": (5, 5)}, {"1": (5, 5)}) is None


@pytest.mark.skipif(not disturbance.TASKS.exists(), reason="the system does not count how long threads wait")
def test_a_thread_that_shares_its_only_core_with_another_process_waits_half_of_its_time():
    core = min(psutil.Process().cpu_affinity())
    code = f"import psutil, time\npsutil.Process().cpu_affinity([{core}])\nwhile True: pass"
    other, found = subprocess.Popen([sys.executable, "-c", code]), []

    def watched() -> None:
        psutil.Process(threading.get_native_id()).cpu_affinity([core])
        with Watch(CPU) as watch:
            busy(0.4)
        found.append(watch.found)

    try:
        time.sleep(0.5)
        thread = threading.Thread(target=watched)
        thread.start()
        thread.join()
    finally:
        other.kill()
        other.wait()
    assert found[0].waited > 0.2
    assert "kept it from the processor" in found[0].reason


def test_what_sleeps_wants_nothing_and_is_not_disturbed(monkeypatch):
    monkeypatch.setattr(disturbance, "_threads", lambda: {"1": (1000, 10)})
    with Watch(CPU) as watch:
        pass
    assert watch.found == disturbance.Disturbance(None, None)


def test_reasons_are_given_over_the_limit_alone():
    assert processor_reasons(LIMIT, LIMIT) == []
    assert processor_reasons(None, 0.0) == []
    waited, stolen = processor_reasons(0.34, 0.2)
    assert "34%" in waited
    assert "20%" in stolen


def test_the_operator_of_a_shared_machine_sets_the_limit_and_a_wrong_one_is_named():
    assert limit({}) == LIMIT
    assert limit({SETTING: "0.5"}) == 0.5
    for wrong in ("much", "-1", "2", "nan"):
        with pytest.raises(InvalidInput, match=SETTING):
            limit({SETTING: wrong})


@pytest.mark.parametrize(("idle", "own", "expected"), [(5.0, 2.0, 0.0), (0.0, 2.5, 0.75), (0.0, 10.0, 0.0)])
def test_without_counts_of_threads_the_load_of_the_whole_machine_tells(idle, own, expected):
    cpu = {"user": 10.0 - idle, "idle": idle}
    assert disturbance._by_load(cpu, 10.0, own) == pytest.approx(expected)


def fake_nvml(monkeypatch, processes: list[tuple[int, int]], slowed: int = 0) -> None:
    """NVIDIA's library as its Python package has it, with other processes' use of the GPU in percent."""
    samples = [types.SimpleNamespace(pid=pid, smUtil=used) for pid, used in processes]
    nvml = types.SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetProcessUtilization=lambda handle, since: samples,
        nvmlDeviceGetCurrentClocksEventReasons=lambda handle: slowed,
        nvmlClocksEventReasonSwThermalSlowdown=0x20,
        nvmlClocksEventReasonHwThermalSlowdown=0x40,
        nvmlClocksEventReasonHwPowerBrakeSlowdown=0x80,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    properties = types.SimpleNamespace(uuid="abc")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)


@pytest.mark.parametrize(
    ("processes", "slowed", "told"),
    [
        ([(-1, 40), (-1, 20)], 0, "other programs used 30% of the GPU"),
        ([(psutil.Process().pid, 90)], 0, None),
        ([], 0x40, "the GPU's clock was lowered for its heat"),
        ([], 0x01, None),
    ],
)
def test_a_gpu_is_disturbed_by_other_processes_and_lowered_clocks(monkeypatch, processes, slowed, told):
    fake_nvml(monkeypatch, processes, slowed)
    with Watch(torch.device("cuda")) as watch:
        pass
    assert watch.found.reason == told


def test_of_a_gpu_whose_library_is_not_here_nothing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with Watch(torch.device("cuda")) as watch:
        pass
    assert watch.found == disturbance.Disturbance(None, None)
