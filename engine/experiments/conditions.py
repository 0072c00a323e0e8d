"""What a run starts from, pictures and control videos: read once, named by their hash, cut to the run's size once.

A picture is PNG, JPEG or WebP, of one frame, of bounded bytes and pixels. It is turned upright, laid on white where it
is transparent, made 8-bit RGB, reduced to at most 2048 pixels a side and kept as a PNG without anything else in it.
Its name is the SHA-256 of its size and pixels, so that another PNG of the same pixels is the same picture. Documents
name pictures; the files lie beside the report, as `input-HASH.png`. Control videos are
`control_video`'s. No torch here.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from engine.errors import InvalidInput
from engine.experiments.control_video import Clip, bytes_of, clip_file, clip_frames, named_clip
from engine.measuring.video import whole_file
from engine.models.catalogue import ModelSpec
from engine.strict_json import shown

PICTURES = ("image", "last_image")
ROLES = (*PICTURES, "video")  # as pipelines call them
WORDS = {"image": "picture", "last_image": "picture of the last frame", "video": "control video"}
MAX_BYTES = 24 * 2**20  # of a file
MAX_PIXELS = 50_000_000  # that are decoded: what a telephone takes
MAX_SIDE, MIN_SIDE = 2048, 16  # of what is kept
ROWS = 256  # of a deep picture that are converted at a time
MAX_KEPT = 3 * MAX_SIDE**2 + 2**20  # bytes of a kept PNG, compressed or not
FORMATS = ("PNG", "JPEG", "WEBP")
HASH = re.compile(r"[0-9a-f]{64}")
FILE = re.compile(r"input-([0-9a-f]{64})\.(png|mp4)")


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


@dataclass(frozen=True)
class Conditions:
    """What an experiment is given beside its prompt."""

    image: Picture | None = None
    last_image: Picture | None = None
    video: Clip | None = None

    def given(self) -> Iterator[tuple[str, Picture | Clip]]:
        """What there is, with its roles."""
        for role in ROLES:
            if (picture := getattr(self, role)) is not None:
                yield role, picture

    def document(self) -> dict[str, Any]:
        """As plain data; what is not given is not told of."""
        return {role: picture.document() for role, picture in self.given()}

    def filled(self, folder: Path) -> Conditions:
        """With the bytes of what has its file in a folder; the others stay as they are."""
        found: dict[str, Any] = {role: _filled(picture, folder) for role, picture in self.given()}
        return replace(self, **found)

    def given_again(self, pictures: Mapping[str, Picture | Clip]) -> Conditions:
        """With the bytes of what was read anew, which must be the very same. Raises InvalidInput."""
        for role, picture in pictures.items():
            if (named := getattr(self, role)) is None:
                raise InvalidInput(role, f"the experiment was made without a {WORDS[role]}; leave {role} out.")
            same(picture, named, role)
        return replace(self, **pictures)  # type: ignore[arg-type]

    def check_here(self) -> None:
        """Raises InvalidInput naming the first picture or video whose bytes are not here."""
        for role, picture in self.given():
            if picture.content is None:
                raise InvalidInput(
                    role,
                    f"the {WORDS[role]} {picture.text} is not here: links and documents only name it; "
                    f"add it as {role} again.",
                )

    def keep(self, folder: Path) -> None:
        """Write what has bytes into a folder. Raises RunFailed where the disk fails."""
        for _, picture in self.given():
            if picture.content is not None and not (folder / picture.file).is_file():
                with whole_file(folder / picture.file) as part:
                    part.write_bytes(picture.content)


# ---- what a model takes ------------------------------------------------------------------------------------------


def roles_of(spec: ModelSpec) -> tuple[str, ...]:
    """The pictures and videos that a model takes, as its own networks allow."""
    return tuple(role for role in spec.family.conditions if _can(spec, role))


def pictures_of(spec: ModelSpec) -> tuple[str, ...]:
    """The pictures among them."""
    return tuple(role for role in roles_of(spec) if role in PICTURES)


def _can(spec: ModelSpec, role: str) -> bool:
    """Of Wan's image-to-video models some have no place for a last frame, and would fail or ignore it."""
    if role != "last_image":
        return True
    config = spec.transformer
    blind = config.get("image_dim") is not None and not config.get("pos_embed_seq_len")  # CLIP's tokens of one picture
    return not blind and config.get("in_channels") != config.get("out_channels")  # equal: the picture is a latent frame


