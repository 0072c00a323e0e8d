"""Pictures that runs start from: strangers' files, their names, their one cut, and which models take them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from engine.errors import InvalidInput
from engine.experiments.conditions import Conditions, check_complete, pixels_of, roles_of
from engine.experiments.documents import experiment_of
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.input_picture import MAX_SIDE, Picture, read_picture
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.experiments.share_link import pack, unpack
from engine.models.catalogue import catalogue, catalogue_model
from engine.switching.policies import policy_named
from tests.experiments.pictures import MALICIOUS, drawn, saved

MODES = [("RGB", "PNG"), ("RGB", "WEBP"), ("P", "PNG"), ("CMYK", "JPEG"), ("L", "JPEG")]


def pixels(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.png)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("data", MALICIOUS.values(), ids=MALICIOUS)
def test_what_is_no_picture_is_refused_in_one_sentence(data):
    with pytest.raises(InvalidInput) as caught:
        read_picture(data, "last_image", "a.png")
    assert caught.value.field == "last_image"
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "PNG"), ("RGB", "WEBP"), ("P", "PNG"), ("CMYK", "JPEG"), ("L", "JPEG")]
)
def test_every_honest_picture_becomes_eight_bit_rgb(mode, kind):
    options = {"quality": 95} | ({"lossless": True} if kind == "WEBP" else {})
    found = read_picture(saved(drawn(mode=mode), kind, **options))
    assert (found.width, found.height) == (80, 60)
    expected = np.asarray(drawn(mode=mode).convert("RGB"), dtype=int)
    assert np.abs(pixels(found).astype(int) - expected).mean() < 4
    assert Image.open(io.BytesIO(found.png)).mode == "RGB"


def test_sixteen_bits_are_scaled_and_not_clipped():
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    assert np.abs(pixels(read_picture(saved(Image.fromarray(ramp))))[..., 0] - ramp / 257).max() <= 0.5


def test_what_is_transparent_lies_on_white():
    image = drawn(mode="RGBA")
    image.putalpha(0)
    assert (pixels(read_picture(saved(image))) == 255).all()


def test_a_turned_photograph_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    found = read_picture(saved(drawn(80, 60), "JPEG", exif=exif, quality=95))
    assert (found.width, found.height) == (60, 80)
    assert np.abs(pixels(found).astype(int) - np.asarray(drawn(80, 60).rotate(-90, expand=True), int)).mean() < 4


def test_nothing_but_pixels_is_kept():
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    found = read_picture(saved(drawn(), "JPEG", exif=exif, comment=b"secret"))
    assert b"where I live" not in found.png
    assert b"secret" not in found.png
    assert not Image.open(io.BytesIO(found.png)).info


def test_the_name_is_of_the_pixels_and_stays_when_it_is_read_again():
    stored, packed = saved(drawn(), compress_level=0), saved(drawn(), compress_level=9)
    first = read_picture(stored)
    assert stored != packed
    assert first == read_picture(packed) == read_picture(first.png)
    assert first != read_picture(saved(drawn().transpose(Image.Transpose.FLIP_LEFT_RIGHT)))


def test_a_large_picture_is_reduced_to_what_runs_use():
    found = read_picture(saved(drawn(3000, 1500), "JPEG"))
    assert (found.width, found.height) == (MAX_SIDE, MAX_SIDE // 2)
    assert read_picture(found.png) == found


def test_the_cut_is_around_the_middle(tmp_path):
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (90, 0, 210, 100))
    conditions = Conditions(read_picture(saved(image)))
    cut = np.asarray(pixels_of(conditions, tmp_path, 64, 64)["image"])
    assert cut.shape == (64, 64, 3)
    assert (cut == (0, 0, 255)).all()


# ---- what models take --------------------------------------------------------------------------------------------


def test_the_catalogue_says_what_each_model_takes():
    takes = {name: roles_of(spec) for name, spec in catalogue().items()}
    assert takes["wan2.1-i2v-480p"] == ("image",)  # CLIP has positions for one picture
    assert takes["wan2.2-i2v-a14b"] == ("image", "last_image")
    assert takes["wan2.2-ti2v-5b-i2v"] == ("image",)  # the picture is the first latent frame
    assert takes["emoji-wan"] == ()
    assert takes["wan2.1-vace-1.3b"] == ("video",)
    assert takes["flux.1-kontext"] == ("image",)
    assert not catalogue()["flux.1-kontext"].family.needs


def experiment(model: str = "wan2.2-i2v-a14b", **given):
    spec = catalogue_model(model)
    return make_experiment(spec, [track("u-0.75", 6)], Settings(prompt="a red apple", steps=6, **given))


def track(name: str, steps: int) -> Track:
    preset = load_preset(name, steps)
    return Track(preset.name, preset.schedule.with_steps(steps), policy_named(preset.policy or "coherent"))


def test_a_picture_for_a_model_that_takes_none_is_refused_by_name():
    with pytest.raises(InvalidInput, match=r"Emoji-Wan \(shipped\) takes no picture; leave it out"):
        experiment("emoji-wan", image=read_picture(saved(drawn())))
    with pytest.raises(InvalidInput, match="takes no picture of the last frame"):
        experiment("wan2.1-i2v-480p", last_image=read_picture(saved(drawn())))


def test_a_missing_picture_is_asked_for_by_model_and_field():
    asked = experiment()
    with pytest.raises(InvalidInput, match=f"{asked.spec.title} starts from a picture, and image is empty") as caught:
        check_complete(asked.spec, asked.conditions)
    assert caught.value.field == "image"
    check_complete(catalogue_model("flux.1-kontext"), Conditions())  # it can do without


@pytest.mark.parametrize(
    "value",
    [7, "a.png", {}, {"sha256": "../../etc/passwd", "width": 64, "height": 64}, {"sha256": "0" * 64, "width": 64},
     {"sha256": "0" * 64, "width": 64.0, "height": 64}, {"sha256": "0" * 64, "width": 9999, "height": 64},
     {"sha256": "0" * 64, "width": True, "height": 64}, {"sha256": "0" * 64, "width": 64, "height": 64, "path": "/a"}],
)  # fmt: skip
def test_a_document_names_pictures_by_hash_and_size_alone(value):
    document = experiment(image=read_picture(saved(drawn()))).document()
    with pytest.raises(InvalidInput):
        experiment_of(document | {"image": value}, "the file")


def test_documents_and_links_name_the_picture_and_lose_nothing_else():
    asked = experiment(image=read_picture(saved(drawn())), last_image=read_picture(saved(drawn(90, 64))))
    assert "png" not in json.dumps(asked.document())
    for found in (experiment_of(asked.document(), "the file"), unpack(pack(asked))):
        assert found == asked
        assert found.conditions.image.png is None
        with pytest.raises(InvalidInput, match=f"{asked.conditions.image.sha256[:12]}.* is not here: links and docum"):
            found.conditions.check_here()


def test_without_pictures_documents_are_as_they_were():
    assert not {"image", "last_image"} & set(experiment("emoji-wan").document())


def test_another_picture_is_no_reproduction():
    asked = experiment(image=read_picture(saved(drawn())))
    with pytest.raises(InvalidInput, match="is another than"):
        asked.conditions.given_again({"image": read_picture(saved(drawn(90, 64)))})
    with pytest.raises(InvalidInput, match="made without a picture of the last frame"):
        asked.conditions.given_again({"last_image": read_picture(saved(drawn(90, 64)))})
