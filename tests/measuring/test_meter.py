"""What the meter says of time and memory."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from engine.measuring.device import trim_heap
from engine.measuring.meter import Meter

CPU = torch.device("cpu")


def test_steps_are_timed_from_resume_to_done_and_pauses_belong_to_none():
    with Meter(CPU) as meter:
        meter.resume()
        time.sleep(0.05)
        meter.step_done()
        time.sleep(0.2)
        meter.resume()
        time.sleep(0.02)
        meter.step_done()
        meter.resume()
        time.sleep(0.1)
        meter.decoded()
    readings = meter.read()
    assert readings.steps_s == (pytest.approx(0.05, abs=0.04), pytest.approx(0.02, abs=0.04))
    assert readings.denoise_s == sum(readings.steps_s)
    assert readings.decode_s == pytest.approx(0.1, abs=0.08)
    assert readings.memory_kind == "rss_above_start"
    assert readings.reserved_bytes is None


def test_memory_that_a_step_took_and_gave_back_is_seen_in_that_step_alone():
    with Meter(CPU) as meter:
        meter.resume()
        block = np.ones(20_000_000)  # 160 MB, touched
        time.sleep(0.2)
        del block
        meter.step_done()
        meter.resume()
        time.sleep(0.2)
        meter.step_done()
    first, second = meter.read().steps_bytes
    assert first > 150e6
    assert second < 60e6
    assert meter.read().peak_bytes == first


def test_after_trimming_a_second_run_of_equal_need_shows_an_equal_peak():
    peaks = []
    for _ in range(2):
        trim_heap()
        with Meter(CPU) as meter:
            meter.resume()
            pieces = [np.ones(1000) for _ in range(10_000)]  # 80 MB of small pieces, which the heap likes to keep
            time.sleep(0.03)
            meter.step_done()
            del pieces
        peaks.append(meter.read().peak_bytes)
    assert peaks[1] > 0.5 * peaks[0]


def test_the_sampling_thread_ends_with_the_run_even_after_an_error():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), Meter(CPU):
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_trimming_the_heap_never_fails():
    trim_heap()


class FakeCuda:
    """A device whose clock is a counter: enough to see what the meter asks of it, and when."""

    def __init__(self, monkeypatch):
        self.now, self.calls, self.peak = 0.0, [], 0
        fake = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self, stream):
                self.at = fake.now

            def synchronize(self):
                fake.calls.append("event.synchronize")

            def elapsed_time(self, later):
                return (later.at - self.at) * 1000  # milliseconds, as torch's

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: self.calls.append("synchronize"))
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.peak)
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 2 * self.peak)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: setattr(self, "peak", 0))


def test_on_a_gpu_nothing_waits_for_the_device_inside_the_loop(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    with Meter(torch.device("cuda")) as meter:
        cuda.calls.clear()
        for peak in (300, 500, 400):
            meter.resume()
            cuda.now += 0.25
            cuda.peak = peak
            meter.step_done()
            assert meter.host_seconds() is None
            cuda.now += 1.0  # the consumer's own work on the device
        assert cuda.calls == []
        meter.resume()
        cuda.now += 2.0
        meter.decoded()
    readings = meter.read()
    assert readings.steps_s == (0.25, 0.25, 0.25)
    assert readings.decode_s == 2.0
    assert (readings.memory_kind, readings.steps_bytes, readings.peak_bytes) == ("cuda", (300, 500, 400), 500)
    assert readings.reserved_bytes == 1000