def checked_conditions(spec: ModelSpec, frames: int, **asked: object) -> Conditions:
    """What an experiment starts from, as `Picture` and `Clip` or as documents name them. Raises InvalidInput.

    What the model does not take is refused, and a video that is shorter than the run's `frames`; a picture that it
    needs may be missing until the experiment is run.
    """
    found: dict[str, Any] = {}
    takes = roles_of(spec)
    for role in ROLES:
        value = asked.get(role)
        if value is None:
            continue
        if role not in takes:
            raise InvalidInput(role, f"{spec.title} takes no {WORDS[role]}; leave it out, or choose a model with one.")
        found[role] = value if isinstance(value, Picture | Clip) else _named(role, value)
    clip = found.get("video")
    if clip and clip.frames < frames:
        raise InvalidInput(
            "video",
            f"the {WORDS['video']} has {clip.frames} frames and the run {frames}; give a longer one, or run fewer.",
        )
    return Conditions(**found)


def check_complete(spec: ModelSpec, conditions: Conditions) -> None:
    """Raises InvalidInput naming model and field where a picture is missing without which nothing can run."""
    for role in spec.family.needs:
        if getattr(conditions, role) is None:
            raise InvalidInput(role, f"{spec.title} starts from a {WORDS[role]}, and {role} is empty; give it one.")
    if spec.transformer.get("pos_embed_seq_len") and conditions.last_image is None:  # made for two pictures, always
        raise InvalidInput(
            "last_image", f"{spec.title} goes from a first picture to a last one, and last_image is empty; give it one."
        )


def pixels_of(conditions: Conditions, folder: Path, height: int, width: int, frames: int = 1) -> dict[str, Any]:
    """What a pipeline's call takes: pictures, and videos as lists of them; RGB, (width, height), from a folder's files.

    This is the one place where a picture is cut: around its middle to the run's aspect, then resized by Lanczos. Every
    stage's own size is made of this. Of a video the first `frames` are used, one for one. Raises InvalidInput naming
    what is not there, VideoFailed.
    """
    found: dict[str, Any] = {}
    there = conditions.filled(folder)
    there.check_here()
    for role, picture in there.given():
        if isinstance(picture, Clip):
            found[role] = clip_frames(picture.content or b"", frames, height, width)
            continue
        with Image.open(io.BytesIO(picture.png or b""), formats=["PNG"]) as image:
            found[role] = _cut(image, height, width)
    return found


def cut_file(path: str, height: int, width: int) -> Image.Image:
    """The picture in a file as a pipeline's call takes it, for scripts. Raises InvalidInput."""
    with Image.open(io.BytesIO(picture_file(Path(path)).png or b""), formats=["PNG"]) as image:
        return _cut(image, height, width)


def _cut(image: Image.Image, height: int, width: int) -> Image.Image:
    return ImageOps.fit(image.convert("RGB"), (width, height), Image.Resampling.LANCZOS)


def _named(role: str, value: object) -> Picture | Clip:
    """A picture or a video as a document names it."""
    if role not in PICTURES:
        return named_clip(role, value)
    if not isinstance(value, dict) or sorted(value) != ["height", "sha256", "width"]:
        raise InvalidInput(role, f"{role} is {shown(value)}; it must be an object of sha256, width and height.")
    name, sides = value["sha256"], (value["width"], value["height"])
    if not isinstance(name, str) or not HASH.fullmatch(name):
        raise InvalidInput(role, f"{role}: sha256 is {shown(name)}; it must be 64 hexadecimal digits.")
    if not all(type(side) is int and MIN_SIDE <= side <= MAX_SIDE for side in sides):
        raise InvalidInput(role, f"{role}: {shown(list(sides))} is no size; sides are {MIN_SIDE} to {MAX_SIDE} pixels.")
    return Picture(name, *sides)


# ---- reading -----------------------------------------------------------------------------------------------------


def input_file(path: Path, role: str) -> Picture | Clip:
    """What a run starts from in this role, in a file. Raises InvalidInput."""
    return picture_file(path, role) if role in PICTURES else clip_file(path, role)


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


def _filled(picture: Picture | Clip, folder: Path) -> Picture | Clip:
    """With its bytes from a folder, where they are what their name says."""
    path = folder / picture.file
    if picture.content is not None or not path.is_file():
        return picture
    return same(clip_file(path) if isinstance(picture, Clip) else picture_file(path), picture)


def same(found: Picture | Clip, named: Picture | Clip, role: str = "image") -> Picture | Clip:
    """A picture or video that was read, where it is the one that was named. Raises InvalidInput."""
    if found != named:
        what = "video" if isinstance(named, Clip) else "picture"
        raise InvalidInput(
            role, f"the {what} {found.text} is another than {named.text}, which the experiment was made with."
        )
    return found
