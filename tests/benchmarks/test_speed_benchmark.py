"""The figures of the speed benchmark follow from its readings."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from benchmarks.speed import Watch, loop_seconds


def test_what_disturbs_one_step_of_one_round_does_not_count():
    calm = [1.0, 2.0, 1.0]
    assert loop_seconds([calm, [1.0, 2.0, 50.0], [9.0, 2.0, 1.0]]) == sum(calm)


def test_what_a_step_costs_in_every_round_counts():
    assert loop_seconds([[1.0, 5.0, 1.0], [1.2, 5.2, 1.0], [0.8, 4.8, 1.0]]) == pytest.approx(7.0)


def test_what_others_took_of_the_processors_is_seen():
    busy = "import time; end = time.process_time() + 0.6\nwhile time.process_time() < end: pass"
    watch, begun = Watch(), time.perf_counter()
    subprocess.run([sys.executable, "-c", busy], check=True)
    wall = time.perf_counter() - begun
    assert watch.others() > 0.5 * 0.6 / (wall * (os.cpu_count() or 1))
