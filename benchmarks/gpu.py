"""How close variable resolution comes to what FLOPs promise, at published sizes. `python -m benchmarks.gpu`.

Random weights at the published configs of Wan 2.1 1.3B (480x832, 81 frames) and Stable Diffusion 3 (1024x1024): times
do not depend on what weights say. Every item is written as soon as it is measured; none is begun that is expected to
end after `--minutes`, and the next call goes on. `--small` runs the same code on two-layer networks, for machines
without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_measures import FLAT_PAIRS, FLAT_STEPS, RATES, Measures
from benchmarks.gpu_table import table
from benchmarks.random_weights import described
from engine.cuda_allocator import let_segments_grow
from engine.errors import ResoluteError

MODELS = ("wan2.1-1.3b", "sd3-medium")
BACKENDS = ("native", "_native_flash", "_native_cudnn", "_native_efficient", "flash", "_flash_3", "sage")
PRESETS = (
    "lightx2v-wan_t2v",
    "lightx2v-wan_t2v_U",
    "lightx2v-wan_i2v",
    "lightx2v-wan_i2v_U",
    "lightx2v-wan_t2v_U_teacache",
)
COMPILING_S = 120.0  # of one compiled item on a GPU; a guess
FAILURES = (ResoluteError, RuntimeError, ValueError, AssertionError)
Item = tuple[str, Callable[[], dict[str, Any]]]


class Bench:
    """One device's record: what is measured already, and what is left."""

    def __init__(self, out: Path, device: torch.device, small: bool) -> None:
        self.out, self.device, self.small = out, device, small
        self.measures = Measures(device, small)
        self.record: dict[str, Any] = json.loads(out.read_text("utf-8")) if out.is_file() else {"items": {}}
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        if self.record.setdefault("device", name) != name:
            raise SystemExit(f"{out} holds figures of {self.record['device']}; give --out another name for {name}.")
        if self.record.setdefault("small", small) != small:
            kinds = ("published sizes", "small networks")
            raise SystemExit(f"{out} holds figures of {kinds[not small]}; give --out another name for {kinds[small]}.")
        self.record["torch"] = torch.__version__

    def items(self) -> Iterator[Item]:
        """Everything there is to measure, the cheap and needed first."""
        measures = self.measures
        yield "ceiling", measures.ceiling
        for name in MODELS:
            for rate in RATES:
                yield f"step/{name}/default/eager/{rate:g}", partial(measures.step, name, None, False, rate)
        yield f"flat/{MODELS[0]}", partial(measures.flat, MODELS[0])
        for name in MODELS:
            for preset in ("flat", *PRESETS):
                if "wan" in name or "teacache" not in preset:
                    yield f"run/{name}/{preset}", partial(measures.run, name, preset)
        for name in MODELS:
            for rate in RATES:
                yield f"step/{name}/default/compiled/{rate:g}", partial(measures.step, name, None, True, rate)
        for name in MODELS:  # last: a backend stays set for the whole process
            for backend in BACKENDS:
                for rate in RATES:
                    yield f"step/{name}/{backend}/eager/{rate:g}", partial(measures.step, name, backend, False, rate)

    def measure(self, minutes: float, only: str) -> bool:
        """Measure what is left until the next would not end in time; whether nothing is left.

        The first item of a call is begun whatever it takes, or a long one would never be measured.
        """
        end, first = time.monotonic() + 60 * minutes, True
        for key, item in self.items():
            if key in self.record["items"] or only not in key:
                continue
            if not first and time.monotonic() + self.expected_s(key) > end:
                return False
            first, begun = False, time.monotonic()
            try:
                found = item()
            except FAILURES as error:
                found = {"failed": (str(error).strip().splitlines() or [type(error).__name__])[0][:300]}
            found["wall_s"] = round(time.monotonic() - begun, 2)
            self.record["items"][key] = found
            self.write()
            print(key, json.dumps(found), flush=True)
            if "failed" in found:  # written by now: a device that is broken for good ends the process here
                self.measures.drop()
        return True

    def expected_s(self, key: str) -> float:
        """An item's seconds by what is measured already; 0 where nothing is known."""
        kind, *rest = key.split("/")
        if kind == "ceiling":
            return 0.0
        full = f"step/{rest[0]}/default/eager/1"  # the slowest, and the first: its wall time holds the building too
        if kind == "step" and rest[2] == "compiled":
            return COMPILING_S if self.device.type == "cuda" else 0.0
        if kind == "step":
            return self._known(full, "wall_s")
        step, decode = self._known(full, "seconds"), self._known(f"run/{rest[0]}/flat", "decode_s")
        if kind == "flat":
            return FLAT_PAIRS * 2 * (FLAT_STEPS * step + decode)
        warm_up = 1 + len(RATES)  # one step of a run, and one pass or two at each other size
        return (described(rest[0], self.small).defaults.steps + warm_up) * step + 2 * decode

    def forget_failed(self, only: str) -> None:
        """Leave failed items out of the record, so that they are measured again."""
        items = self.record["items"]
        self.record["items"] = {k: found for k, found in items.items() if "failed" not in found or only not in k}
        self.write()

    def write(self) -> None:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text(json.dumps(self.record, indent=1) + "\n", "utf-8")

    def _known(self, key: str, figure: str) -> float:
        found = self.record["items"].get(key, {})
        return 0.0 if "failed" in found else float(found.get(figure, 0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/gpu.json"))
    parser.add_argument("--minutes", type=float, default=8.0, help="no item is begun that would end after this")
    parser.add_argument("--small", action="store_true", help="two-layer networks: the form for a CPU")
    parser.add_argument("--only", default="", help="items whose name holds this")
    parser.add_argument("--again", action="store_true", help="measure failed items again")
    options = parser.parse_args()
    let_segments_grow(os.environ)  # as the studio runs; torch reads it when it first asks for memory of the card
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not options.small:
        parser.error("there is no GPU here; --small runs the same code on small networks.")
    bench = Bench(options.out, device, options.small)
    if options.again:
        bench.forget_failed(options.only)
    done = bench.measure(options.minutes, options.only)
    print(table(bench.record))
    print("\nAll is measured." if done else "\nThe time is up; the same command goes on.")


if __name__ == "__main__":
    main()
