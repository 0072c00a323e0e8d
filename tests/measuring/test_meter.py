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


def test_time_belongs_to_the_phase_that_was_entered_and_pauses_to_none():
    with Meter(CPU) as meter:
        meter.stage_begins()
        time.sleep(0.03)
        with meter.within("step"):  # a switch, amid what is prepared
            time.sleep(0.05)
        time.sleep(0.03)
        meter.enter("step")
        time.sleep(0.05)
        meter.step_done()
        with meter.within(None):
            time.sleep(0.2)
        time.sleep(0.02)
        meter.step_done()
        time.sleep(0.02)  # the pipeline's tail
        meter.stage_begins()
        with meter.within("text"):
            time.sleep(0.2)
        time.sleep(0.02)
        meter.enter("step")
        meter.step_done("decode")
        time.sleep(0.1)
        meter.enter(None)
        time.sleep(0.2)
    readings = meter.read()
    assert readings.steps_s == tuple(pytest.approx(seconds, abs=0.04) for seconds in (0.1, 0.02, 0.02))
    assert readings.denoise_s == sum(readings.steps_s)
    assert readings.conditions_s == tuple(pytest.approx(seconds, abs=0.04) for seconds in (0.06, 0.02))
    assert readings.condition_s == sum(readings.conditions_s)
    assert readings.decode_s == pytest.approx(0.1, abs=0.08)
    assert readings.memory_kind == "rss_above_start"
    assert readings.reserved_bytes is None


def test_the_phases_of_a_run_leave_no_moment_out():
    with Meter(CPU) as meter:
        begun = time.perf_counter()
        meter.stage_begins()
        inside = time.perf_counter()
        for _ in range(50):
            meter.enter("step")
            with meter.within("load"):
                pass
            meter.step_done("decode")
        inside = time.perf_counter() - inside
        meter.enter(None)
        wall = time.perf_counter() - begun
    readings = meter.read()
    told = readings.condition_s + readings.denoise_s + readings.decode_s + readings.load_s
    assert inside <= told <= wall


def test_a_model_that_prepares_nothing_has_no_seconds_of_it():
    with Meter(CPU) as meter:
        meter.enter("step")
        meter.step_done()
    readings = meter.read()
    assert (readings.conditions_s, readings.condition_s, readings.before_bytes) == ((), None, None)


def test_memory_that_a_step_took_and_gave_back_is_seen_in_that_step_alone():
    with Meter(CPU) as meter:
        meter.enter("step")
        block = np.ones(20_000_000)  # 160 MB, touched
        time.sleep(0.2)
        del block
        meter.step_done()
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
            meter.enter("step")
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
    """A device whose clock is a counter: enough to see what the meter asks of it, and when.

    `level` is what is allocated. As torch's, a peak that is reset begins at the present level.
    """

    def __init__(self, monkeypatch):
        self.now, self.calls, self.level, self.peak = 0.0, [], 0, 0
        fake = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self, stream):
                self.at = fake.now

            def elapsed_time(self, later):
                return (later.at - self.at) * 1000  # milliseconds, as torch's

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: self.calls.append("synchronize"))
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.peak)
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 2 * self.peak)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: setattr(self, "peak", self.level))

    def take(self, size, seconds=0.0):
        """Memory is taken, something computed, and the memory given back."""
        self.peak, self.now = max(self.peak, self.level + size), self.now + seconds


def test_on_a_gpu_nothing_waits_for_the_device_inside_the_loop(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    with Meter(torch.device("cuda")) as meter:
        cuda.calls.clear()
        meter.stage_begins()
        cuda.now += 0.5
        meter.enter("step")
        for peak in (300, 500, 400):
            cuda.take(peak, seconds=0.25)
            meter.step_done("decode" if peak == 400 else "step")
            assert meter.host_seconds() is None
            with meter.within(None):
                cuda.now += 1.0  # the consumer's own work on the device
        cuda.now += 2.0
        meter.enter(None)
        assert cuda.calls == []
    readings = meter.read()
    assert cuda.calls == ["synchronize"]
    assert readings.steps_s == (0.25, 0.25, 0.25)
    assert readings.conditions_s == (0.5,)
    assert readings.decode_s == 2.0
    assert (readings.memory_kind, readings.steps_bytes, readings.peak_bytes) == ("cuda", (300, 500, 400), 500)
    assert readings.reserved_bytes == 1000


def test_peaks_are_those_of_the_phase_in_which_they_were_reached(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    cuda.level = 1000  # weights
    with Meter(torch.device("cuda")) as meter:
        with meter.within("text"):
            cuda.take(50)
        meter.stage_begins()
        cuda.take(30)
        meter.enter("step")
        cuda.take(200)
        meter.step_done()
        with meter.within(None):
            cuda.take(900)  # a preview is decoded, and given back
        cuda.take(100)
        meter.step_done()
        meter.stage_begins()
        cuda.take(700)  # a control video is encoded at the next size
        meter.enter("step")
        cuda.take(300)
        meter.step_done("decode")
        cuda.take(800)
        meter.enter(None)
        cuda.take(5000)
    readings = meter.read()
    assert readings.steps_bytes == (1200, 1100, 1300)
    assert (readings.before_bytes, readings.decode_bytes, readings.peak_bytes) == (1700, 1800, 1800)
