"""Driving a diffusers pipeline through a schedule: one ordinary call of the pipeline a stage, its loop untouched.

The pipeline computes everything that depends on size because it is called at that stage's size. Two things are replaced
on the instance while a run lasts: the scheduler by a view that holds one stage's window of levels and reports every
step, and `prepare_latents` by a wrapper that hands over the latents of the stage before. Beside that the transformer is
kept from repeating work that no step changes (engine.sampling.done_once).

All noise levels and the noise itself come from the run at full resolution. Where no baseline has shown them, and the
first stage is smaller, the pipeline is called at full size first, and left as soon as it has prepared both.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.caches.apply import CachedRun, cached
from engine.errors import RunFailed, UnsupportedPipeline
from engine.measuring.device import free, out_of_memory, wait_for
from engine.measuring.meter import Meter
from engine.measuring.step_event import OnStep, StepEvent
from engine.models.preview import Glance, LatentPreview
from engine.patching import patched
from engine.sampling.done_once import Kept, done_once
from engine.sampling.latent_layouts import LAYOUTS, Adapter
from engine.sampling.run_request import StagedRequest, StagedResult, frames_of
from engine.sampling.scheduler_window import enter_stage
from engine.sampling.shared_start import RunMemo, Start
from engine.sampling.stage_view import reset_caches, stage_view
from engine.schedules.latent_sizes import LatentSize
from engine.switching.handover import Handover, StagePlan, noise_for, plan_stages
from engine.switching.noise_process import process_of, shift_of
from engine.switching.sigma_tables import Table

Watch = Callable[[Tensor, Tensor, float], None]  # what the model saw, what it answered, the level it was told


def run_staged(
    request: StagedRequest,
    on_step: OnStep | None = None,
    *,
    memo: RunMemo | None = None,
    preview: Callable[[], LatentPreview] | None = None,
    watch: Watch | None = None,
) -> StagedResult:
    """Run a pipeline along a schedule. `watch` sees every step's latents; its time is in no step.

    Raises Cancelled when the consumer did; RunFailed with the step for out-of-memory and not-finite latents;
    UnsupportedPipeline where the pipeline does not step the latents that it was handed, or its scheduler is of another
    kind than `engine.switching.noise_process` knows. Whatever happens, the pipeline is as it was before, and no
    tensor of the run stays referenced by the error.
    """
    run = _Run(request, on_step, memo or RunMemo(), preview, watch)
    try:
        return run.drive()
    except Exception as error:
        problem = _as_told(error, run)
    finally:
        run.release()
    problem.__context__ = None
    free(run.device)
    raise problem.with_traceback(None)


class _Seen(Exception):
    """Ends a call at full size that was made only to see how it begins."""


class _Run:
    """The mutable state of one run."""

    def __init__(
        self,
        request: StagedRequest,
        on_step: OnStep | None,
        memo: RunMemo,
        preview: Callable[[], LatentPreview] | None,
        watch: Watch | None,
    ) -> None:
        self.request, self.on_step, self.memo, self.preview, self.watch = request, on_step, memo, preview, watch
        self.process = process_of(request.pipe.scheduler)
        family, geometry = request.family, request.geometry
        holds_first = family.holds_first(getattr(request.pipe, family.denoisers[0]).config)
        self.adapter = Adapter(LAYOUTS[family.layout], geometry.channels, holds_first)
        self.device = memo.device_of(request.pipe)
        self.meter = Meter(self.device)
        self.step = self.stage = self.encoded = 0
        self.size = self.full = request.sizes[-1]  # of the call that is under way
        self.plans: tuple[StagePlan, ...] = ()
        self.key = (self.full, request.seed, request.schedule.infer_steps)
        self.start: Start | None = memo.starts.get(self.key)
        self.table: tuple[Table, float | None] | None = None  # of a call at full size, with its shift
        self.noise: Tensor | None = None  # likewise, (B, C, T, H, W)
        self.looking = False
        self.handover: Handover | None = None
        self.injected: Tensor | None = None
        self.obeyed: Tensor | None = None
        self.finite: list[Tensor] = []
        self.kept: Kept | None = None
        self.caches: CachedRun

    @property
    def staged(self) -> bool:
        return len(self.request.sizes) > 1

    @property
    def final(self) -> bool:
        return self.stage == len(self.request.sizes) - 1

    @property
    def plan(self) -> StagePlan:
        return self.plans[self.stage]

    def drive(self) -> StagedResult:
        pipe, request = self.request.pipe, self.request
        replaced = {
            "encode_prompt": self._remember(pipe.encode_prompt),
            "prepare_latents": self._prepare(pipe.prepare_latents),
            "_progress_bar_config": {"disable": True},
            **request.guider(),
        }
        once, caching = done_once(pipe), cached(pipe, request.cache, request.schedule.stages)
        with torch.no_grad(), self.meter, once as self.kept, patched(pipe, **replaced), caching as self.caches:
            if self.start is None and request.sizes[0].hw != self.full.hw:
                self._look()
            for size in request.sizes[:-1]:
                with patched(pipe, maybe_free_model_hooks=functools.partial(reset_caches, pipe)):
                    self._call(size, output_type="latent")
                self._check_flags()
                self.stage += 1
            out = self._call(self.full, output_type="np" if request.decode else "latent")
            self.meter.decoded()
            self._check_flags()
        frames = frames_of(out) if request.decode else np.empty((0, 0, 0, 3), dtype=np.float32)
        evaluations = self.caches.evaluations
        return StagedResult(frames, self.plans, self.meter.read(), self.memo.seconds, evaluations)

    def _look(self) -> None:
        """See how the run at full size begins: the pipeline is called, and left before its first step."""
        self.looking = True
        with contextlib.suppress(_Seen), patched(self.request.pipe, maybe_free_model_hooks=lambda: None):
            self._call(self.full, output_type="latent")
        self.looking = False
        if self.start is None:
            raise UnsupportedPipeline(
                f"{type(self.request.pipe).__name__} prepared no latents; it cannot follow a resolution schedule."
            )

    def _call(self, size: LatentSize, output_type: str) -> Any:
        """One ordinary call of the pipeline, at one stage's size.

        Later stages have generators of their own: a scheduler that adds noise must not add the same noise twice.
        """
        request, self.encoded, self.size = self.request, 0, size
        arguments = request.arguments(size, _stage_seed(request.seed, self.stage))
        with patched(request.pipe, scheduler=stage_view(request.pipe.scheduler, self)), self.caches.stage(self.stage):
            return request.pipe(**arguments, output_type=output_type)

    def _remember(self, encode_prompt: Callable[..., Any]) -> Callable[..., Any]:
        """Text is encoded once for all stages and all runs that share a memo."""

        @functools.wraps(encode_prompt)
        def remembered(*args: Any, **kwargs: Any) -> Any:
            number, self.encoded = self.encoded, self.encoded + 1
            if number >= len(self.memo.results):
                wait_for(self.device)
                begun = time.perf_counter()
                self.memo.results.append(encode_prompt(*args, **kwargs))
                wait_for(self.device)
                self.memo.seconds += time.perf_counter() - begun
                if self.meter.running:  # some pipelines encode after their latents: it is no part of the first step
                    self.meter.resume()
            return self.memo.results[number]

        return remembered

    def _prepare(self, prepare_latents: Callable[..., Any]) -> Callable[..., Any]:
        """The pipeline prepares its latents; then ours take their place, of the very same shape."""

        @functools.wraps(prepare_latents)
        def prepared(*args: Any, **kwargs: Any) -> Any:
            out = prepare_latents(*args, **kwargs)
            native = out[0] if isinstance(out, tuple) else out
            self._see_noise(native)
            if self.looking:
                return out
            if self.staged:
                latents = self._latents_like(native)
                out = (latents, *out[1:]) if isinstance(out, tuple) else latents
                self.injected = latents
            if self.stage == 0:
                self.meter.resume()
            return out

        return prepared

    def _see_noise(self, native: Tensor) -> None:
        if self.start is None and self.size.hw == self.full.hw and self.stage == 0:
            scale = float(getattr(self.request.pipe.scheduler, "init_noise_sigma", 1.0))
            self.noise = self.adapter.grid(native, self.full).float().cpu() / scale
            self._see_start()

    def _see_start(self) -> None:
        """Whatever a pipeline does first, its table or its noise: with the second of them the start is known."""
        if self.start is None and self.table is not None and self.noise is not None:
            table, shift = self.table
            self.start = self.memo.starts[self.key] = Start(table, shift, self.noise)
        if self.looking and self.start is not None:
            raise _Seen

    def _latents_like(self, native: Tensor) -> Tensor:
        grid = self.adapter.grid(native, self.size)  # (B, C, T, h, w)
        if self.handover is None:
            noise = self.start.noise if self.start else self.noise
            shape = (*grid.shape[:-2], *self.full.hw)
            source = noise_for(self.request.policy, self.request.seed, shape, native.device, noise)
            scale = float(getattr(self.request.pipe.scheduler, "init_noise_sigma", 1.0))
            self.handover = Handover(self.request.policy, source)
            latents = self.handover.start(self.size) * scale
        else:
            latents = self.handover.switch(self.plans[self.stage - 1], self.plan)
            latents = self.process.state(latents, self.plan.entry)
        if latents.shape != grid.shape:
            raise UnsupportedPipeline(
                f"{type(self.request.pipe).__name__} prepared latents of shape {tuple(grid.shape)} where the "
                f"schedule hands over {tuple(latents.shape)}; it cannot follow a schedule at this size."
            )
        return self.adapter.ungrid(latents, native, self.size)

    def tables_made(self, scheduler: Any, mu: float | None) -> None:
        """The pipeline has set its timesteps: leave one stage's window of the levels that the baseline has."""
        request = self.request
        if self.start is None and self.size.hw == self.full.hw and self.stage == 0:
            self.table = self.process.table(scheduler), shift_of(scheduler, mu)
            self._see_start()
        if not self.plans:
            table, shift = (self.start.table, self.start.shift) if self.start else self.table or (None, None)
            if table is None:
                raise UnsupportedPipeline(f"{type(request.pipe).__name__} sets its timesteps in no known way.")
            self.plans = plan_stages(
                request.schedule, request.sizes, request.policy, table, shift or 1.0, self.process.can_reshift
            )
        if self.staged:
            enter_stage(scheduler, self.plan, self.final)

    def stepping(self, scheduler: Any, x: Tensor, answer: Tensor) -> tuple[Tensor, Tensor]:
        """Before a step: the first of a stage must see exactly what was handed over. What to step, in their place."""
        self._check_obeyed(x)
        if self.handover is None or not self.handover.corrects:
            return x, answer
        level = self.plan.levels[self.step]
        state = self.process.flow(self.adapter.grid(x, self.size).float(), level)
        given = self.process.asked(scheduler, state, self.adapter.grid(answer, self.size).float(), level)
        mended, velocity = self.handover.corrected(state, given, level)
        if mended is state and velocity is given:
            return x, answer
        told = self.process.answer(scheduler, mended, velocity, level)
        return (
            self.adapter.ungrid_step(self.process.state(mended, level), x, self.size),
            self.adapter.ungrid_step(told, answer, self.size),
        )

    def _check_obeyed(self, sample: Tensor) -> None:
        if self.injected is None:
            return
        injected, self.injected = self.adapter.grid(self.injected, self.size), None
        seen = self.adapter.grid(sample, self.size)
        same_shape = injected.shape == seen.shape
        self.obeyed = (injected.to(seen) == seen).all() if same_shape else torch.tensor(False)
        if self.device.type == "cpu":
            self._check_flags()

    def stepped(self, scheduler: Any, x: Tensor, answer: Tensor, out: Any) -> None:
        self.step += 1
        self.meter.step_done()
        if self.kept and self.step == self.request.schedule.infer_steps:
            self.kept.drop()  # decoding needs the memory
        result = out[0] if isinstance(out, tuple) else out.prev_sample
        self.finite.append(torch.isfinite(result.sum(dtype=torch.float32)))  # any NaN or infinity spoils a sum
        if self.device.type == "cpu":
            self._check_flags()
        plan, size = self.plan, self.size
        sigma, after = plan.levels[self.step - 1 : self.step + 1]

        def flow(tensor: Tensor, level: float) -> Tensor:
            return self.process.flow(self.adapter.grid(tensor, size), level)

        def velocity() -> Tensor:
            return self.adapter.grid(self.process.velocity(scheduler, x, answer, out, sigma), size)

        if self.handover is not None and self.step == plan.stage.last and not self.final:
            # A copy: some pipelines write the result into the very latents that were stepped.
            begun, answered = flow(x, sigma).clone(), velocity()
            ended = flow(result, after) if self.process.windowed else begun + (after - sigma) * answered
            self.handover.record(begun, answered, ended, self.step)
        if self.watch:
            self.watch(flow(x, sigma), velocity(), sigma)
        if self.on_step:
            glance = Glance(self.preview, lambda: (flow(x, sigma).float() - sigma * velocity().float())[0])
            try:
                self.on_step(self._event(sigma, glance))
            finally:
                glance.expire()
        self.meter.resume()

    def _event(self, sigma: float, preview: Callable[[], np.ndarray]) -> StepEvent:
        plan = self.plan
        return StepEvent(
            step=self.step,
            steps=self.request.schedule.infer_steps,
            stage=self.stage,
            stages=len(self.plans),
            rate=plan.stage.rate,
            sigma=sigma,
            latent_height=plan.size.height,
            latent_width=plan.size.width,
            seconds=self.meter.host_seconds(),
            memory_bytes=self.meter.last_bytes,
            preview=preview,
        )

    def _check_flags(self) -> None:
        """Read what the steps have found; on a GPU once a stage, as reading waits for the device."""
        obeyed, self.obeyed = self.obeyed, None
        if obeyed is not None and not bool(obeyed):
            raise UnsupportedPipeline(
                f"{type(self.request.pipe).__name__} does not step the latents that it prepared; "
                "it cannot follow a resolution schedule without silent errors."
            )
        flags, self.finite = self.finite, []
        if flags and not bool(torch.stack(flags).all()):
            first = self.step - len(flags) + 1 + [bool(flag) for flag in flags].index(False)
            raise RunFailed(
                f"the latents are not finite at step {first}; try another dtype or a lower guidance.", first
            )

    def release(self) -> None:
        self.injected = self.obeyed = self.noise = self.start = None
        self.memo = RunMemo()  # the experiment's own, if there is one, keeps what is in it
        self.finite.clear()
        if self.handover is not None:
            self.handover.release()
            self.handover = None


