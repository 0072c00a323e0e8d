"""How the run at full resolution begins: its table of levels and its noise, taken from the pipeline as it makes them.

All noise levels and the noise of every stage derive from it. Where no baseline has shown them, and the first stage is
smaller, the pipeline is called at full size first, and left as soon as it has made both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from torch import Tensor

from engine.errors import UnsupportedPipeline
from engine.patching import patched
from engine.sampling.run_state import RunState
from engine.sampling.shared_start import RunMemo, Start
from engine.schedules.latent_sizes import LatentSize
from engine.switching.scheduler_kinds import config_of, shift_used
from engine.switching.sigma_tables import Table


class _StartSeen(Exception):
    """Ends a call at full size that was made only to see how it begins."""


class StartFinder:
    """The start of a run's baseline: known from an earlier run that shares the memo, or seen in this one's calls."""

    def __init__(self, state: RunState, memo: RunMemo) -> None:
        self._state, self._starts = state, memo.starts
        self._key = (state.full, state.request.seed, state.request.schedule.infer_steps)
        self.start: Start | None = self._starts.get(self._key)
        self.looking = False  # whether the call under way is left once the start is seen
        self._table: tuple[Table, float | None] | None = None  # of a call at full size, with its shift
        self._noise: Tensor | None = None  # likewise, (B, C, T, H, W) float32 on the CPU, of unit variance

    def look(self, call: Callable[[LatentSize, str], Any]) -> None:
        """See how the run at full size begins: the pipeline is called, and left before its first step.

        `call(size, output_type)` calls it. Raises UnsupportedPipeline where it prepares no latents.
        """
        self.looking = True
        pipe = self._state.request.pipe
        with contextlib.suppress(_StartSeen), patched(pipe, maybe_free_model_hooks=lambda: None):
            call(self._state.full, "latent")
        self.looking = False
        if self.start is None:
            raise UnsupportedPipeline(
                f"{type(pipe).__name__} prepared no latents; it cannot follow a resolution schedule."
            )

    @property
    def noise(self) -> Tensor | None:
        """The noise of the run at full size (B, C, T, H, W) float32 on the CPU, of unit variance; None if not seen."""
        return self.start.noise if self.start else self._noise

    def table(self) -> tuple[Table, float]:
        """The table of the run at full size, and the shift that made it (1 where it is not one number).

        Raises UnsupportedPipeline where a pipeline has set none.
        """
        table, shift = (self.start.table, self.start.shift) if self.start else self._table or (None, None)
        if table is None:
            name = type(self._state.request.pipe).__name__
            raise UnsupportedPipeline(f"{name} sets its timesteps in no known way.")
        return table, shift or 1.0

    def see_table(self, scheduler: Any, mu: float | None) -> None:
        """A call has set its timesteps; `mu` is the pipeline's own figure of the shift, where it has one."""
        if self._at_start():
            self._table = self._state.process.table(scheduler), shift_used(config_of(scheduler), mu)
            self._complete()

    def see_noise(self, prepared: Tensor) -> None:
        """A call has prepared its latents, in the pipeline's layout and the scheduler's own scale."""
        if self._at_start():
            noise = self._state.grid(prepared).float().cpu()
            self._noise = noise / noise_scale(self._state.request.pipe.scheduler)
            self._complete()

    def _at_start(self) -> bool:
        return self.start is None and self._state.size.hw == self._state.full.hw and self._state.stage == 0

    def _complete(self) -> None:
        """Whatever a pipeline makes first, its table or its noise: with the second of them the start is known."""
        if self._table is not None and self._noise is not None:
            table, shift = self._table
            self.start = self._starts[self._key] = Start(table, shift, self._noise)
            if self.looking:
                raise _StartSeen

    def release(self) -> None:
        """Drop the tensors; a memo that is shared keeps what is in it."""
        self._starts, self.start, self._table, self._noise = {}, None, None, None


def noise_scale(scheduler: Any) -> float:
    """What a scheduler multiplies unit noise by to get its first state."""
    return float(getattr(scheduler, "init_noise_sigma", 1.0))
