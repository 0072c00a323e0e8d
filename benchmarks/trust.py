"""Can reported times be trusted? Intervals against repeats, and a busy machine. `python -m benchmarks.trust`.

Every comparison is the ordinary command line in a process of its own, as people run it: `python -m engine compare`.

- `repeats`: one comparison again and again on a quiet machine. The true ratio of a track is that of the mean seconds
  over all of them; counted is how often the interval that a single comparison stated holds it.
- `busy`: the presets alone, beside two busy loops and beside two torch processes: how much longer the whole takes, and
  whether every speed-up lies within 10 % of its quiet value or is marked as disturbed.

Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.waiting import WAYS, beside
from engine.experiments.presets import preset_names
from engine.reports.report_file import load
from engine.reports.schema import Report

TRACKS = ("two-stage-0.75", "two-stage-0.5", "u-0.75")
PROMPT = "a red apple bouncing over blue stripes"
NEAR = 0.10


def comparison(out: Path, tracks: Sequence[str], steps: int) -> tuple[Report, float]:
    """A comparison by the command line, and the seconds that the command took."""
    command = [sys.executable, "-m", "engine", "compare", "--model", "emoji-wan", "--prompt", PROMPT, "--seed", "1"]
    command += ["--steps", str(steps), "--out", str(out), "--json"]
    command += [word for track in tracks for word in ("--schedule", track)]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return load(out / "report.json"), time.perf_counter() - begun


def repeats(out: Path, count: int, steps: int) -> list[dict[str, Any]]:
    """How often the stated intervals hold the true ratios, by track."""
    return held([comparison(out / f"repeat-{number}", TRACKS, steps)[0] for number in range(count)])


def held(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """The rows of comparisons that were the same."""
    rows = []
    for number, name in enumerate(TRACKS, 1):
        for part, interval, seconds in (("measured", "interval", "denoise_s"), ("whole", "whole_interval", "total_s")):
            base, mine = ([getattr(r.runs[k].latency, seconds) for r in reports] for k in (0, number))
            truth = statistics.fmean(base) / statistics.fmean(mine)
            speedups = [report.runs[number].speedup for report in reports]
            known = [found for speedup in speedups if (found := getattr(speedup, interval))]
            rows.append(
                {
                    "track": name,
                    "ratio": part,
                    "truth": truth,
                    "stated": [getattr(speedup, part) for speedup in speedups],
                    "intervals": len(known),
                    "held": sum(found.low <= truth <= found.high for found in known),
                    "width": statistics.median(found.high / found.low - 1 for found in known) if known else None,
                    "spread": statistics.stdev(mine) / statistics.fmean(mine),
                    "waited": max(report.runs[number].latency.waited or 0.0 for report in reports),
                }
            )
    return rows


def busy(out: Path, steps: int, every: int) -> list[dict[str, Any]]:
    """The presets on a quiet machine and beside others: time of the whole command, and what became of the ratios."""
    names, rows, quiet, quiet_s = preset_names()[::every], [], None, 0.0
    for what in ("nothing", "loops", "torch"):
        with beside(what, WAYS["default"]):
            report, seconds = comparison(out / f"beside-{what}", names, steps)
        quiet, quiet_s = (quiet, quiet_s) if quiet else (report, seconds)
        ratios = []
        for run, before in zip(report.runs[1:], quiet.runs[1:], strict=True):
            plain = before.speedup.measured
            mine, marked = run.speedup.measured, bool(run.disturbed or report.baseline.disturbed)
            if plain and mine:
                ratios.append((mine / plain - 1, marked))
        rows.append(
            {
                "beside": what,
                "seconds": seconds,
                "times": seconds / quiet_s,
                "denoise_times": (report.baseline.latency.denoise_s or 0) / (quiet.baseline.latency.denoise_s or 1),
                "runs": len(ratios),
                "near": sum(abs(off) <= NEAR for off, _ in ratios),
                "marked": sum(marked for _, marked in ratios),
                "neither": sum(abs(off) > NEAR and not marked for off, marked in ratios),
                "furthest": max(abs(off) for off, _ in ratios),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", choices=("repeats", "busy"), default=["repeats", "busy"])
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--every", type=int, default=1, help="take only one of so many presets on the busy machine")
    parser.add_argument("--out", type=Path, default=Path("out/trust"))
    options = parser.parse_args()
    if "repeats" in options.what:
        found = repeats(options.out, options.count, options.steps)
        print(
            "| track | ratio | truth | stated | intervals that hold it | width | waited at most |\n" + "|---" * 7 + "|"
        )
        for row in found:
            stated = f"{min(row['stated']):.3f} to {max(row['stated']):.3f}"
            width = "–" if row["width"] is None else f"{row['width']:.1%}"
            print(
                f"| {row['track']} | {row['ratio']} | {row['truth']:.3f} | {stated} "
                f"| {row['held']} of {row['intervals']} | {width} | {row['waited']:.1%} |"
            )
        (options.out / "repeats.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    if "busy" in options.what:
        found = busy(options.out, options.steps, options.every)
        print(
            "\n| beside | command s | times | baseline's loop, times | runs | near | marked | neither | furthest |\n"
            + "|---" * 9
            + "|"
        )
        for row in found:
            print(
                f"| {row['beside']} | {row['seconds']:.1f} | {row['times']:.2f} | {row['denoise_times']:.2f} "
                f"| {row['runs']} | {row['near']} | {row['marked']} | {row['neither']} | {row['furthest']:.0%} |"
            )
        (options.out / "busy.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
