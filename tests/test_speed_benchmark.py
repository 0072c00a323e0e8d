"""The figures of the speed benchmark follow from its readings."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from benchmarks.speed import Watch, row


def test_a_speed_up_is_the_ratio_of_medians_whatever_one_slow_round_did():
    times = {"baseline": [3.0, 3.2, 30.0], "half": [2.0, 40.0, 1.6]}
    line = row("half", times, {"half": [3.0, 41.0, 2.5]}, by_flops=2.0)
    assert line["speedup"] == pytest.approx(3.2 / 2.0)
    assert line["share"] == pytest.approx(0.8)
    assert line["speedup_of_rounds"] == pytest.approx([3.2 / 40, 30 / 1.6])
    assert line["denoise_and_decode_s"] == 3.0


def test_the_baseline_is_as_fast_as_itself():
    times = {"baseline": [3.0, 2.0, 4.0]}
    assert row("baseline", times, times, by_flops=1.0)["share"] == 1.0


def test_what_others_took_of_the_processors_is_seen():
    busy = "import time; end = time.process_time() + 0.6\nwhile time.process_time() < end: pass"
    watch, begun = Watch(), time.perf_counter()
    subprocess.run([sys.executable, "-c", busy], check=True)
    wall = time.perf_counter() - begun
    assert watch.others() > 0.5 * 0.6 / (wall * (os.cpu_count() or 1))
