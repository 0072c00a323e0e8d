"""Pictures that people and strangers give."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from engine.experiments.input_picture import MAX_BYTES


def drawn(width: int = 80, height: int = 60, mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"", *more: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


FRAMES = [drawn(), drawn().rotate(90)]
MALICIOUS = {
    "empty": b"",
    "text": b"a red apple",
    "truncated": saved(drawn())[:-600],
    "truncated jpeg": saved(drawn(400, 300), "JPEG")[:2000],
    "bomb": png(50_000, 50_000, bytes(1000)),
    "over the pixels": png(10_000, 10_000, bytes(1000)),
    "no pixels": png(0, 0),
    "one pixel": saved(drawn(1, 1)),
    "a line": saved(drawn(2000, 2)),
    "text bomb": png(64, 64, bytes(64 * 193), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(90_000_000)))),
    "wrong checksum": saved(drawn()).replace(b"IDAT", b"IDAX"),
    "animated webp": saved(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]),
    "animated png": saved(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]),
    "gif": saved(drawn(), "GIF"),
    "tiff": saved(drawn(), "TIFF"),
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(/etc/passwd) (r) file\n",
    "too many bytes": bytes(MAX_BYTES + 1),
}
