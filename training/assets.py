"""Fluent emoji from npm packages: fetched once, named after CLDR, decoded once to arrays."""

from __future__ import annotations

import functools
import io
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import emoji as cldr
import numpy as np
from PIL import Image, ImageSequence

STILLS = "@lobehub/fluent-emoji-3d"
ANIMATED = tuple(f"@lobehub/fluent-emoji-anim-{i}" for i in (1, 2, 3, 4))
SKIN_TONES = range(0x1F3FB, 0x1F400)
FLAG_LETTERS = range(0x1F1E6, 0x1F200)
TAGS = range(0xE0020, 0xE0080)
MAX_CODE_POINT = 0x10FFFF
PEOPLE = ("man", "woman", "men", "women", "person", "people", "boy", "girl", "baby", "hand", "hands")
SIGNS = ("button", "keycap", "sign", "symbol", "square", "circle", "mark", "arrow", "letter", "input", "tile", "dot")
DULL = frozenset((*PEOPLE, *SIGNS, "o'clock", "thirty", "japanese", "latin", "am", "pm"))


def archive(package: str, cache: Path) -> Path:
    """The package's tarball in `cache`, fetched by `npm pack` if it is not there yet."""
    cache.mkdir(parents=True, exist_ok=True)
    stem = package.removeprefix("@").replace("/", "-")
    found = sorted(cache.glob(f"{stem}-[0-9]*.tgz"))
    if not found:
        subprocess.run(["npm", "pack", "--silent", package], cwd=cache, check=True, stdout=subprocess.DEVNULL)
        found = sorted(cache.glob(f"{stem}-[0-9]*.tgz"))
    if not found:
        raise FileNotFoundError(f"npm pack {package} left no {stem}-*.tgz in {cache}")
    return found[-1]


def code_points(file_name: str) -> tuple[int, ...]:
    """`1f3c4-200d-2642-fe0f.webp` as numbers; empty where the name is not made of code points."""
    parts = Path(file_name).stem.split("-")
    if not all(re.fullmatch(r"[0-9a-f]{2,6}", part) for part in parts):
        return ()
    points = tuple(int(part, 16) for part in parts)
    return points if all(point <= MAX_CODE_POINT for point in points) else ()


def name_of(points: tuple[int, ...]) -> str | None:
    """CLDR short name ("cat face"); None for flags, skin-tone variants and what CLDR does not know."""
    if not points or any(p in SKIN_TONES or p in FLAG_LETTERS or p in TAGS for p in points):
        return None
    text = "".join(map(chr, points))
    entry = cldr.EMOJI_DATA.get(text) or cldr.EMOJI_DATA.get(text.replace("\ufe0f", ""))
    if entry is None:
        return None
    name = str(entry["en"]).strip(":").replace("_", " ").lower()
    return None if "flag" in name.split() or "skin tone" in name else name


def plainest(names: Iterable[str], limit: int) -> tuple[str, ...]:
    """The `limit` names with the fewest words: things and animals, no people, signs, keys or clocks."""
    things = {n for n in names if not DULL.intersection(re.findall(r"[a-z']+", n.replace("’", "'").lower()))}
    return tuple(sorted(things, key=lambda name: (len(name.split()), name))[:limit])


def alias(name: str) -> str:
    """The short everyday form of a CLDR name: "cat face" is a cat, "red apple" an apple."""
    short = name.removesuffix(" face").removeprefix("red ")
    return short or name


def decode(data: bytes, side: int, frames: int) -> np.ndarray:
    """WebP to (F, side, side, 4) uint8, straight alpha, at most `frames` frames from its start."""
    image = Image.open(io.BytesIO(data))
    out = []
    for frame in ImageSequence.Iterator(image):
        out.append(np.asarray(frame.convert("RGBA").resize((side, side), Image.Resampling.LANCZOS)))
        if len(out) == frames:
            break
    return np.stack(out)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """(CLDR name, bytes) of every usable picture in a tarball."""
    with tarfile.open(path) as tar:
        for member in tar:
            name = name_of(code_points(member.name)) if member.name.endswith(".webp") else None
            handle = tar.extractfile(member) if name else None
            if name and handle:
                yield name, handle.read()


def choose(cache: Path, limit: int) -> tuple[str, ...]:
    """The `limit` plainest names among the stills of the packages."""
    with tarfile.open(archive(STILLS, cache / "npm")) as tar:
        found = [name_of(code_points(m.name)) for m in tar if m.name.endswith(".webp")]
    return plainest((name for name in found if name), limit)


def load(
    cache: Path, names: tuple[str, ...], side: int, *, animated: bool = False, frames: int = 17
) -> dict[str, np.ndarray]:
    """Pictures by name, (F, side, side, 4) uint8, animated where there are such. Kept in `cache`."""
    key = cache / "arrays" / f"{'anim' if animated else 'still'}-{side}-{frames if animated else 1}.npz"
    store: dict[str, np.ndarray] = dict(np.load(key)) if key.exists() else {}
    if any(name not in store for name in names):
        for package in (STILLS, *(ANIMATED if animated else ())):
            for name, data in _members(archive(package, cache / "npm")):
                if name in names:
                    store[name] = decode(data, side, frames if animated else 1)
        key.parent.mkdir(parents=True, exist_ok=True)
        part = key.with_suffix(".part.npz")
        np.savez_compressed(part, **store)  # type: ignore[arg-type]
        part.replace(key)
    missing = [name for name in names if name not in store]
    if missing:
        raise KeyError(f"no picture called {', '.join(missing)} in the emoji packages")
    return {name: store[name] for name in names}


@functools.lru_cache(maxsize=4)
def load_cached(cache: Path, names: tuple[str, ...], side: int, animated: bool) -> dict[str, np.ndarray]:
    """`load`, kept in memory for the process."""
    return load(cache, names, side, animated=animated)
