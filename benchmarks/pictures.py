"""The README's picture: frames of a comparison's videos in rows. `python -m benchmarks.pictures out/demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.measuring.video import read_mp4, to_uint8
from engine.reports.report_file import load
from engine.reports.schema import Report, Run

FRAMES = 6
CELL = 176
LABEL = 250
GAP = 6
INK, SOFT, PAPER = (28, 28, 30), (110, 110, 115), (250, 249, 246)


def rows_of(report: Report, folder: Path) -> list[tuple[str, str, np.ndarray]]:
    """Title, figures and frames (T, H, W, 3) of every finished run and of its heat-map."""
    rows = []
    for run in report.runs:
        if run.video:
            rows.append((run.name, figures(run), read_mp4(folder / run.video)))
        if run.heatmap:
            rows.append(
                ("difference", f"x{report.heatmap_gain or 1:g}, black is equal", read_mp4(folder / run.heatmap))
            )
    return rows


def figures(run: Run) -> str:
    """What a run cost and how close it is, in one line."""
    seconds = f"{run.latency.denoise_s:.2f} s" if run.latency.denoise_s else "?"
    if run.similarity.psnr.mean is None or run.speedup.measured is None:
        return f"denoising {seconds}"
    return f"{seconds}, x{run.speedup.measured:.2f}, {run.similarity.psnr.mean:.1f} dB PSNR"


def draw(rows: list[tuple[str, str, np.ndarray]]) -> Image.Image:
    """One sheet, a row each, `FRAMES` frames spread over the clip."""
    width, height = LABEL + FRAMES * (CELL + GAP), len(rows) * (CELL + GAP) + GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    for y, (title, line, frames) in enumerate(rows):
        top = GAP + y * (CELL + GAP)
        pen.text((12, top + CELL // 2 - 22), title, INK, font=ImageFont.load_default(17))
        pen.text((12, top + CELL // 2 + 4), line, SOFT, font=ImageFont.load_default(14))
        for x, t in enumerate(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)):
            cell = Image.fromarray(to_uint8(frames[t])).resize((CELL, CELL), Image.Resampling.BICUBIC)
            sheet.paste(cell, (LABEL + x * (CELL + GAP), top))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images/comparison.png"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw(rows_of(load(options.folder / "report.json"), options.folder)).save(options.out, optimize=True)
    print(options.out)


if __name__ == "__main__":
    main()
