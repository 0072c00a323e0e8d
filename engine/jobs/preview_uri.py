"""Previews of an emerging video, small enough to travel with every poll."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

MAX_BYTES = 10_000
FRAMES = 8  # of a moving preview
PAUSE_MS = 160
TRIALS = ((FRAMES, 70), (FRAMES, 40), (1, 70), (1, 30))  # frames and quality, until one is small enough


def data_uri(frames: np.ndarray) -> str | None:
    """Frames uint8 (T, h, w, 3) as a WebP data URI of at most 10 KB, moving where that fits; None where none does."""
    for count, quality in TRIALS:
        data = _webp(frames, min(count, len(frames)), quality)
        if len(data) <= MAX_BYTES:
            return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")
    return None


def _webp(frames: np.ndarray, count: int, quality: int) -> bytes:
    """`count` frames spread over all of them; a single one is the middle one."""
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int) if count > 1 else [len(frames) // 2]
    first, *rest = [Image.fromarray(frames[index]) for index in chosen]
    out = io.BytesIO()
    first.save(out, "WEBP", save_all=bool(rest), append_images=rest, duration=PAUSE_MS, loop=0, quality=quality)
    return out.getvalue()
