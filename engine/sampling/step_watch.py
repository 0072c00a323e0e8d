"""Every step of a run as its scheduler takes it: corrected, checked, kept for the next switch, and reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.errors import RunFailed, UnsupportedPipeline
from engine.measuring.late_flags import LateFlags
from engine.measuring.step_event import OnStep, StepEvent
from engine.models.preview import Glance, LatentPreview
from engine.sampling.done_once import Kept
from engine.sampling.run_state import RunState

# A step's state x and velocity, (B, C, T, h, w) as a rectified flow's, and its sigma. They may be the very tensors that
# the pipeline goes on with: copy what is kept, write into none.
Watch = Callable[[Tensor, Tensor, float], None]


class StepWatch:
    """The listener of a run's stage views (`engine.sampling.stage_view.StepListener`).

    Raises UnsupportedPipeline where a stage did not begin with what was handed over, and RunFailed with the first step
    whose result is not finite: on the CPU at once, on a GPU within a few steps, as nothing waits for the device, and
    after the last step in any case.
    """

    def __init__(
        self,
        state: RunState,
        on_step: OnStep | None,
        preview: Callable[[], LatentPreview] | None,
        watch: Watch | None,
    ) -> None:
        self.state = state
        self.done_once: Kept | None = None  # dropped after the last step, as decoding needs the memory
        self._on_step, self._preview, self._watch = on_step, preview, watch
        self._handed_over: Tensor | None = None  # what a stage's first step has to see, in the pipeline's layout
        self._flags = LateFlags(state.device)

    def expect(self, latents: Tensor) -> None:
        """The next step is to be taken from these very latents."""
        self._handed_over = latents

    def stepping(self, scheduler: Any, x: Tensor, model_output: Tensor) -> tuple[Tensor, Tensor]:
        """Before a step: state and model output to take it with, in the layout and dtype of those that came."""
        self._check_obeyed(x)
        self._check_loop()
        state, process, handover = self.state, self.state.process, self.state.handover
        if handover is None or not handover.corrects:
            return x, model_output
        sigma = state.plan.levels[state.step]
        before = process.flow(state.grid(x).float(), sigma)
        predicted = process.predicted_velocity(scheduler, before, state.grid(model_output).float(), sigma)
        after, velocity = handover.corrected(before, predicted, sigma)
        if after is before and velocity is predicted:
            return x, model_output
        output = process.model_output(scheduler, after, velocity, sigma)
        return (
            state.adapter.ungrid_step(process.state(after, sigma), x, state.size),
            state.adapter.ungrid_step(output, model_output, state.size),
        )

    def stepped(self, scheduler: Any, x: Tensor, model_output: Tensor, out: Any) -> None:
        """After a step: `x` and `model_output` as it was taken with, `out` what the scheduler returned."""
        state = self.state
        state.step += 1
        last = state.step == state.request.schedule.infer_steps
        state.meter.step_done("decode" if last else "step")
        if self.done_once and last:
            self.done_once.drop()
        result = out[0] if isinstance(out, tuple) else out.prev_sample
        finite = torch.isfinite(result.sum(dtype=torch.float32))  # any NaN or infinity spoils a sum
        told = f"the latents are not finite at step {state.step}; try another dtype or a lower guidance."
        self._flags.ask(finite, RunFailed(told, state.step))
        self._flags.check(wait=last)  # nothing is decoded that is not known to be sound
        sigma = state.plan.levels[state.step - 1]

        def velocity() -> Tensor:
            return state.grid(state.process.velocity(scheduler, x, model_output, out, sigma))

        if state.handover is not None and state.step == state.plan.stage.last and not state.final:
            self._record(x, velocity(), result)
        with state.meter.within(None):
            if self._watch:
                self._watch(state.flow(x, sigma), velocity(), sigma)
            if self._on_step:
                glance = Glance(self._preview, lambda: (state.flow(x, sigma).float() - sigma * velocity().float())[0])
                try:
                    self._on_step(self._event(sigma, glance))
                finally:
                    glance.expire()

    def release(self) -> None:
        """Drop the tensors, so that a kept reference to the run keeps no memory."""
        self._handed_over = None
        self._flags.drop()

    def _check_loop(self) -> None:
        """The meter must have been told that the loop began."""
        if self.state.meter.phase != "step":
            raise UnsupportedPipeline(
                f"{type(self.state.request.pipe).__name__} opens no progress bar before its loop; "
                "what its steps take cannot be told from what it prepares."
            )

    def _check_obeyed(self, x: Tensor) -> None:
        if self._handed_over is None:
            return
        expected, self._handed_over = self.state.grid(self._handed_over), None
        seen = self.state.grid(x)
        error = UnsupportedPipeline(
            f"{type(self.state.request.pipe).__name__} does not step the latents that it prepared; "
            "it cannot follow a resolution schedule without silent errors."
        )
        if expected.shape != seen.shape:
            raise error
        self._flags.ask((expected.to(seen) == seen).all(), error)
        self._flags.check()

    def _record(self, x: Tensor, velocity: Tensor, result: Tensor) -> None:
        """Keep a stage's last step for the switch: the state before it, its velocity, the state after it."""
        state = self.state
        assert state.handover is not None
        sigma, after = state.plan.levels[state.step - 1 : state.step + 1]
        begun = state.flow(x, sigma).clone()  # some pipelines write the result into the very latents that were stepped
        ended = state.flow(result, after) if state.process.windowed else begun + (after - sigma) * velocity
        state.handover.record(begun, velocity, ended, state.step)

    def _event(self, sigma: float, preview: Callable[[], np.ndarray]) -> StepEvent:
        state, plan = self.state, self.state.plan
        return StepEvent(
            step=state.step,
            steps=state.request.schedule.infer_steps,
            stage=state.stage,
            stages=len(state.plans),
            rate=plan.stage.rate,
            sigma=sigma,
            latent_height=plan.size.height,
            latent_width=plan.size.width,
            seconds=state.meter.host_seconds(),
            memory_bytes=state.meter.last_bytes,
            preview=preview,
        )
