"""How close variable resolution comes to what FLOPs promise, at published sizes. `python -m benchmarks.gpu`.

Random weights at the published configs of Wan 2.1 1.3B (480x832, 81 frames) and Stable Diffusion 3 (1024x1024): times
do not depend on what weights say. Every item is written as soon as it is measured; no item is begun after `--minutes`,
and the next call goes on. `--small` runs the same code on two-layer networks, for machines without a GPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.random_weights import Subject, subject
from engine.caches.choice import CacheChoice
from engine.cost import forward_flops, schedule_cost
from engine.errors import InvalidInput
from engine.memo import RunMemo
from engine.meter import wait_for
from engine.models.acceleration import accelerate
from engine.policies import DEFAULT_POLICY, policy_named
from engine.presets import load_preset
from engine.request import StagedRequest
from engine.schedule import ResolutionSchedule, flat
from engine.sizes import full_size, latent_size, stage_sizes
from engine.staged import run_staged

MODELS = ("wan2.1-1.3b", "sd3-medium")
RATES = (1.0, 0.75, 0.5)
BACKENDS = ("native", "_native_flash", "_native_cudnn", "_native_efficient", "flash", "_flash_3", "sage")
PRESETS = (
    "lightx2v-wan_t2v",
    "lightx2v-wan_t2v_U",
    "lightx2v-wan_i2v",
    "lightx2v-wan_i2v_U",
    "lightx2v-wan_t2v_U_teacache",
)
Item = tuple[str, Callable[[], dict[str, Any]]]


class Bench:
    """One device's record: what is measured already, and what is left."""

    def __init__(self, out: Path, device: torch.device, small: bool) -> None:
        self.out, self.device, self.small = out, device, small
        self.record: dict[str, Any] = json.loads(out.read_text("utf-8")) if out.is_file() else {"items": {}}
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        if self.record.setdefault("device", name) != name:
            raise SystemExit(f"{out} holds figures of {self.record['device']}; give --out another name for {name}.")
        self.record |= {"torch": torch.__version__, "small": small}
        self._subject: Subject | None = None

    def items(self) -> Iterator[Item]:
        """Everything there is to measure, the cheap and needed first."""
        yield "ceiling", self.ceiling
        for name in MODELS:
            for rate in RATES:
                yield f"step/{name}/default/eager/{rate:g}", partial(self.step, name, None, False, rate)
        yield f"flat/{MODELS[0]}", partial(self.flat, MODELS[0])
        for name in MODELS:
            for preset in ("flat", *PRESETS):
                if "wan" in name or "teacache" not in preset:
                    yield f"run/{name}/{preset}", partial(self.run, name, preset)
        for name in MODELS:
            for rate in RATES:
                yield f"step/{name}/default/compiled/{rate:g}", partial(self.step, name, None, True, rate)
        for name in MODELS:  # last: a backend stays set for the whole process
            for backend in BACKENDS:
                for rate in RATES:
                    yield (
                        f"step/{name}/{backend}/eager/{rate:g}",
                        partial(self.step, name, backend, False, rate),
                    )

    def measure(self, minutes: float, only: str) -> bool:
        """Measure what is left until the time is up; whether nothing is left."""
        end = time.monotonic() + 60 * minutes
        for key, item in self.items():
            if key in self.record["items"] or only not in key:
                continue
            if time.monotonic() > end:
                return False
            try:
                found = item()
            except (InvalidInput, RuntimeError, NotImplementedError) as error:
                found = {"failed": (str(error).strip().splitlines() or [type(error).__name__])[0][:300]}
            self.record["items"][key] = found
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self.out.write_text(json.dumps(self.record, indent=1) + "\n", "utf-8")
            print(key, json.dumps(found), flush=True)
        return True

    def ceiling(self) -> dict[str, Any]:
        """The fastest matrix product of this device, in TFLOP/s."""
        n = 8192 if self.device.type == "cuda" else 1024
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        a, b = (torch.randn((n, n), device=self.device, dtype=dtype) for _ in range(2))
        seconds = self._seconds(lambda: a @ b, repeats=20)
        return {"tflops": 2 * n**3 / seconds / 1e12, "dtype": str(dtype).removeprefix("torch."), "n": n}

    def step(self, name: str, backend: str | None, compiled: bool, rate: float) -> dict[str, Any]:
        """Seconds of one step: the passes of guidance, as the pipeline makes them, without the solver."""
        subject = self._fresh(name) if backend or compiled else self._of(name)
        accelerate(subject.pipe, subject.spec.family, backend, compiled)
        if compiled:  # as in a run: the first size is compiled as it is, the second for all others
            for other in RATES:
                self._pass(subject, other)()
        spec, own = subject.spec, subject.spec.defaults
        size = latent_size(full_size(spec.geometry, own.height, own.width, own.frames), rate, spec.geometry.patch)
        seconds = 2 * self._seconds(self._pass(subject, rate), repeats=5)
        flops = 2 * forward_flops(spec.transformer, size, own.max_sequence_length)
        if backend or compiled:
            self._subject = None  # changed for good
        return {"seconds": seconds, "tflops": flops / seconds / 1e12, "latent": size.hw, "flops": flops}

    def _pass(self, subject: Subject, rate: float) -> Callable[[], Any]:
        """One forward pass at a rate, as the pipeline calls its network."""
        spec, own, network = subject.spec, subject.spec.defaults, subject.pipe.transformer
        size = latent_size(full_size(spec.geometry, own.height, own.width, own.frames), rate, spec.geometry.patch)
        shape = (1, spec.geometry.channels, *((size.frames,) if spec.family.output == "video" else ()), *size.hw)
        kwargs = {
            "hidden_states": torch.randn(shape, device=self.device, dtype=network.dtype),
            "timestep": torch.tensor([500.0], device=self.device),
            "encoder_hidden_states": subject.call["prompt_embeds"],
            "return_dict": False,
        }
        if "pooled_prompt_embeds" in subject.call:
            kwargs["pooled_projections"] = subject.call["pooled_prompt_embeds"]

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
            self._pass(subject, rate)()
        result = self._staged(subject, schedule, found.cache)
        readings, own = result.readings, subject.spec.defaults
        cost = schedule_cost(
            subject.spec, schedule, height=own.height, width=own.width, frames=own.frames, guidance=own.guidance
        )
        return {
            "denoise_s": readings.denoise_s,
            "decode_s": readings.decode_s,
            "steps_s": [round(step, 5) for step in readings.steps_s],
            "denoise_peak_bytes": max(readings.steps_bytes),
            "peak_bytes": readings.peak_bytes,
            "by_flops": cost.speedup,
            "cached": found.cache is not None,
        }

    def flat(self, name: str) -> dict[str, Any]:
        """A flat run against the bare pipeline call, in pairs of few steps."""
        subject, ratios = self._of(name), []
        schedule, memo = flat(4), RunMemo()
        for _ in range(4):
            begun = time.perf_counter()
            self._staged(subject, schedule, memo=memo)
            wait_for(self.device)
            driven = time.perf_counter() - begun
            request = self._request(subject, schedule)
            begun = time.perf_counter()
            subject.pipe(**request.arguments(request.sizes[-1], 0), output_type="np")
            wait_for(self.device)
            ratios.append(driven / (time.perf_counter() - begun))
        return {"ratio_median": statistics.median(ratios[1:]), "ratios": ratios[1:]}

    def _staged(
        self,
        subject: Subject,
        schedule: ResolutionSchedule,
        cache: CacheChoice | None = None,
        memo: RunMemo | None = None,
    ) -> Any:
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
        self._subject = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._subject = subject(name, self.device, self.small)
        return self._subject


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/gpu.json"))
    parser.add_argument("--minutes", type=float, default=8.0, help="no item is begun after this")
    parser.add_argument("--small", action="store_true", help="two-layer networks: the form for a CPU")
    parser.add_argument("--only", default="", help="items whose name holds this")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not options.small:
        parser.error("there is no GPU here; --small runs the same code on small networks.")
    bench = Bench(options.out, device, options.small)
    done = bench.measure(options.minutes, options.only)
    print(table(bench.record))
    print("\nAll is measured." if done else "\nThe time is up; the same command goes on.")


