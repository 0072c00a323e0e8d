"""What benchmarks.gpu measures on one device, each as figures for its record."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.random_weights import Subject, subject
from engine.caches.cache_choice import CacheChoice
from engine.costs.flops_count import forward_flops, schedule_cost
from engine.experiments.presets import load_preset
from engine.measuring.device import wait_for
from engine.models.acceleration import accelerate
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest, StagedResult
from engine.sampling.shared_start import RunMemo
from engine.schedules.latent_sizes import LatentSize, full_size, latent_size, stage_sizes
from engine.schedules.schedule import ResolutionSchedule, flat
from engine.switching.policies import DEFAULT_POLICY, policy_named

RATES = (1.0, 0.75, 0.5)
FLAT_PAIRS, FLAT_STEPS = 4, 4


class Measures:
    """One device, and the pipeline that was built last: the next measure of the same model takes it."""

    def __init__(self, device: torch.device, small: bool) -> None:
        self.device, self.small = device, small
        self._subject: Subject | None = None

    def ceiling(self) -> dict[str, Any]:
        """The fastest matrix product of this device, in TFLOP/s."""
        n = 8192 if self.device.type == "cuda" else 1024
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        a, b = (torch.randn((n, n), device=self.device, dtype=dtype) for _ in range(2))
        seconds = self._seconds(lambda: a @ b, repeats=20)
        return {"tflops": 2 * n**3 / seconds / 1e12, "dtype": str(dtype).removeprefix("torch."), "n": n}

    def step(self, name: str, backend: str | None, compiled: bool, rate: float) -> dict[str, Any]:
        """Seconds of one step: the passes of guidance, as the pipeline makes them, without the solver."""
        changed = backend is not None or compiled
        subject = self._fresh(name) if changed else self._of(name)
        if compiled:
            torch.compiler.reset()  # or graphs of items before this would count toward the most there may be
        accelerate(subject.pipe, backend, compiled)
        if compiled:  # all sizes before any is timed: from the second on, one graph serves them all
            for other in RATES:
                self.forward(subject, other)()
        spec, size = subject.spec, _size(subject, rate)
        seconds = subject.passes * self._seconds(self.forward(subject, rate), repeats=5)
        passes = subject.passes * subject.batch
        flops = passes * forward_flops(spec.transformer, size, spec.defaults.max_sequence_length)
        if changed:
            self._subject = None  # for good
        return {"seconds": seconds, "tflops": flops / seconds / 1e12, "latent": size.hw, "flops": flops}

    def forward(self, subject: Subject, rate: float) -> Callable[[], Any]:
        """One forward pass at a rate, as the pipeline calls its network."""
        spec, network, batch, size = subject.spec, subject.pipe.transformer, subject.batch, _size(subject, rate)
        shape = (batch, spec.geometry.channels, *((size.frames,) if spec.family.output == "video" else ()), *size.hw)
        kwargs = {
            "hidden_states": torch.randn(shape, device=self.device, dtype=network.dtype),
            "timestep": torch.tensor([500.0], device=self.device).expand(batch),
            "encoder_hidden_states": _both(subject, "prompt_embeds"),
            "return_dict": False,
        }
        if "pooled_prompt_embeds" in subject.call:
            kwargs["pooled_projections"] = _both(subject, "pooled_prompt_embeds")

        def forward() -> Any:
            with torch.no_grad():
                return network(**kwargs)

        return forward

    def run(self, name: str, preset: str) -> dict[str, Any]:
        """A whole run along a preset, after a warm-up of every size: seconds, peaks by phase, evaluations."""
        subject = self._of(name)
        found = load_preset(preset, subject.spec.defaults.steps)
        schedule = found.schedule.with_steps(subject.spec.defaults.steps)
        self._staged(subject, flat(1))
        for rate in {stage.rate for stage in schedule.stages} - {1.0}:
            self.forward(subject, rate)()
        result = self._staged(subject, schedule, found.cache)
        readings, own = result.readings, subject.spec.defaults
        cost = schedule_cost(
            subject.spec, schedule, height=own.height, width=own.width, frames=own.frames, guidance=own.guidance
        )
        return {
            "condition_s": readings.condition_s,
            "denoise_s": readings.denoise_s,
            "decode_s": readings.decode_s,
            "steps_s": [round(step, 5) for step in readings.steps_s],
            "before_bytes": readings.before_bytes,
            "denoise_peak_bytes": max(readings.steps_bytes),
            "decode_bytes": readings.decode_bytes,
            "peak_bytes": readings.peak_bytes,
            "reserved_bytes": readings.reserved_bytes,
            "computed": result.evaluations.computed,
            "skipped": result.evaluations.skipped,
            "by_flops": cost.speedup,
            "cached": found.cache is not None,
        }

    def flat(self, name: str) -> dict[str, Any]:
        """A flat run against the bare pipeline call, in pairs of few steps."""
        subject, ratios = self._of(name), []
        schedule, memo = flat(FLAT_STEPS), RunMemo()
        for _ in range(FLAT_PAIRS):
            begun = time.perf_counter()
            self._staged(subject, schedule, memo=memo)
            wait_for(self.device)
            driven = time.perf_counter() - begun
            request = self._request(subject, schedule)
            arguments = request.arguments(request.sizes[-1], torch.Generator("cpu").manual_seed(0))
            begun = time.perf_counter()
            subject.pipe(**arguments, output_type="np")
            wait_for(self.device)
            ratios.append(driven / (time.perf_counter() - begun))
        return {"ratio_median": statistics.median(ratios[1:]), "ratios": ratios[1:]}

    def _staged(
        self,
        subject: Subject,
        schedule: ResolutionSchedule,
        cache: CacheChoice | None = None,
        memo: RunMemo | None = None,
    ) -> StagedResult:
        return run_staged(self._request(subject, schedule, cache), memo=memo)

    def _request(
        self, subject: Subject, schedule: ResolutionSchedule, cache: CacheChoice | None = None
    ) -> StagedRequest:
        spec, own = subject.spec, subject.spec.defaults
        full = full_size(spec.geometry, own.height, own.width, own.frames)
        return StagedRequest(
            pipe=subject.pipe,
            family=spec.family,
            call=subject.call,
            schedule=schedule,
            policy=policy_named(DEFAULT_POLICY),
            sizes=stage_sizes(schedule, full, spec.geometry.patch),
            geometry=spec.geometry,
            seed=0,
            cache=cache,
        )

    def _seconds(self, what: Callable[[], Any], repeats: int) -> float:
        """The median time of a call, after two that warm up; each waits for the device."""
        times = []
        for number in range(repeats + 2):
            wait_for(self.device)
            begun = time.perf_counter()
            what()
            wait_for(self.device)
            if number >= 2:
                times.append(time.perf_counter() - begun)
        return statistics.median(times)

    def _of(self, name: str) -> Subject:
        if self._subject is None or self._subject.spec.id != name:
            return self._fresh(name)
        return self._subject

    def _fresh(self, name: str) -> Subject:
        self.drop()
        self._subject = subject(name, self.device, self.small)
        return self._subject

    def drop(self) -> None:
        """Let go of the pipeline, and give its memory back."""
        self._subject = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _size(subject: Subject, rate: float) -> LatentSize:
    own, geometry = subject.spec.defaults, subject.spec.geometry
    return latent_size(full_size(geometry, own.height, own.width, own.frames), rate, geometry.patch)


def _both(subject: Subject, name: str) -> Any:
    """What a pass is given of the prompt: the negative one before it, where one pass takes both."""
    given = subject.call[name]
    return given if subject.batch == 1 else torch.cat([subject.call[f"negative_{name}"], given])
