"""The record of benchmarks.gpu as Markdown."""

from __future__ import annotations

from typing import Any

RUN_HEADS = (
    "run", "denoise s", "decode s", "speed-up", "by FLOPs", "share", "peak GiB: text and inputs", "denoising",
    "decoding", "reserved", "computed evaluations",
)  # fmt: skip
PHASES = ("before_bytes", "denoise_peak_bytes", "decode_bytes", "reserved_bytes")


def table(record: dict[str, Any]) -> str:
    """Steps against the ceiling, runs against what FLOPs predict."""
    items = record["items"]
    ceiling = items.get("ceiling", {}).get("tflops")
    lines = [f"{record['device']}, torch {record['torch']}" + (", small networks" if record["small"] else "")]
    if ceiling:
        lines.append(f"Matrix products: {ceiling:.1f} TFLOP/s ({items['ceiling']['dtype']}).")
    lines += ["", "| step | rate | seconds | TFLOP/s | of the ceiling |", "|---|---|---|---|---|"]
    lines += [_step(key, found, ceiling) for key, found in items.items() if key.startswith("step/")]
    lines += ["", f"| {' | '.join(RUN_HEADS)} |", "|---" * len(RUN_HEADS) + "|"]
    for key, found in items.items():
        if key.startswith("run/"):
            lines.append(_run(key, found, items.get(f"{key.rsplit('/', 1)[0]}/flat", {}).get("denoise_s")))
    for key, found in items.items():
        if key.startswith("flat/") and "failed" not in found:
            lines.append(f"\nFlat, driven / bare pipeline ({key[5:]}): {found['ratio_median']:.4f}")
    return "\n".join(lines)


def _step(key: str, found: dict[str, Any], ceiling: float | None) -> str:
    _, name, backend, mode, rate = key.split("/")
    head = f"| {name}, {backend}, {mode} | {rate} |"
    if "failed" in found:
        return f"{head} {found['failed'][:60]} | | |"
    share = f"{found['tflops'] / ceiling:.0%}" if ceiling else ""
    return f"{head} {found['seconds']:.4f} | {found['tflops']:.2f} | {share} |"


def _run(key: str, found: dict[str, Any], base: float | None) -> str:
    name = key.removeprefix("run/")
    if "failed" in found:
        return f"| {name} | {found['failed'][:80]} |" + " |" * (len(RUN_HEADS) - 2)
    speed = base / found["denoise_s"] if base else None
    share = speed / found["by_flops"] if speed and not found["cached"] else None
    computed, skipped = found["computed"], found["skipped"]
    cells = [
        name, f"{found['denoise_s']:.2f}", f"{found['decode_s']:.2f}", _figure(speed), f"{found['by_flops']:.2f}",
        _figure(share), *(_gib(found[phase]) for phase in PHASES),
        f"{computed} of {computed + skipped}" if skipped else str(computed),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _gib(count: int | None) -> str:
    return _figure(None if count is None else count / 2**30)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
