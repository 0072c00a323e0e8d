"""What a device that lags finds out of a run: told a few steps later, and before anything is decoded."""

from __future__ import annotations

import pytest

from engine.errors import RunFailed, UnsupportedPipeline
from engine.sampling.pipeline_run import run_staged
from engine.sampling.step_watch import StepWatch
from engine.schedules.schedule import flat
from tests.measuring.late_device import LateDevice
from tests.sampling.test_pipeline_run import TWO, request


@pytest.mark.parametrize(
    ("broken", "found", "waits"), [(3, 5, 0), (8, 8, 1)], ids=["amid the steps", "at the last one"]
)
def test_a_device_that_lags_is_asked_later_and_always_before_decoding(tiny, monkeypatch, broken, found, waits):
    """A whole run is not thrown away for a step that failed early, and no step waits for the device."""
    device = LateDevice(monkeypatch, lag=2)
    monkeypatch.setattr("engine.sampling.step_watch.LateFlags", device.flags)
    original, calls, seen = tiny.transformer.forward, [], []

    def forward(*args, **kwargs):
        calls.append(1)
        out = original(*args, **kwargs)[0]
        return (out * float("nan") if len(calls) > 2 * (broken - 1) else out,)

    tiny.transformer.forward = forward
    tiny.vae.decode = lambda *_: pytest.fail("it was decoded")
    with pytest.raises(RunFailed, match=f"not finite at step {broken};"):
        run_staged(request(tiny, flat(8)), seen.append)
    assert len(seen) == found - 1
    assert min(device.waits, 1) == waits


def test_a_sound_run_waits_for_the_device_once_before_decoding(tiny, monkeypatch):
    device = LateDevice(monkeypatch, lag=2)
    monkeypatch.setattr("engine.sampling.step_watch.LateFlags", device.flags)
    waits = []
    run_staged(request(tiny, TWO), lambda event: waits.append(device.waits))
    assert waits[:-1] == [0] * 7
    assert waits[-1] > 0


def test_latents_that_are_not_stepped_are_found_on_a_device_that_lags(tiny, monkeypatch):
    device = LateDevice(monkeypatch, lag=2)
    monkeypatch.setattr("engine.sampling.step_watch.LateFlags", device.flags)
    stepping, seen = StepWatch.stepping, []
    monkeypatch.setattr(StepWatch, "stepping", lambda self, s, x, out: stepping(self, s, x + 1, out))
    with pytest.raises(UnsupportedPipeline, match="does not step the latents that it prepared"):
        run_staged(request(tiny, TWO), seen.append)
    assert 0 < len(seen) < 4