def table(record: dict[str, Any]) -> str:
    """The record as Markdown: steps against the ceiling, runs against what FLOPs predict."""
    items = record["items"]
    ceiling = items.get("ceiling", {}).get("tflops")
    lines = [f"{record['device']}, torch {record['torch']}" + (", small networks" if record["small"] else "")]
    if ceiling:
        lines.append(f"Matrix products: {ceiling:.1f} TFLOP/s ({items['ceiling']['dtype']}).")
    lines += ["", "| step | rate | seconds | TFLOP/s | of the ceiling |", "|---|---|---|---|---|"]
    for key, found in items.items():
        if key.startswith("step/"):
            _, name, backend, mode, rate = key.split("/")
            if "failed" in found:
                lines.append(f"| {name}, {backend}, {mode} | {rate} | {found['failed'][:60]} | | |")
                continue
            share = f"{found['tflops'] / ceiling:.0%}" if ceiling else ""
            lines.append(
                f"| {name}, {backend}, {mode} | {rate} | {found['seconds']:.4f} | {found['tflops']:.2f} | {share} |"
            )
    heads = ("run", "denoise s", "decode s", "speed-up", "by FLOPs", "share", "peak denoising GiB", "peak GiB")
    lines += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for key, found in items.items():
        if key.startswith("run/") and "failed" not in found:
            base = items.get(f"{key.rsplit('/', 1)[0]}/flat", {}).get("denoise_s")
            speed = base / found["denoise_s"] if base else None
            close = speed / found["by_flops"] if speed and not found["cached"] else None
            gib = [found[part] / 2**30 for part in ("denoise_peak_bytes", "peak_bytes")]
            cells = [
                key.removeprefix("run/"), f"{found['denoise_s']:.2f}", f"{found['decode_s']:.2f}",
                f"{speed:.2f}" if speed else "–", f"{found['by_flops']:.2f}", f"{close:.2f}" if close else "–",
                f"{gib[0]:.2f}", f"{gib[1]:.2f}",
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
        elif key.startswith("run/"):
            lines.append(f"| {key.removeprefix('run/')} | {found['failed'][:80]} |" + " |" * (len(heads) - 2))
    for key, found in items.items():
        if key.startswith("flat/") and "failed" not in found:
            lines.append(f"\nFlat, driven / bare pipeline ({key[5:]}): {found['ratio_median']:.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
