"""Words that several packages say alike: an error's first line, and counts of bytes and steps."""

from __future__ import annotations

GB, MIB, GIB = 1e9, 2**20, 2**30


def first_line(error: BaseException, most: int = 200, otherwise: str | None = None) -> str:
    """The first line of an error's text, `most` characters of it; of one without text `otherwise`, or its class."""
    lines = str(error).strip().splitlines()
    if lines:
        return lines[0][:most]
    return type(error).__name__ if otherwise is None else otherwise


def steps_text(steps: int) -> str:
    """A number of steps: 1 step, 15 steps."""
    return f"{steps} step{'' if steps == 1 else 's'}"


def gib_text(count: float, decimals: int = 2) -> str:
    """A count of bytes in GiB, or below one in whole MiB."""
    return f"{count / GIB:.{decimals}f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def gb_text(count: float, decimals: int | None = None) -> str:
    """A count of bytes in GB; without `decimals` one below 10 GB, none above."""
    if decimals is None:
        decimals = 1 if count < 10 * GB else 0
    return f"{count / GB:.{decimals}f} GB"
