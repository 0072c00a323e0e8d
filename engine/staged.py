"""Driving a diffusers pipeline through a schedule: one ordinary call of the pipeline a stage, its loop untouched.

The pipeline computes everything that depends on size because it is called at that stage's size. Two things are replaced
on the instance while a run lasts: the scheduler by a view that holds one stage's window of levels and reports every
step, and `prepare_latents` by a wrapper that hands over the latents of the stage before. Beside that the transformer is
kept from repeating work that no step changes (engine.fixed_work).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.errors import RunFailed, UnsupportedPipeline
from engine.events import OnStep, StepEvent
from engine.fixed_work import Kept, done_once
from engine.handover import Handover, StagePlan, noise_for, plan_stages
from engine.meter import Meter, Readings, wait_for
from engine.policies import Policy
from engine.preview import LatentPreview
from engine.sampler import enter_stage
from engine.schedule import ResolutionSchedule
from engine.sigmas import Table
from engine.sizes import LatentSize
from engine.views import free, out_of_memory, patched, reset_caches, stage_view

Watch = Callable[[Tensor, Tensor, float], None]  # what the model saw, what it answered, the level it was told
FLOW_SCHEDULERS = ("UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler")


@dataclass
class TextMemo:
    """The encoded prompts of one experiment, shared by its runs: kept by call number, as prompts may be anything."""

    results: list[Any] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class StagedRequest:
    """One run of a loaded pipeline. `call` holds the pipeline's own arguments except size, steps and generator."""

    pipe: Any
    call: dict[str, Any]
    schedule: ResolutionSchedule
    policy: Policy
    sizes: tuple[LatentSize, ...]
    pixel_stride: tuple[int, int]
    seed: int
    shift: float
    decode: bool = True  # without, the result has no frames


@dataclass(frozen=True)
class StagedResult:
    """What a run gave: frames (T, H, W, 3) float32 in [0, 1], the stages as they ran, the readings."""

    frames: np.ndarray
    plans: tuple[StagePlan, ...]
    readings: Readings
    text_s: float


def run_staged(
    request: StagedRequest,
    on_step: OnStep | None = None,
    *,
    memo: TextMemo | None = None,
    preview: Callable[[], LatentPreview] | None = None,
    watch: Watch | None = None,
) -> StagedResult:
    """Run a pipeline along a schedule. `watch` sees every step's latents; its time is in no step.

    Raises Cancelled when the consumer did; RunFailed with the step for out-of-memory and not-finite latents;
    UnsupportedPipeline where the pipeline does not step the latents that it was handed. Whatever happens, the pipeline
    is as it was before, and no tensor of the run stays referenced by the error.
    """
    check_scheduler(request.pipe.scheduler)
    run = _Run(request, on_step, memo or TextMemo(), preview, watch)
    try:
        return run.drive()
    except Exception as error:
        problem = _as_told(error, run.step, run.meter)
    finally:
        run.release()
    problem.__context__ = None
    free(request.pipe.device)
    raise problem.with_traceback(None)


def check_scheduler(scheduler: Any) -> None:
    """Refuse schedulers whose noise levels these formulas do not describe (they would run, and be wrong)."""
    name = type(scheduler).__name__
    flow = getattr(scheduler.config, "use_flow_sigmas", True)
    if name not in FLOW_SCHEDULERS or not flow or getattr(scheduler.config, "invert_sigmas", False):
        raise UnsupportedPipeline(
            f"the scheduler {name}{'' if flow else ' without use_flow_sigmas'} cannot follow a resolution schedule; "
            f"use {' or '.join(FLOW_SCHEDULERS)} with flow-matching sigmas."
        )


