"""What a run starts from, pictures and control videos: what a model takes of them, and cutting to the run's size, once.

Documents name them; the files lie beside the report, as `input-HASH.png` and `.mp4`. Reading them is `input_picture`'s
and `control_video`'s. No torch here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from engine.errors import InvalidInput
from engine.experiments.control_video import Clip, clip_file, clip_frames, named_clip
from engine.experiments.input_picture import Picture, cut_picture, named_picture, picture_file
from engine.measuring.video import whole_file
from engine.models.catalogue import ModelSpec

PICTURES = ("image", "last_image")
ROLES = (*PICTURES, "video")  # as pipelines call them
WORDS = {"image": "picture", "last_image": "picture of the last frame", "video": "control video"}
FILE = re.compile(r"input-([0-9a-f]{64})\.(png|mp4)")


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

    @property
    def roles(self) -> tuple[str, ...]:
        """Of what there is."""
        return tuple(role for role, _ in self.given())

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
        found[role] = cut_picture(picture, height, width)
    return found


def cut_file(path: str, height: int, width: int) -> Image.Image:
    """The picture in a file as a pipeline's call takes it, for scripts. Raises InvalidInput."""
    return cut_picture(picture_file(Path(path)), height, width)


def _named(role: str, value: object) -> Picture | Clip:
    """A picture or a video as a document names it."""
    return named_picture(role, value) if role in PICTURES else named_clip(role, value)


def input_file(path: Path, role: str) -> Picture | Clip:
    """What a run starts from in this role, in a file. Raises InvalidInput."""
    return picture_file(path, role) if role in PICTURES else clip_file(path, role)


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
