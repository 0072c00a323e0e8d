"""What a run's time belongs to: conditions to each stage's own figure, text to none, everything else to the steps."""

from __future__ import annotations

import inspect
import re
import time
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import patch

import diffusers
import numpy as np
import pytest
import torch

import engine.measuring.meter
import engine.sampling.stage_call
from engine.errors import UnsupportedPipeline
from engine.models.families import FAMILIES
from engine.patching import patched
from engine.sampling.pipeline_run import run_staged
from engine.sampling.shared_start import RunMemo
from engine.sampling.stage_call import StageCalls
from engine.sampling.step_watch import StepWatch
from engine.schedules.schedule import flat, parse_schedule
from tests.families.cases import CASES, STEPS, TWO, request

SLEEP = 100.0  # seconds of a clock that is set forward: the test waits for nothing, and a busy machine changes nothing
U = parse_schedule(STEPS, [1.0, 0.5], [2, 6])
SCHEDULES = {"flat": flat(STEPS), "two-stage": TWO, "U": U}
ENCODED = {"wan-i2v": 1, "wan-vace-video": 2, "ltx-i2v": 1, "cogvideox-i2v": 1, "kandinsky-5-i2v": 1}  # times a stage


class Clock:
    """The machine's clock, set forward by what is slow."""

    def __init__(self):
        self.ahead, self.sleeps = 0.0, 0

    def perf_counter(self):
        return time.perf_counter() + self.ahead

    def sleep(self):
        self.ahead += SLEEP
        self.sleeps += 1

    def slowed(self, method):
        """A method that takes longer."""

        def slow(*args, **kwargs):
            self.sleep()
            return method(*args, **kwargs)

        return slow


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (engine.measuring.meter, engine.sampling.stage_call):
        monkeypatch.setattr(module, "time", clock)
    return clock


def paid(readings):
    """Which steps took a sleep."""
    return [k for k, seconds in enumerate(readings.steps_s, 1) if seconds > SLEEP]


@pytest.mark.parametrize("name", ENCODED)
def test_conditions_are_a_figure_of_every_stage_and_in_no_step(clock, name):
    case, memo = CASES[name], RunMemo()
    pipe = case.build()
    run_staged(request(case, pipe, flat(STEPS)), memo=memo)  # text, and all that is done for the first time
    memo.seconds = 0.0
    encode = clock.slowed(pipe.vae.encode)
    for schedule in SCHEDULES.values():
        clock.sleeps, begun = 0, clock.perf_counter()
        with patched(pipe.vae, encode=encode):
            result = run_staged(request(case, pipe, schedule), memo=memo)
        wall, readings = clock.perf_counter() - begun, result.readings
        assert clock.sleeps == len(readings.conditions_s) * ENCODED[name] == len(schedule.stages) * ENCODED[name]
        assert all(seconds > SLEEP * ENCODED[name] for seconds in readings.conditions_s)
        assert paid(readings) == []
        assert readings.condition_s == sum(readings.conditions_s)
        told = result.text_s + readings.condition_s + readings.denoise_s + readings.decode_s
        assert 0.98 * wall < told <= wall


def test_a_switch_is_still_paid_by_the_first_step_after_it(clock):
    case = CASES["wan"]
    with patch.object(StageCalls, "_latents_like", clock.slowed(StageCalls._latents_like)):
        readings = run_staged(request(case, case.build(), TWO)).readings
    assert paid(readings) == [1, 5]
    assert max(readings.conditions_s) < SLEEP


def test_what_the_pipeline_does_after_a_stage_is_paid_by_the_step_after_it(clock):
    case = CASES["wan"]
    with patch("engine.sampling.pipeline_run.reset_caches", lambda pipe: clock.sleep()):
        readings = run_staged(request(case, case.build(), TWO)).readings
    assert paid(readings) == [5]


def test_what_is_kept_for_the_switch_is_paid_and_what_watches_is_not(clock):
    case = CASES["wan"]
    with patch.object(StepWatch, "_record", clock.slowed(StepWatch._record)):
        readings = run_staged(request(case, case.build(), TWO)).readings
    assert paid(readings) == [5]
    seen = run_staged(
        request(case, case.build(), TWO), lambda event: clock.sleep(), watch=lambda *_: clock.sleep()
    ).readings
    assert (paid(seen), seen.decode_s < SLEEP) == ([], True)


