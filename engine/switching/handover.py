"""What one run carries from stage to stage: the tables, the noise, the last step, and the latents made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from engine.errors import InvalidInput, RunFailed
from engine.schedules.latent_sizes import LatentSize
from engine.schedules.schedule import ResolutionSchedule, Stage
from engine.switching.anchor import Anchor
from engine.switching.noise_field import NoiseSource, Size
from engine.switching.policies import Policy
from engine.switching.sigma_tables import Table, wan_table
from engine.switching.switches import SWITCHES, Switch


@dataclass(frozen=True)
class StagePlan:
    """One stage as it will run: its latent grid and the table of the whole run at its shift."""

    stage: Stage
    size: LatentSize
    table: Table

    @cached_property
    def levels(self) -> list[float]:
        """The whole run's n + 1 levels as numbers: read once, as reading them from a device waits for it."""
        return self.table.sigmas.tolist()

    @property
    def entry(self) -> float:
        """The level of the stage's first step."""
        return self.levels[self.stage.first - 1]

    @property
    def sigmas(self) -> Tensor:
        """(steps + 1,) the stage's own levels and the one after its last step; a view of the table's."""
        return self.table.sigmas[self.stage.first - 1 : self.stage.last + 1]

    @property
    def counted(self) -> Tensor:
        """`sigmas` in the scheduler's own numbers."""
        return self.table.counted[self.stage.first - 1 : self.stage.last + 1]

    @property
    def timesteps(self) -> Tensor:
        """(steps,) this stage's timesteps as the model gets them, 0..1000; a view of the table's."""
        return self.table.timesteps[self.stage.window]


def plan_stages(
    schedule: ResolutionSchedule,
    sizes: Sequence[LatentSize],
    policy: Policy,
    full: Table,
    shift: float,
    can_reshift: bool = True,
) -> tuple[StagePlan, ...]:
    """Tables for every stage from the full-resolution run's own table; `shift` is the shift that made it.

    Their tensors keep dtype and device of `full`'s, and may be them.

    A schedule of one stage gets `full` itself, to the bit, under every policy. So does every stage of a model that was
    trained on a fixed grid of levels (`can_reshift` False); for policies that live by other levels InvalidInput is
    raised there.
    """
    if len(sizes) == 1:
        return (StagePlan(schedule.stages[0], sizes[0], full),)
    if not can_reshift:
        if policy.needs_reshift or policy.rule not in (None, "none"):
            raise InvalidInput(
                "policy",
                f"policy {policy.name} gives every stage noise levels of its own, and this model knows only its "
                "trained ones; use anchored, coherent, bottleneck, lightx2v or jenga, without a rule of the shift.",
            )
        return tuple(StagePlan(stage, size, full) for stage, size in zip(schedule.stages, sizes, strict=True))
    tables = [full.reshifted(ratio) for ratio in policy.shift_ratios(shift, sizes)]
    if policy.name == "lightx2v" and torch.equal(full.sigmas.cpu(), wan_table(schedule.infer_steps, shift).sigmas):
        # The run's own table is LightX2V's: so are the re-shifted ones, down to the truncated integers.
        tables = [_on(wan_table(schedule.infer_steps, shift + k), full) for k in range(len(sizes))]
    return tuple(StagePlan(*parts) for parts in zip(schedule.stages, sizes, tables, strict=True))


class Handover:
    """The state between two stages of one run, as a rectified flow's.

    Latents, velocities and noise are (B, C, T, h, w), computed with in float32 on the device of the latents; sigmas are
    0..1. One run, one instance, one thread: in each stage `corrected` before every step where `corrects`, `record`
    after the last step, and then `switch`.
    """

    def __init__(self, policy: Policy, noise: NoiseSource) -> None:
        self._policy, self._noise = policy, noise
        self._anchor = Anchor(lambda: noise.field, noise.size) if policy.anchors else None
        self._last: tuple[Tensor, Tensor, Tensor, int] | None = None

    def start(self, size: LatentSize) -> Tensor:
        """The first stage's latents (B, C, T, *size) float32: unit noise. At full size they may be the field itself."""
        return self._noise.start(size.hw)

    @property
    def corrects(self) -> bool:
        """Whether `corrected` has to see every step before it is taken."""
        return self._anchor is not None

    def corrected(self, x: Tensor, velocity: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """State and velocity that a step is to be taken with, given the model's; float32.

        Where nothing is to be corrected they are the very tensors that came (a state of another dtype is float32 then
        too). Keeps the estimate for the steps to come, and writes into nothing.
        """
        if self._anchor is None:
            return x, velocity
        x = x.float()
        predicted = x - sigma * velocity.float()
        corrected, x0 = self._anchor.corrected(x, predicted, sigma)
        if corrected is x and x0 is predicted:
            return x, velocity
        return corrected, (corrected - x0) / sigma

    def record(self, x: Tensor, velocity: Tensor, stepped: Tensor, step: int) -> None:
        """Keep a stage's last step, counted from 1: state `x` and its velocity, and the solver's state after it.

        `x` and `velocity` at the step's own sigma, `stepped` at the next; any dtype. They are kept as they are until
        `switch` or `release`: whoever goes on writing into one of them gives a copy. The three may share memory with
        each other.
        """
        self._last = x, velocity, stepped, step

    def switch(self, old: StagePlan, new: StagePlan) -> Tensor:
        """The latents that stage `new` starts from, after `old` has run: (B, C, T, *new.size) float32.

        At the level `new.entry`, except by the policy `lightx2v`, which stays at the level just left. Raises RunFailed
        where `record` has not seen the last step of `old`.
        """
        if self._last is None or self._last[3] != old.stage.last:
            raise RunFailed("a stage ended before its last step was taken; this is a bug in the pipeline's driver.")
        x, velocity, stepped = (tensor.float() for tensor in self._last[:3])
        self._last = None
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
            known=lambda: self._known(new.size.hw, old.levels[old.stage.last]),
        )
        return SWITCHES[self._policy.way](switch)

    def _known(self, size: Size, level: float) -> Tensor:
        assert self._anchor is not None, "only an anchoring policy asks what the run knows"
        return self._anchor.expect(size, level)

    def release(self) -> None:
        """Drop the tensors, so that a kept reference to the run keeps no memory."""
        self._last = self._anchor = None


def _on(table: Table, like: Table) -> Table:
    return Table(table.sigmas.to(like.sigmas), table.timesteps.to(like.timesteps.device))


def noise_for(
    policy: Policy,
    seed: int | torch.Generator,
    shape: Sequence[int],
    device: torch.device | str,
    field: Tensor | None = None,
) -> NoiseSource:
    """A run's noise, drawn on the CPU for an integer seed so that a seed means the same on every device.

    `shape` is the full latents' (B, C, T, H, W); noise is float32 of unit variance on `device`. `field` of that shape
    is the baseline's own start noise, where it is at hand; it is copied only to change its dtype or device.
    """
    generator = torch.Generator("cpu").manual_seed(seed) if isinstance(seed, int) else seed
    return NoiseSource(generator, shape, field_first=policy.field_first, device=device, field=field)