def _stage_seed(seed: int, stage: int) -> int:
    """The first stage has the run's own. A generator on the CPU reads 32 bits of a seed, so those must differ."""
    return seed if stage == 0 else int(np.random.SeedSequence((seed, stage)).generate_state(1)[0])


def _as_told(error: Exception, run: _Run) -> Exception:
    """The error a person gets; anything unforeseen stays what it is."""
    if out_of_memory(error):
        peak = run.meter.peak_bytes / 2**30
        return RunFailed(f"out of memory {_when(run)}, at a peak of {peak:.2f} GiB; {_remedy(run)}.", run.step)
    return error


def _when(run: _Run) -> str:
    decoding = run.step == run.request.schedule.infer_steps and run.request.decode
    return "while decoding" if decoding else f"after step {run.step}"


def _remedy(run: _Run) -> str:
    """What lowers the peak where it was: decoding, a stage of full size, or a smaller one."""
    if run.step == run.request.schedule.infer_steps:
        return "use VAE tiling, a smaller size or fewer frames"
    offloaded = bool(getattr(run.request.pipe, "_all_hooks", None))  # as diffusers marks it
    more = "quantised weights" if offloaded else "CPU offload"
    lower = ", a lower rate of this stage" if run.size.hw != run.full.hw else ""
    return f"use a smaller size, fewer frames{lower} or {more}"
