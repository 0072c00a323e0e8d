"""Pictures that runs start from: a stranger's file read once under limits, named by its pixels. No torch here.

A picture is PNG, JPEG or WebP, of one frame, of bounded bytes and pixels. It is turned upright, laid on white where it
is transparent, made 8-bit RGB, reduced to at most 2048 pixels a side and kept as a PNG without anything else in it.
Its name is the SHA-256 of its size and pixels, so that another PNG of the same pixels is the same picture.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from engine.errors import InvalidInput
from engine.experiments.control_video import HASH, bytes_of
from engine.strict_json import shown

MAX_BYTES = 24 * 2**20  # of a file
MAX_PIXELS = 50_000_000  # that are decoded: what a telephone takes
MAX_SIDE, MIN_SIDE = 2048, 16  # of what is kept
ROWS = 256  # of a deep picture that are converted at a time
MAX_KEPT = 3 * MAX_SIDE**2 + 2**20  # bytes of a kept PNG, compressed or not
FORMATS = ("PNG", "JPEG", "WEBP")


@dataclass(frozen=True)
class Picture:
    """A picture by its name; `png` are its bytes, None where it is only named. Build it by `read_picture`."""

    sha256: str
    width: int
    height: int
    png: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def file(self) -> str:
        """The name of its file beside a report."""
        return f"input-{self.sha256}.png"

    @property
    def content(self) -> bytes | None:
        """The bytes of its file, where they are here."""
        return self.png

    @property
    def text(self) -> str:
        """For people: the first of its hash, and its size."""
        return f"{self.sha256[:12]}… ({self.width} × {self.height})"

    def document(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "width": self.width, "height": self.height}


def named_picture(role: str, value: object) -> Picture:
    """A picture as a document names it. Raises InvalidInput."""
    if not isinstance(value, dict) or sorted(value) != ["height", "sha256", "width"]:
        raise InvalidInput(role, f"{role} is {shown(value)}; it must be an object of sha256, width and height.")
    name, sides = value["sha256"], (value["width"], value["height"])
    if not isinstance(name, str) or not HASH.fullmatch(name):
        raise InvalidInput(role, f"{role}: sha256 is {shown(name)}; it must be 64 hexadecimal digits.")
    if not all(type(side) is int and MIN_SIDE <= side <= MAX_SIDE for side in sides):
        raise InvalidInput(role, f"{role}: {shown(list(sides))} is no size; sides are {MIN_SIDE} to {MAX_SIDE} pixels.")
    return Picture(name, *sides)


def picture_file(path: Path, role: str = "image") -> Picture:
    """The picture in a file. Raises InvalidInput."""
    return read_picture(bytes_of(path, role, MAX_BYTES), role, path.name[:80])


def read_picture(data: bytes, role: str = "image", what: str = "the file") -> Picture:
    """A stranger's picture, decoded under limits. Raises InvalidInput with one sentence for whatever is none."""
    if len(data) > MAX_BYTES:
        raise InvalidInput(role, f"{role}: {what} has more than {MAX_BYTES >> 20} MiB; save the picture smaller.")
    pixels = np.asarray(_decoded(data, role, what))
    height, width = pixels.shape[:2]
    sha256 = hashlib.sha256(f"{width}x{height} RGB8\n".encode() + pixels.tobytes()).hexdigest()
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return Picture(sha256, width, height, png.getvalue())


def _decoded(data: bytes, role: str, what: str) -> Image.Image:
    """Upright RGB of at most MAX_SIDE a side."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Image.DecompressionBombError
            if getattr(image, "n_frames", 1) > 1 and image.format in ("PNG", "WEBP"):  # a JPEG has but views of one
                raise InvalidInput(role, f"{role}: {what} moves; save the one frame that is meant.")
            image.draft("RGB", (MAX_SIDE, MAX_SIDE))
            ImageOps.exif_transpose(image, in_place=True)
            flat = _flat(_lighter(image))
    except InvalidInput:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # the warning, where one is made an error
        raise InvalidInput(role, f"{role}: {what} has more pixels than the {MAX_PIXELS:,} that are read.") from None
    except Exception:  # whatever a decoder makes of a stranger's bytes
        raise InvalidInput(
            role, f"{role}: {what} is no whole PNG, JPEG or WebP picture; save it again as one of them."
        ) from None
    flat.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    if min(flat.size) < MIN_SIDE:
        raise InvalidInput(
            role, f"{role}: {what} is {width} × {height} pixels; both sides must be {MIN_SIDE} or more when the longer "
            f"is at most {MAX_SIDE}."
        )  # fmt: skip
    return flat


def _lighter(image: Image.Image) -> Image.Image:
    """A large picture at a whole fraction of its size, so that what follows takes little memory."""
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits of grey, which Pillow would clip: rows at a time
        image.load()
        deep = np.asarray(image)
        grey = np.empty(deep.shape, dtype=np.uint8)
        for row in range(0, len(deep), ROWS):
            grey[row : row + ROWS] = np.rint(np.clip(deep[row : row + ROWS] / 257.0, 0, 255))
        image = Image.fromarray(grey)
    factor = max(image.size) // MAX_SIDE
    if image.mode == "P" or factor < 2:
        return image
    return image.reduce(factor) if image.mode != "1" else image.convert("L").reduce(factor)


def _flat(image: Image.Image) -> Image.Image:
    """Eight bits, RGB, nothing transparent."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def cut_picture(picture: Picture, height: int, width: int) -> Image.Image:
    """A picture whose bytes are here, cut around its middle to the aspect, then resized by Lanczos; RGB."""
    with Image.open(io.BytesIO(picture.png or b""), formats=["PNG"]) as image:
        return ImageOps.fit(image.convert("RGB"), (width, height), Image.Resampling.LANCZOS)
