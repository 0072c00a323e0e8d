"""Driving a diffusers pipeline through a schedule: one ordinary call of the pipeline a stage, its loop untouched.

The pipeline computes everything that depends on size because it is called at that stage's size. Two things are replaced
on the instance while a run lasts: the scheduler by a view that holds one stage's window of levels and reports every
step, and `prepare_latents` by a wrapper that hands over the latents of the stage before. Beside that the transformer is
kept from repeating work that no step changes (engine.sampling.done_once).

The parts: `start_finder` sees how the run at full resolution begins, `stage_call` calls the pipeline, `step_watch` sees
its steps; what they share is `run_state`.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable

import numpy as np
import torch

from engine.caches.apply import cached
from engine.errors import ResoluteError, RunFailed
from engine.measuring.device import free, out_of_memory
from engine.measuring.step_event import OnStep
from engine.models.diffusers_private import moves_within, offloads_models
from engine.models.preview import LatentPreview
from engine.patching import patched
from engine.sampling.done_once import done_once
from engine.sampling.run_request import StagedRequest, StagedResult, frames_of
from engine.sampling.run_state import RunState
from engine.sampling.shared_start import RunMemo
from engine.sampling.stage_call import StageCalls
from engine.sampling.stage_view import reset_caches
from engine.sampling.start_finder import StartFinder
from engine.sampling.step_watch import StepWatch, Watch

log = logging.getLogger(__name__)


def run_staged(
    request: StagedRequest,
    on_step: OnStep | None = None,
    *,
    memo: RunMemo | None = None,
    preview: Callable[[], LatentPreview] | None = None,
    watch: Watch | None = None,
) -> StagedResult:
    """Run a pipeline along a schedule, neighbouring stages of one size as one (`StagedRequest.as_run`).

    `watch` sees every step's latents; its time is in no step.

    Raises Cancelled when the consumer did; RunFailed with the step for out-of-memory and not-finite latents;
    UnsupportedPipeline where the pipeline does not step the latents that it was handed, or its scheduler is of another
    kind than `engine.switching.noise_process` knows. Whatever happens, the pipeline is as it was before, and no
    tensor of the run stays referenced by the error: where it happened is text, in a note of the error.
    """
    run = _Run(request.as_run(), on_step, memo or RunMemo(), preview, watch)
    try:
        return run.drive()
    except Exception as error:
        problem = _explained(error, run.state)
        if not isinstance(error, ResoluteError):  # frames hold tensors: the place stays as text
            place = f"It happened here:\n{traceback.format_exc()}"
            problem.add_note(place)
            if problem is not error:
                log.info("%s %s", problem, place)
    finally:
        run.release()
    problem.__context__ = problem.__cause__ = None
    free(run.state.device)
    raise problem.with_traceback(None)


class _Run:
    """The parts of one run, and the order of its stages."""

    def __init__(
        self,
        request: StagedRequest,
        on_step: OnStep | None,
        memo: RunMemo,
        preview: Callable[[], LatentPreview] | None,
        watch: Watch | None,
    ) -> None:
        self.state = RunState(request, memo)
        self.start = StartFinder(self.state, memo)
        self.steps = StepWatch(self.state, on_step, preview, watch)
        self.call = StageCalls(self.state, self.start, self.steps, memo)
        self.memo = memo

    def drive(self) -> StagedResult:
        state, request, pipe = self.state, self.state.request, self.state.request.pipe
        once, caching = done_once(pipe), cached(pipe, request.cache, request.schedule.stages)
        replacing, moving = patched(pipe, **self.call.replaced()), moves_within(pipe, state.loading)
        with torch.no_grad(), state.meter, once as self.steps.done_once, replacing, moving, caching as self.call.caches:
            if self.start.start is None and request.sizes[0].hw != state.full.hw:
                self.start.look(self.call)
            for size in request.sizes[:-1]:
                with patched(pipe, maybe_free_model_hooks=functools.partial(reset_caches, pipe)):
                    self.call(size, "latent")
                state.stage += 1
            out = self.call(state.full, "np" if request.decode else "latent")
            state.meter.enter(None)
        frames = frames_of(out) if request.decode else np.empty((0, 0, 0, 3), dtype=np.float32)
        return StagedResult(frames, state.plans, state.meter.read(), self.memo.seconds, self.call.caches.evaluations)

    def release(self) -> None:
        """Drop the tensors, so that a kept reference to the run keeps no memory."""
        for part in (self.start, self.steps, self.call, self.state):
            part.release()
        self.memo = RunMemo()


def _explained(error: Exception, state: RunState) -> Exception:
    """The error a person gets; anything unforeseen stays what it is."""
    if out_of_memory(error):
        peak = state.meter.peak_bytes / 2**30
        return RunFailed(f"out of memory {_when(state)}, at a peak of {peak:.2f} GiB; {_remedy(state)}.", state.step)
    return error


def _when(state: RunState) -> str:
    decoding = state.step == state.request.schedule.infer_steps and state.request.decode
    return "while decoding" if decoding else f"after step {state.step}"


def _remedy(state: RunState) -> str:
    """What lowers the peak where it was: decoding, a stage of full size, or a smaller one."""
    if state.step == state.request.schedule.infer_steps:
        return "use VAE tiling, a smaller size or fewer frames"
    more = "quantised weights" if offloads_models(state.request.pipe) else "CPU offload"
    lower = ", a lower rate of this stage" if state.size.hw != state.full.hw else ""
    return f"use a smaller size, fewer frames{lower} or {more}"