class _Run:
    """The mutable state of one run."""

    def __init__(
        self,
        request: StagedRequest,
        on_step: OnStep | None,
        memo: TextMemo,
        preview: Callable[[], LatentPreview] | None,
        watch: Watch | None,
    ) -> None:
        self.request, self.on_step, self.memo, self.preview, self.watch = request, on_step, memo, preview, watch
        self.device = torch.device(request.pipe._execution_device)
        self.meter = Meter(self.device)
        self.step = 0
        self.stage = 0
        self.plans: tuple[StagePlan, ...] = ()
        self.handover: Handover | None = None
        self.levels: list[float] = []
        self.injected: Tensor | None = None
        self.obeyed: Tensor | None = None
        self.finite: list[Tensor] = []
        self.kept: Kept | None = None
        self.encoded = 0

    @property
    def staged(self) -> bool:
        return len(self.request.sizes) > 1

    def drive(self) -> StagedResult:
        pipe = self.request.pipe
        replaced = {
            "encode_prompt": self._remember(pipe.encode_prompt),
            "prepare_latents": self._prepare(pipe.prepare_latents),
            "_progress_bar_config": {"disable": True},
        }
        with torch.no_grad(), self.meter, done_once(pipe) as self.kept, patched(pipe, **replaced):
            for size in self.request.sizes[:-1]:
                with patched(pipe, maybe_free_model_hooks=functools.partial(reset_caches, pipe)):
                    self._call(size, output_type="latent")
                self._check_flags()
                self.stage += 1
            decode = self.request.decode
            video = self._call(self.request.sizes[-1], output_type="np" if decode else "latent")
            self.meter.decoded()
            self._check_flags()
        frames = np.asarray(video.frames[0] if decode else np.empty((0, 0, 0, 3)), dtype=np.float32)  # (T, H, W, 3)
        return StagedResult(frames, self.plans, self.meter.read(), self.memo.seconds)

    def _call(self, size: LatentSize, output_type: str) -> Any:
        """One ordinary call of the pipeline, at one stage's size."""
        request, self.encoded = self.request, 0
        stride = request.pixel_stride
        with patched(request.pipe, scheduler=stage_view(request.pipe.scheduler, self)):
            return request.pipe(
                **request.call,
                height=size.height * stride[0],
                width=size.width * stride[1],
                num_inference_steps=request.schedule.infer_steps,
                generator=torch.Generator("cpu").manual_seed(request.seed),
                output_type=output_type,
            )

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
            return self.memo.results[number]

        return remembered

    def _prepare(self, prepare_latents: Callable[..., Any]) -> Callable[..., Any]:
        """The pipeline prepares its latents; then ours take their place, of the very same shape."""

        @functools.wraps(prepare_latents)
        def prepared(*args: Any, **kwargs: Any) -> Any:
            out = prepare_latents(*args, **kwargs)
            native = out[0] if isinstance(out, tuple) else out
            if self.staged:
                latents = self._latents_like(native)
                out = (latents, *out[1:]) if isinstance(out, tuple) else latents
                self.injected = latents
            if self.stage == 0:
                self.meter.resume()
            return out

        return prepared

    def _latents_like(self, native: Tensor) -> Tensor:
        if self.handover is None:
            full = (*native.shape[:-2], *self.request.sizes[-1].hw)
            noise = noise_for(self.request.policy, self.request.seed, full, native.device)
            self.handover = Handover(self.plans, self.request.policy, noise)
            latents = self.handover.start()
        else:
            latents = self.handover.switch(self.stage)
        if latents.shape != native.shape:
            raise UnsupportedPipeline(
                f"{type(self.request.pipe).__name__} prepared latents of shape {tuple(native.shape)} where the "
                f"schedule hands over {tuple(latents.shape)}; it cannot follow a schedule at this size."
            )
        return latents.to(native)

    def tables_made(self, scheduler: Any) -> None:
        """The pipeline has set its timesteps: keep the full run's table, and leave one stage's window."""
        request = self.request
        if not self.plans:
            full = Table(scheduler.sigmas, scheduler.timesteps)
            self.plans = plan_stages(request.schedule, request.sizes, request.policy, full, request.shift)
            self.levels = [level for plan in self.plans for level in plan.levels[plan.stage.window]]
        if self.staged:
            enter_stage(scheduler, self.plans[self.stage], final=self.stage == len(self.plans) - 1)

    def stepping(self, sample: Tensor) -> None:
        """Before a step: the first of a stage must see exactly what was handed over."""
        if self.injected is None:
            return
        injected, self.injected = self.injected, None
        same_shape = injected.shape == sample.shape
        self.obeyed = (injected.to(sample) == sample).all() if same_shape else torch.tensor(False)
        if self.device.type == "cpu":
            self._check_flags()

    def stepped(self, x: Tensor, velocity: Tensor, result: Tensor) -> None:
        self.step += 1
        self.meter.step_done()
        if self.kept and self.step == self.request.schedule.infer_steps:
            self.kept.drop()  # decoding needs the memory
        if self.handover is not None:
            self.handover.record(x, velocity, result)
        self.finite.append(torch.isfinite(result).all())
        if self.device.type == "cpu":
            self._check_flags()
        sigma = self.levels[self.step - 1]
        if self.watch:
            self.watch(x, velocity, sigma)
        if self.on_step:
            glance = _Glance(self.preview, x, velocity, sigma)
            try:
                self.on_step(self._event(sigma, glance))
            finally:
                glance.expire()
        self.meter.resume()

    def _event(self, sigma: float, preview: Callable[[], np.ndarray]) -> StepEvent:
        plan = self.plans[self.stage]
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
        self.injected = self.obeyed = None
        self.finite.clear()
        if self.handover is not None:
            self.handover.release()
            self.handover = None


class _Glance:
    """A step's preview on demand, as long as the callback that got it runs: a kept event keeps no latents."""

    def __init__(self, preview: Callable[[], LatentPreview] | None, x: Tensor, velocity: Tensor, sigma: float) -> None:
        self._preview = preview
        self._latents: tuple[Tensor, Tensor, float] | None = (x, velocity, sigma)

    def __call__(self) -> np.ndarray:
        if self._preview is None or self._latents is None:
            raise LookupError("a preview can be asked for only while its step is reported, in a run that has one")
        x, velocity, sigma = self._latents
        return self._preview()((x.float() - sigma * velocity.float())[0])

    def expire(self) -> None:
        self._latents = None


def _as_told(error: Exception, step: int, meter: Meter) -> Exception:
    """The error a person gets; anything unforeseen stays what it is."""
    if out_of_memory(error):
        remedy = "use a smaller size, fewer frames, lower rates or CPU offload"
        peak = meter.peak_bytes / 2**30
        return RunFailed(f"out of memory after step {step}, at a peak of {peak:.2f} GiB; {remedy}.", step)
    return error
