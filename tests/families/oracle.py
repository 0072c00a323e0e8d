"""A denoiser that knows its target, put in front of any scheduler: it answers in that scheduler's own words.

What the network computes is thrown away, so every family and scheduler can be checked for exactness: levels, layout
and prediction type all have to be right for the target to come out. Written from the schedulers' own definitions,
not from `engine.switching.noise_process`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import engine.sampling.stage_call
from engine.sampling.latent_layouts import LAYOUTS, Adapter
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest
from engine.sampling.stage_view import TablesMade, stage_view
from engine.sampling.step_watch import StepWatch


@dataclass
class Seen:
    """One step, in the words of a rectified flow: latents (B, C, T, h, w)."""

    x: Tensor
    velocity: Tensor
    sigma: float

    @property
    def x0(self) -> Tensor:
        return self.x - self.sigma * self.velocity

    @property
    def noise(self) -> Tensor:
        return self.x + (1 - self.sigma) * self.velocity


@dataclass
class Told:
    """What an oracle run saw: every step, and what the solver's last step ended with, on the grid."""

    steps: list[Seen] = field(default_factory=list)
    final: Tensor | None = None


def target(like: Tensor) -> Tensor:
    """One colour a channel and frame, so that any resize keeps it: (B, C, T, h, w)."""
    colours = torch.cos(torch.arange(like.shape[1] * like.shape[2]).float())
    return colours.view(1, like.shape[1], like.shape[2], 1, 1).expand_as(like).clone()


def answer(scheduler: Any, index: int, t: Tensor, x: Tensor, x0: Tensor) -> Tensor:
    """What a perfect network says of `x` at a step, as the scheduler reads it."""
    config = scheduler.config
    if type(scheduler).__name__ == "FlowMatchEulerDiscreteScheduler" or config.get("use_flow_sigmas"):
        sigma = float(scheduler.sigmas[index])
        return (x0 - x) / (1 - sigma) if config.get("invert_sigmas") else (x - x0) / sigma
    if "Euler" in type(scheduler).__name__:
        sigma = float(scheduler.sigmas[index])
        noise, signal = (x - x0) / sigma, 1 / (1 + sigma**2) ** 0.5
    else:
        kept = float(scheduler.alphas_cumprod[int(t)])
        signal = kept**0.5
        noise = (x - signal * x0) / (1 - kept) ** 0.5
    if config.prediction_type == "sample":
        return x0
    if config.prediction_type == "epsilon":
        return noise
    return signal * noise - (1 - signal**2) ** 0.5 * x0


@contextlib.contextmanager
def oracle(told: Told, adapter: Adapter) -> Iterator[None]:
    """While the block runs, every staged run's scheduler is answered by the oracle."""
    original = engine.sampling.stage_call.stage_view

    def view_of(base: Any, tables_made: TablesMade, steps: StepWatch) -> Any:
        view = stage_view(base, tables_made, steps)
        inner, counter = view.step, [0]
        signature = inspect.signature(inner)

        @functools.wraps(inner)
        def step(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            x = given["sample"]
            grid = adapter.grid(x, steps.state.size)
            x0 = _laid_out(adapter, target(grid), x)
            given["model_output"] = answer(view, counter[0], given["timestep"], x.float(), x0)
            counter[0] += 1
            out = inner(**given)
            result = out[0] if isinstance(out, tuple) else out.prev_sample
            told.final = adapter.grid(result, steps.state.size)
            return out

        view.step = step
        return view

    engine.sampling.stage_call.stage_view = view_of
    try:
        yield
    finally:
        engine.sampling.stage_call.stage_view = original


def _laid_out(adapter: Adapter, grid: Tensor, x: Tensor) -> Tensor:
    """A grid in the layout in which steps are taken: some that hold their first frame unpack the others for it."""
    unpacked = adapter.holds_first and x.ndim == 5 and not adapter.layout.channels_last
    return grid if unpacked else adapter.layout.write(grid)


def oracle_run(asked: StagedRequest) -> Told:
    """Run a request with the oracle in the network's place."""
    told = Told()
    denoiser = getattr(asked.pipe, asked.family.denoisers[0])
    adapter = Adapter(
        LAYOUTS[asked.family.layout],
        asked.geometry.channels,
        asked.family.holds_first(denoiser.config),
    )

    def watch(x: Tensor, velocity: Tensor, sigma: float) -> None:
        told.steps.append(Seen(x.float().clone(), velocity.float().clone(), sigma))

    with oracle(told, adapter):
        run_staged(asked, watch=watch)
    return told
