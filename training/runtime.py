"""What every training run shares: schedule, averaged weights, checkpoints, log, loss curve, contact sheets."""

from __future__ import annotations

import copy
import functools
import json
import math
import os
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.optim import Optimizer

Clock = Callable[[], float]


def rate_at(progress: float, step: int, warmup: int, decay: float = 1.0) -> float:
    """Factor on the learning rate: linear warm-up, flat, cosine to 0 over the last `decay` of the run."""
    rise = min(1.0, (step + 1) / max(warmup, 1))
    tail = max(0.0, (min(progress, 1.0) - (1 - decay)) / decay)
    return rise * (0.5 + 0.5 * math.cos(math.pi * tail))


def spare_cores(limit: int, proc: Path = Path("/proc")) -> int:
    """Threads to use now, at most `limit`: one less for each running task of other processes (Linux).

    With more threads than free cores, each parallel loop waits for its slowest thread: fewer are quicker.
    """
    if not (proc / "loadavg").exists():
        return limit
    running = int((proc / "loadavg").read_text().split()[3].split("/")[0])
    states = [t.read_text().rpartition(")")[2].split()[0] for t in (proc / "self" / "task").glob("*/stat")]
    return max(1, min(limit, limit - running + states.count("R")))


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside `path`, then rename, so that a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    write(part)
    os.replace(part, path)


def fingerprint(folder: Path | None) -> int:
    """A number that follows from the saved weights in a folder, 0 without one: other weights, other draws."""
    files = sorted(folder.rglob("*.safetensors")) if folder else []
    return functools.reduce(lambda value, path: zlib.crc32(path.read_bytes(), value), files, 0)


def newest_vae(folder: Path, start: Path | None = None) -> Path:
    """The autoencoder to use: the run's polished one, else its trained one, else that of the pipeline `start`."""
    places = [folder / "polish" / "vae", folder / "vae" / "vae", *([start / "vae"] if start else [])]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise FileNotFoundError(f"no autoencoder in {folder}: train one, or give a saved pipeline by --from")
    return found


class Ema:
    """Exponential average of a module's weights, with the usual warm-up of the decay."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module: Any = copy.deepcopy(module).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Blend in the weights after `step` updates."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine: list[Tensor] = list(self.module.parameters())
        theirs: list[Tensor] = list(module.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - decay)


@dataclass
class Run:
    """A resumable run in a folder. Every random draw follows from `step`, so that a resume repeats nothing."""

    folder: Path
    module: Any  # nn.Module
    optimizers: Sequence[Optimizer]
    ema: Ema
    minutes: float
    clock: Clock = time.monotonic
    step: int = 0
    elapsed: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    _tick: float | None = None

    @property
    def progress(self) -> float:
        """Share of the time that is used up, 0..1 and above."""
        return self.elapsed / (60 * self.minutes)

    def set_rate(self, factor: float) -> None:
        """Learning rates to `factor` times their own base."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("base", group["lr"]) * factor

    def update(self, loss: Tensor, clip: float = 1.0) -> float:
        """One optimizer step from a loss; returns the gradient norm. A non-finite one is skipped."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self.module.parameters(), clip))
        if math.isfinite(norm):
            for optimizer in self.optimizers:
                optimizer.step()
        self.ema.update(self.module, self.step)
        self.step += 1
        now = self.clock()
        self.elapsed += now - (self._tick if self._tick is not None else now)
        self._tick = now
        return norm

    def note(self, **values: float) -> None:
        """One line of the log, on screen, in `log.jsonl` and in the loss curve."""
        entry = {"step": self.step, "minutes": round(self.elapsed / 60, 2), **values}
        self.history.append(entry)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(entry) + "\n")
        print(" ".join(f"{k}={v:.4g}" for k, v in entry.items()), flush=True)
        draw_curve(self.folder / "loss.png", [e["loss"] for e in self.history if "loss" in e])

    def save(self) -> None:
        """Checkpoint, atomically."""
        state = {
            "module": self.module.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "elapsed": self.elapsed,
            "history": self.history,
        }
        write_atomic(self.folder / "checkpoint.pt", lambda path: torch.save(state, path))

    def resume(self) -> bool:
        """Take up the folder's checkpoint; False if there is none."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return False
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.module.load_state_dict(state["module"])
        self.ema.module.load_state_dict(state["ema"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            rates = [group.get("base", group["lr"]) for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["base"] = rate  # the recipe's, which may have changed since
        self.step, self.elapsed, self.history = state["step"], state["elapsed"], state["history"]
        return True


def draw_curve(path: Path, values: Sequence[float], size: tuple[int, int] = (640, 240)) -> None:
    """Loss against log number, logarithmic, as a small PNG."""
    points = [math.log(v) for v in values if v > 0 and math.isfinite(v)]
    if len(points) < 2:
        return
    low, high = min(points), max(points)
    width, height = size
    span = max(high - low, 1e-6)
    xy = [
        (8 + i * (width - 16) / (len(points) - 1), height - 20 - (v - low) / span * (height - 40))
        for i, v in enumerate(points)
    ]
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    pen.line(xy, fill=(40, 90, 200), width=2)
    pen.text((8, 2), f"{math.exp(high):.4g}", fill="black")
    pen.text((8, height - 14), f"{math.exp(low):.4g}", fill="black")
    write_atomic(path, image.save)


def contact_sheet(path: Path, rows: Iterable[Tensor], labels: Sequence[str] = (), zoom: int = 1) -> None:
    """Clips (3, T, h, w) in -1..1, one a row, frames left to right, with the caption under each."""
    strips = [((row.float().clamp(-1, 1) + 1) * 127.5).round().byte() for row in rows]
    pictures = [Image.fromarray(s.permute(2, 1, 3, 0).flatten(1, 2).contiguous().numpy()) for s in strips]
    pictures = [p.resize((p.width * zoom, p.height * zoom), Image.Resampling.NEAREST) for p in pictures]
    foot = 14 if labels else 0
    sheet = Image.new("RGB", (max(p.width for p in pictures), sum(p.height + foot for p in pictures)), "white")
    pen, y = ImageDraw.Draw(sheet), 0
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (0, y))
        if labels:
            pen.text((4, y + picture.height), labels[i], fill="black")
        y += picture.height + foot
    write_atomic(path, sheet.save)


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in -1..1."""
    mse = (a.float() - b.float()).div(2).pow(2).mean().item()
    return -10 * math.log10(max(mse, 1e-12))
