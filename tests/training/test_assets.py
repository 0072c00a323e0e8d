"""Names and archives of the emoji packages."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import assets


def webp(color: tuple[int, int, int, int], frames: int = 1) -> bytes:
    pictures = [Image.new("RGBA", (16, 16), (*color[:3], color[3] - i)) for i in range(frames)]
    out = io.BytesIO()
    pictures[0].save(out, "WEBP", save_all=True, append_images=pictures[1:], lossless=True)
    return out.getvalue()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "npm" / "lobehub-fluent-emoji-3d-1.1.0.tgz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        for name, data in {
            "1f438.webp": webp((0, 200, 0, 255)),
            "1f1eb-1f1f7.webp": webp((9, 9, 9, 255)),
            "1f44b-1f3fd.webp": webp((9, 9, 9, 255)),
            "README.md": b"text",
        }.items():
            info = tarfile.TarInfo(f"package/assets/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("1f438.webp", "frog"),
        ("1f34e.webp", "red apple"),
        ("2764-fe0f.webp", "red heart"),
        ("1f1eb-1f1f7.webp", None),  # the flag of France
        ("1f3c1.webp", None),  # chequered flag
        ("1f3f4-e0067-e0062-e0065-e006e-e0067-e007f.webp", None),  # the flag of England
        ("1f44b-1f3fd.webp", None),  # waving hand, medium skin tone
        ("99999999.webp", None),
        ("logo.webp", None),
    ],
)
def test_names_follow_cldr_and_leave_out_flags_and_skin_tones(file: str, name: str | None) -> None:
    assert assets.name_of(assets.code_points(file)) == name


def test_load_reads_the_archive_once_and_keeps_arrays(cache: Path) -> None:
    assert assets.choose(cache, 5) == ("frog",)
    first = assets.load(cache, ("frog",), 8)
    assert first["frog"].shape == (1, 8, 8, 4)
    next((cache / "npm").glob("*.tgz")).unlink()
    again = assets.load(cache, ("frog",), 8)
    np.testing.assert_array_equal(again["frog"], first["frog"])


def test_an_unknown_name_is_reported(cache: Path) -> None:
    with pytest.raises(KeyError, match="gryphon"):
        assets.load(cache, ("gryphon",), 8)


def test_the_plainest_are_short_and_no_people() -> None:
    names = ("frog", "two o’clock", "woman: red hair", "keycap: 1", "cat face", "OK button", "ant")
    assert assets.plainest(names, 2) == ("ant", "frog")


def test_animated_pictures_keep_their_first_frames() -> None:
    assert assets.decode(webp((0, 200, 0, 255), frames=5), 8, 3).shape == (3, 8, 8, 4)


def test_aliases_are_the_everyday_words() -> None:
    assert [assets.alias(n) for n in ("cat face", "red apple", "frog")] == ["cat", "apple", "frog"]
