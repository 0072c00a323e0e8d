"""The arguments of the raw `compare` call, which are told by their place."""

from __future__ import annotations

LAST = 4  # after `noise_floor`: image, last_image, video, guidance_2
NULLS = ", ".join(["null"] * LAST)
