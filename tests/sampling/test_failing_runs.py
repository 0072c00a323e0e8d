"""Runs of a tiny pipeline that fail: told with their step, keeping no tensor, found also where a device lags."""

from __future__ import annotations

import weakref

import pytest
import torch

from engine.errors import RunFailed, UnsupportedPipeline
from engine.patching import patched
from engine.sampling.pipeline_run import run_staged
from engine.schedules.schedule import flat
from tests.sampling.test_pipeline_run import TWO, latents_alive, request


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")],
    ids=["OutOfMemoryError", "RuntimeError"],
)
def test_out_of_memory_is_told_with_its_step_and_pins_no_tensor(tiny, error):
    run_staged(request(tiny, flat(2)))
    alive, held, calls = latents_alive(), [], []
    original = tiny.transformer.forward

    def forward(*args, **kwargs):
        calls.append(1)
        if len(calls) > 7:  # two passes a step: inside step 4
            scratch = torch.zeros(3, 3)
            held.append(weakref.ref(scratch))
            raise error
        return original(*args, **kwargs)

    tiny.transformer.forward = forward
    with pytest.raises(
        RunFailed, match=r"out of memory after step 3, at a peak of \d+\.\d\d GiB; use a smaller size"
    ) as failed:
        run_staged(request(tiny, TWO))
    assert failed.value.step == 3
    assert "in forward" in failed.value.__notes__[0]  # where memory ran out, as text
    error.__traceback__ = None
    assert latents_alive() == alive
    assert held[0]() is None


def test_an_error_keeps_its_place_as_text_and_pins_no_tensor(tiny):
    run_staged(request(tiny, flat(2)))
    alive = latents_alive()

    def forward(*args, **kwargs):
        try:
            raise KeyError("the cause of it")
        except KeyError as cause:
            raise ZeroDivisionError("in a block") from cause

    tiny.transformer.forward = forward
    with pytest.raises(ZeroDivisionError) as failed:
        run_staged(request(tiny, TWO))
    (note,) = failed.value.__notes__
    assert "in forward" in note
    assert "the cause of it" in note
    assert failed.value.__cause__ is failed.value.__context__ is None
    del tiny.transformer.forward
    assert latents_alive() == alive


def test_out_of_memory_in_decoding_is_told_with_what_helps_there(tiny):
    def decode(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    tiny.vae.decode = decode
    with pytest.raises(RunFailed, match=r"out of memory while decoding, at .*; use VAE tiling, a smaller size"):
        run_staged(request(tiny, TWO))


def test_a_lower_rate_is_named_only_where_a_low_stage_ran_out_of_memory(tiny):
    original, sizes, dying = tiny.transformer.forward, [], []

    def forward(hidden_states, *args, **kwargs):
        sizes.append(hidden_states.shape)
        if hidden_states.shape[-1] in dying:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(hidden_states, *args, **kwargs)

    tiny.transformer.forward = forward
    run_staged(request(tiny, TWO))
    low, full = sizes[0][-1], sizes[-1][-1]
    for width, named in ((low, True), (full, False)):
        dying[:] = [width]
        with pytest.raises(RunFailed) as failed:
            run_staged(request(tiny, TWO))
        assert ("lower rate of this stage" in str(failed.value)) is named


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_one_latent_that_is_not_finite_fails_the_run_at_its_step(tiny, value):
    original, calls = tiny.transformer.forward, []

    def forward(*args, **kwargs):
        calls.append(1)
        out = original(*args, **kwargs)[0].clone()
        if len(calls) > 10:
            out[0, 0, -1, -1, -1] = float(value)
        return (out,)

    tiny.transformer.forward = forward
    seen = []
    with pytest.raises(RunFailed, match="not finite at step 6") as failed:
        run_staged(request(tiny, TWO), seen.append)
    assert failed.value.step == 6
    assert len(seen) == 5


def test_a_pipeline_that_does_not_step_its_prepared_latents_is_refused(tiny):
    original = tiny.prepare_latents
    tiny.prepare_latents = original
    forward = tiny.transformer.forward
    tiny.transformer.forward = lambda **kwargs: forward(**kwargs)
    step = type(tiny.scheduler).step

    class Deaf(type(tiny.scheduler)):
        pass

    def pipe_call(**call):
        tiny.scheduler.set_timesteps(call["num_inference_steps"])
        latents = tiny.prepare_latents(1, 4, call["height"], call["width"], 5, torch.float32, "cpu", call["generator"])
        t = tiny.scheduler.timesteps[0]
        tiny.scheduler.step(latents, t, latents * 1.5)

    assert step is Deaf.step
    with pytest.raises(UnsupportedPipeline, match="does not step the latents"):
        run_staged(request(_Stub(tiny, pipe_call), TWO))


class _Stub:
    """A pipeline of another family, reduced to what a staged run touches."""

    def __init__(self, pipe, call):
        self.__dict__.update(pipe.__dict__)
        self.device = self._execution_device = torch.device("cpu")
        self.components = {}
        self.prepare_latents = pipe.prepare_latents
        self.encode_prompt = pipe.encode_prompt
        self.progress_bar = pipe.progress_bar
        self.maybe_free_model_hooks = lambda: None
        self._drive, self._pipe = call, pipe

    def __call__(self, **call):
        with patched(self._pipe, scheduler=self.scheduler, prepare_latents=self.prepare_latents):
            return self._drive(**call)
