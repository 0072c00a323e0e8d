"""What the meter says of time and memory."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from engine.meter import Meter, trim_heap

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
        time.sleep(0.05)
        del block
        meter.step_done()
        meter.resume()
        time.sleep(0.05)
        meter.step_done()
    first, second = meter.read().steps_bytes
    assert first > 150e6
    assert second < 60e6
    assert meter.read().peak_bytes == first


def test_a_second_run_of_equal_need_shows_an_equal_peak():
    peaks = []
    for _ in range(2):
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
