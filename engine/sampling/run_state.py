"""What the parts of one run share: what it is asked for, how its latents are read, and how far it has come."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torch import Tensor

from engine.measuring.meter import Meter
from engine.sampling.latent_layouts import LAYOUTS, Adapter
from engine.sampling.run_request import StagedRequest
from engine.sampling.shared_start import RunMemo
from engine.schedules.latent_sizes import LatentSize
from engine.switching.handover import Handover, StagePlan
from engine.switching.noise_process import process_of


class RunState:
    """The place in a run: `stage` from 0, `step` the number of steps that are done, `size` of the call under way.

    Raises UnsupportedPipeline for a scheduler that `engine.switching.noise_process` does not describe.
    """

    def __init__(self, request: StagedRequest, memo: RunMemo) -> None:
        family = request.family
        holds_first = family.holds_first(getattr(request.pipe, family.denoisers[0]).config)
        self.request = request
        self.process = process_of(request.pipe.scheduler)
        self.adapter = Adapter(LAYOUTS[family.layout], request.geometry.channels, holds_first)
        self.device = memo.device_of(request.pipe)
        self.meter = Meter(self.device)
        self.stage = self.step = 0
        self.size: LatentSize = self.full
        self.plans: tuple[StagePlan, ...] = ()
        self.handover: Handover | None = None

    @property
    def full(self) -> LatentSize:
        """The size of the last stage, and of the baseline."""
        return self.request.sizes[-1]

    @property
    def staged(self) -> bool:
        return len(self.request.sizes) > 1

    @property
    def final(self) -> bool:
        """Whether the last stage is under way."""
        return self.stage == len(self.request.sizes) - 1

    @property
    def plan(self) -> StagePlan:
        """The stage that is under way."""
        return self.plans[self.stage]

    def loading(self) -> AbstractContextManager[None]:
        """Around a move of a whole network: it is in no step. Beside a run's own phases, as with the text, it stays."""
        own = self.meter.phase in ("condition", "step", "decode")
        return self.meter.within("load") if own else nullcontext()

    def grid(self, x: Tensor) -> Tensor:
        """Latents of the call under way, in the pipeline's layout -> (B, C, T, h, w), its dtype and device; a view."""
        return self.adapter.grid(x, self.size)

    def flow(self, x: Tensor, sigma: float) -> Tensor:
        """The scheduler's state at a level, as it is -> a rectified flow's (B, C, T, h, w); may be a view of `x`."""
        return self.process.flow(self.grid(x), sigma)

    def release(self) -> None:
        """Drop the tensors, so that a kept reference to the run keeps no memory."""
        if self.handover is not None:
            self.handover.release()
            self.handover = None
