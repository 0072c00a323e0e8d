"""What one run carries from stage to stage: the tables, the noise, the last step, and the latents made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from engine.errors import RunFailed
from engine.noise import NoiseSource
from engine.policies import Policy
from engine.schedule import ResolutionSchedule, Stage
from engine.sigmas import Table, wan_table
from engine.sizes import LatentSize
from engine.transitions import SWITCHES, Switch


@dataclass(frozen=True)
class StagePlan:
    """One stage as it will run: its latent grid and the table of the whole run at its shift."""

    stage: Stage
    size: LatentSize
    table: Table

    @cached_property
    def levels(self) -> list[float]:
        """The whole run's levels as numbers: read once, as reading them from a device waits for it."""
        return self.table.sigmas.tolist()

    @property
    def sigmas(self) -> Tensor:
        """(steps + 1,) the stage's own levels and the one after its last step."""
        return self.table.sigmas[self.stage.first - 1 : self.stage.last + 1]

    @property
    def timesteps(self) -> Tensor:
        """(steps,) what the model is told in this stage."""
        return self.table.timesteps[self.stage.window]


def plan_stages(
    schedule: ResolutionSchedule, sizes: Sequence[LatentSize], policy: Policy, full: Table, shift: float
) -> tuple[StagePlan, ...]:
    """Tables for every stage from the full-resolution run's own table; `shift` is the shift that made it.

    A schedule of one stage gets `full` itself, to the bit, under every policy.
    """
    if len(sizes) == 1:
        return (StagePlan(schedule.stages[0], sizes[0], full),)
    tables = [full.reshifted(ratio) for ratio in policy.shift_ratios(shift, sizes)]
    if policy.name == "lightx2v" and torch.equal(full.sigmas.cpu(), wan_table(schedule.infer_steps, shift).sigmas):
        # The run's own table is LightX2V's: so are the re-shifted ones, down to the truncated integers.
        tables = [_on(wan_table(schedule.infer_steps, shift + k), full) for k in range(len(sizes))]
    return tuple(StagePlan(*parts) for parts in zip(schedule.stages, sizes, tables, strict=True))


class Handover:
    """The state between two stages of one run. Latents are (B, C, T, h, w)."""

    def __init__(self, plans: Sequence[StagePlan], policy: Policy, noise: NoiseSource) -> None:
        self.plans = tuple(plans)
        self._policy, self._noise = policy, noise
        self._last: tuple[Tensor, Tensor, Tensor] | None = None

    def start(self) -> Tensor:
        """The first stage's latents."""
        return self._noise.start(self.plans[0].size.hw)

    def record(self, x: Tensor, velocity: Tensor, stepped: Tensor) -> None:
        """Keep the latest step: what the model saw, what it answered, what the solver made of it."""
        self._last = x, velocity, stepped

    def switch(self, index: int) -> Tensor:
        """The latents that stage `index` starts from, after the stage before it has run."""
        if self._last is None:
            raise RunFailed("a stage ended before any step was taken; this is a bug in the pipeline's driver.")
        x, velocity, stepped = (tensor.float() for tensor in self._last)
        self._last = None
        old, new = self.plans[index - 1], self.plans[index]
        switch = Switch(
            x=x,
            velocity=velocity,
            stepped=stepped,
            step=old.stage.last - 1,
            old=old.levels,
            new=new.levels,
            size=new.size.hw,
            field=lambda: self._noise.field,
            fresh=lambda: self._noise.fresh(new.size.hw),
        )
        return SWITCHES[self._policy.name](switch)

    def release(self) -> None:
        """Drop the tensors, so that a kept reference to the run keeps no memory."""
        self._last = None


def _on(table: Table, like: Table) -> Table:
    return Table(table.sigmas.to(like.sigmas), table.timesteps.to(like.timesteps.device))


def noise_for(policy: Policy, seed: int | torch.Generator, shape: Sequence[int], device: torch.device) -> NoiseSource:
    """A run's noise, drawn on the CPU for an integer seed so that a seed means the same on every device."""
    generator = torch.Generator("cpu").manual_seed(seed) if isinstance(seed, int) else seed
    return NoiseSource(generator, shape, field_first=policy.field_first, device=device)
