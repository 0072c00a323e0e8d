"""The videos and pictures of a stranger's archive: looked at when they are unpacked, and made anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

from PIL import Image

from engine import strict_json
from engine.errors import InvalidInput
from engine.experiments.conditions import FILE, input_file
from engine.experiments.documents import TAG
from engine.experiments.experiment import Experiment
from engine.measuring.video import MAX_PIXELS, VideoFailed, rewrite_mp4, whole_file

MAX_ANIMATED = 1000  # frames of an animated picture
MAX_DECODED = 1_000_000_000  # pixels of all of them


def keep_member(path: Path, experiment: Experiment) -> None:
    """Put the file in its place as it would be made here. Raises InvalidInput for what is not what its name says.

    Of a video the first frame is decoded, of a picture all. A run's video carries the archive's experiment.
    """
    if FILE.fullmatch(path.name):
        _keep_input(path, experiment)
    elif path.suffix == ".mp4":
        own = path.stem.isdigit()  # of a run, not of a difference or a level
        document = {TAG: json.dumps(experiment.document(), ensure_ascii=False)} if own else {}
        try:
            rewrite_mp4(path, document)
        except VideoFailed as error:
            raise InvalidInput("archive", f"the archive is refused: {error}") from None
    elif path.suffix == ".png":
        _keep_still(path)
    elif path.suffix == ".webp":
        _check_animated(path)


def _keep_input(path: Path, experiment: Experiment) -> None:
    """A picture or video that the runs start from: one that the request names, and made as they are made here."""
    named = [(role, given) for role, given in experiment.conditions.given() if given.file == path.name]
    what = "video" if path.suffix == ".mp4" else "picture"
    if not named:
        refuse(f"{path.name} is a {what} that no run started from")
    found = input_file(path, named[0][0])
    if found != named[0][1]:
        refuse(f"{path.name} is another {what} than its name says")
    path.write_bytes(found.content or b"")


def _keep_still(path: Path) -> None:
    """One PNG, decoded whole and written anew: pixels and nothing else."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            _check_size(path, image, 1)
            still = image.convert("RGB")
        with whole_file(path) as part:
            still.save(part, format="PNG")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        refuse(f"{path.name} is no PNG picture that is whole")


def _check_animated(path: Path) -> None:
    """An animated WebP, what a run leaves where there is no ffmpeg: every frame is decoded; it holds nothing else."""
    try:
        with Image.open(path, formats=["WEBP"]) as image:
            _check_size(path, image, MAX_ANIMATED)
            if more := {"exif", "xmp", "icc_profile"} & image.info.keys():
                refuse(f"{path.name} holds more than pictures ({', '.join(sorted(more))})")
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                image.load()
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        refuse(f"{path.name} is no WebP picture that is whole")


def _check_size(path: Path, image: Image.Image, most: int) -> None:
    """By what the header says, before any pixel is decoded."""
    frames, area = getattr(image, "n_frames", 1), image.width * image.height
    if frames > most or area > MAX_PIXELS or frames * area > MAX_DECODED:
        size = strict_json.shown(f"{image.width} × {image.height} pixels, {frames} frames", 80)
        refuse(f"{path.name} is larger than any of a run ({size})")


def refuse(reason: str) -> NoReturn:
    """Raise the one sentence that an archive is refused with."""
    raise InvalidInput("archive", f"the archive is refused: {reason}.")
