"""One ordinary call of the pipeline a stage, its loop untouched, with text, latents and levels of ours put into it."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from engine.caches.apply import CachedRun
from engine.errors import UnsupportedPipeline
from engine.measuring.device import wait_for
from engine.models.denoisers import boundary
from engine.models.diffusers_private import PROGRESS_BAR
from engine.patching import patched
from engine.sampling.experts import boundary_for, changes_experts
from engine.sampling.run_state import RunState
from engine.sampling.scheduler_window import begin, enter_stage
from engine.sampling.shared_start import RunMemo
from engine.sampling.stage_view import stage_view
from engine.sampling.start_finder import StartFinder, noise_scale
from engine.sampling.step_watch import StepWatch
from engine.schedules.latent_sizes import LatentSize
from engine.switching.handover import Handover, noise_for, plan_stages


class StageCalls:
    """Calls the pipeline at a stage's size; `caches` is set before the first call."""

    def __init__(self, state: RunState, start: StartFinder, steps: StepWatch, memo: RunMemo) -> None:
        self.caches: CachedRun
        self._state, self._start, self._steps, self._memo = state, start, steps, memo
        self._encodings = 0  # of this call
        self._generator: torch.Generator  # of this call
        self._drawn: Tensor | None = None  # the generator's state at the end of the stage before
        self._while_called = contextlib.ExitStack()  # what is put back when the call under way ends

    def replaced(self) -> Mapping[str, Any]:
        """What takes the place of the pipeline's own attributes while the run lasts."""
        pipe = self._state.request.pipe
        seeing = {"encode_image": self._seeing(pipe.encode_image)} if hasattr(pipe, "encode_image") else {}
        return {
            "encode_prompt": self._remembering(pipe.encode_prompt),
            "prepare_latents": self._handing_over(pipe.prepare_latents),
            "progress_bar": self._opening(pipe.progress_bar),
            PROGRESS_BAR: {"disable": True},
            **seeing,
            **self._state.request.guider(),
        }

    def __call__(self, size: LatentSize, output_type: str) -> Any:
        """Run the stage under way; what the pipeline returns.

        What a pipeline draws before its steps, its noise or a sample of the condition's latents, every stage draws as
        the run at full size does: from the run's seed. What a scheduler draws in its steps goes on where the stage
        before has stopped, so that it adds no noise twice. What a call takes before its loop is the stage's conditions;
        a call that is left before its first step, to see how a run at full size begins, is in no figure.
        """
        state, request = self._state, self._state.request
        self._encodings, state.size = 0, size
        if not self._start.looking:
            state.meter.stage_begins()
        self._generator = torch.Generator("cpu").manual_seed(request.seed)
        view = stage_view(request.pipe.scheduler, self._tables_made, self._steps)
        with patched(request.pipe, scheduler=view), self.caches.stage(state.stage), self._while_called:
            out = request.pipe(**request.arguments(size, self._generator), output_type=output_type)
        self._drawn = self._generator.get_state()
        return out

    def _remembering(self, encode_prompt: Callable[..., Any]) -> Callable[..., Any]:
        """Text is encoded once for all stages and all runs that share a memo."""

        @functools.wraps(encode_prompt)
        def remembering(*args: Any, **kwargs: Any) -> Any:
            number, self._encodings = self._encodings, self._encodings + 1
            if number >= len(self._memo.results):
                with self._encoding():
                    self._memo.results.append(encode_prompt(*args, **kwargs))
            return self._memo.results[number]

        return remembering

    def _seeing(self, encode_image: Callable[..., Any]) -> Callable[..., Any]:
        """What a network makes of the run's own pictures (not of copies at a stage's size) is kept like the text."""

        @functools.wraps(encode_image)
        def seeing(image: Any, *args: Any, **kwargs: Any) -> Any:
            found = self._memo.seen(image, args, kwargs)
            if found is None:
                with self._encoding():
                    found = self._memo.keep_seen(image, args, kwargs, encode_image(image, *args, **kwargs))
            return found

        return seeing

    @contextlib.contextmanager
    def _encoding(self) -> Iterator[None]:
        """Seconds of the block are the memo's: they are of no single run."""
        device = self._state.device
        with self._state.meter.within("text"):
            wait_for(device)
            begun = time.perf_counter()
            yield
            wait_for(device)
            self._memo.seconds += time.perf_counter() - begun

    def _opening(self, progress_bar: Callable[..., Any]) -> Callable[..., Any]:
        """Every pipeline opens its bar right before its loop."""

        @functools.wraps(progress_bar)
        def opening(*args: Any, **kwargs: Any) -> Any:
            self._state.meter.enter("step")
            return progress_bar(*args, **kwargs)

        return opening

    def _handing_over(self, prepare_latents: Callable[..., Any]) -> Callable[..., Any]:
        """The pipeline prepares its latents; then ours take their place, of the very same shape."""

        @functools.wraps(prepare_latents)
        def handing_over(*args: Any, **kwargs: Any) -> Any:
            out = prepare_latents(*args, **kwargs)
            prepared = out[0] if isinstance(out, tuple) else out
            self._start.see_noise(prepared)
            if self._start.looking:
                return out
            if self._state.staged:
                with self._state.meter.within("step"):  # the first after the switch pays for it
                    latents = self._latents_like(prepared)
                out = (latents, *out[1:]) if isinstance(out, tuple) else latents
                self._steps.expect(latents)
            if self._state.stage and self._drawn is not None:
                self._generator.set_state(self._drawn)
            return out

        return handing_over

    def _latents_like(self, prepared: Tensor) -> Tensor:
        """The latents that the stage starts from, in the layout, dtype and device of those that were prepared."""
        state, request = self._state, self._state.request
        grid = state.grid(prepared)  # (B, C, T, h, w)
        if state.handover is None:
            shape = (*grid.shape[:-2], *state.full.hw)
            source = noise_for(request.policy, request.seed, shape, prepared.device, self._start.noise)
            state.handover = Handover(request.policy, source)
            latents = state.handover.start(state.size) * noise_scale(request.pipe.scheduler)
        else:
            latents = state.handover.switch(state.plans[state.stage - 1], state.plan)
            latents = state.process.state(latents, state.plan.entry)
        if latents.shape != grid.shape:
            raise UnsupportedPipeline(
                f"{type(request.pipe).__name__} prepared latents of shape {tuple(grid.shape)} where the "
                f"schedule hands over {tuple(latents.shape)}; it cannot follow a schedule at this size."
            )
        return state.adapter.ungrid(latents, prepared, state.size)

    def _tables_made(self, scheduler: Any, mu: float | None) -> None:
        """The pipeline has set its timesteps: leave one stage's window of the levels that the baseline has."""
        state, request = self._state, self._state.request
        self._start.see_table(scheduler, mu)
        if not state.plans:
            table, shift = self._start.table()
            state.plans = plan_stages(
                request.schedule, request.sizes, request.policy, table, shift, state.process.can_reshift
            )
        begin(scheduler)
        if state.staged:
            enter_stage(scheduler, state.plan, state.final)
            if changes_experts(request.pipe) and not request.policy.own_experts:
                told, baseline = state.plan.table.timesteps, self._start.table()[0].timesteps
                ratio = boundary_for(told, baseline, request.pipe.config.boundary_ratio)
                self._while_called.enter_context(boundary(request.pipe, ratio))

    def release(self) -> None:
        """Let go of the memo; one that is shared keeps what is in it."""
        self._memo = RunMemo()