@pytest.mark.parametrize("name", ["wan-i2v", "wan-flf2v", "skyreels-i2v"])
def test_an_image_encoder_sees_a_picture_once_for_all_stages_and_runs(clock, name):
    case, memo = CASES[name], RunMemo()
    pipe = case.build()
    alone = run_staged(request(case, case.build(), U)).frames
    with patched(pipe, encode_image=clock.slowed(pipe.encode_image)):
        first = run_staged(request(case, pipe, U), memo=memo)
        again = run_staged(request(case, pipe, TWO), memo=memo)
        assert clock.sleeps == 1
        assert np.array_equal(first.frames, alone)
        assert first.text_s == again.text_s > SLEEP
        assert max(*first.readings.conditions_s, *again.readings.conditions_s) < SLEEP
        picture = case.call["image"].rotate(90)
        asked = request(case, pipe, TWO)
        other = run_staged(replace(asked, call=asked.call | {"image": picture}), memo=memo)
    assert clock.sleeps == 2
    assert not np.array_equal(other.frames, again.frames)


class Away:
    """Accelerate's hook of a network that is on the CPU, and is brought to the device before each call."""

    execution_device = torch.device("cuda", 0)

    def __init__(self, clock):
        self.clock, self.here = clock, False

    def pre_forward(self, module, *args, **kwargs):
        if not self.here:  # the real one moves nothing then
            self.clock.sleep()
        self.here = True
        return args, kwargs


def offloaded(pipe, clock):
    """A pipeline whose denoiser is away; at the end of a call it is sent away again, which takes as long."""
    hook, forward = Away(clock), pipe.transformer.forward

    def brought(*args, **kwargs):
        hook.pre_forward(pipe.transformer)
        return forward(*args, **kwargs)

    def free():
        clock.sleep()
        hook.here = False

    pipe.transformer.forward, pipe.maybe_free_model_hooks = brought, free
    pipe._all_hooks = [SimpleNamespace(hook=hook)]
    return hook


def test_moving_networks_is_a_figure_of_its_own_and_in_no_step(clock):
    case = CASES["wan"]
    pipe = case.build()
    hook, memo = offloaded(pipe, clock), RunMemo()
    run_staged(request(case, pipe, flat(STEPS)), memo=memo)
    for schedule in SCHEDULES.values():
        clock.sleeps, begun = 0, clock.perf_counter()
        result = run_staged(request(case, pipe, schedule), memo=memo)
        wall, readings = clock.perf_counter() - begun, result.readings
        assert clock.sleeps == 2
        assert 2 * SLEEP < readings.load_s < 2.1 * SLEEP
        assert paid(readings) == []
        assert readings.decode_s < SLEEP
        told = readings.load_s + readings.condition_s + readings.denoise_s + readings.decode_s
        assert 0.98 * wall < told <= wall
        assert "pre_forward" not in vars(hook)
    assert run_staged(request(case, case.build(), flat(2))).readings.load_s is None


@pytest.mark.parametrize("name", FAMILIES)
def test_every_pipeline_opens_its_progress_bar_right_before_its_loop(name):
    """There a stage's conditions end and its steps begin."""
    source = inspect.getsource(getattr(diffusers, name).__call__)
    assert source.count("self.progress_bar(") == 1
    between = re.search(r"self\.progress_bar\(.*?\n(.*?)for i, t in enumerate\(timesteps\):", source, re.DOTALL)
    assert between
    code = [line.partition("#")[0].strip() for line in between.group(1).splitlines()]
    assert [line for line in code if line] in ([], ["old_pred_original_sample = None"])


def test_a_pipeline_whose_loop_is_not_seen_to_begin_is_refused():
    case = CASES["wan"]
    with (
        patch.object(StageCalls, "_opening", lambda self, progress_bar: progress_bar),
        pytest.raises(UnsupportedPipeline, match="opens no progress bar before its loop"),
    ):
        run_staged(request(case, case.build(), flat(STEPS)))
