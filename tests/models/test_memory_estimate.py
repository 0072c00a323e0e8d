"""What models need, before they are loaded: ordered as it must be, told with figures, and never an exception."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from engine.models import availability as places
from engine.models.availability import all_available, availability, studio_models
from engine.models.catalogue import catalogue, find_model
from engine.models.load_options import LoadOptions
from engine.models.memory_estimate import _remedies, fits, needed, parts_of
from tests.tiny import saved_tiny_wan, tiny_wan

PLAIN = LoadOptions()
HUB = [spec for spec in catalogue().values() if not spec.is_local]


@pytest.mark.parametrize("spec", HUB, ids=lambda spec: spec.id)
def test_every_remedy_needs_less_and_every_larger_run_more(spec):
    plain = needed(spec, PLAIN)
    assert plain.weights <= min(plain.text, plain.denoising, plain.decoding)
    single, half = (needed(spec, replace(PLAIN, **one)) for one in ({"dtype": "float32"}, {"vae_dtype": "bfloat16"}))
    assert single.peak > 1.9 * half.peak
    assert needed(spec, replace(PLAIN, tiling=True)).decoding <= plain.decoding
    offload, group = (needed(spec, replace(PLAIN, offload=kind)) for kind in ("model", "group"))
    assert group.weights < offload.weights < plain.weights
    assert offload.peak < plain.peak
    quantised = [needed(spec, replace(PLAIN, quantise=kind)).weights for kind in ("bnb-8bit", "bnb-4bit")]
    assert quantised[1] < quantised[0] < plain.weights
    larger = needed(spec, PLAIN, height=2 * spec.defaults.height, width=2 * spec.defaults.width)
    assert larger.denoising > plain.denoising
    assert larger.decoding > plain.decoding


def test_weights_are_parameters_times_bytes():
    need = needed(catalogue()["wan2.1-1.3b"], PLAIN)
    assert need.weights == pytest.approx((2 * (1.419 + 5.68) + 4 * 0.127) * 1e9)  # the VAE is in float32
    both = needed(catalogue()["wan2.2-t2v-a14b"], PLAIN)  # two experts of 14.288
    assert both.weights == pytest.approx((2 * (2 * 14.288 + 5.68) + 4 * 0.127) * 1e9)


def test_an_autoencoder_in_float32_needs_twice_as_much_as_in_half_precision():
    for name in ("wan2.1-1.3b", "sana-video-2b"):
        plain, half = (needed(catalogue()[name], replace(PLAIN, vae_dtype=kind)) for kind in (None, "bfloat16"))
        assert plain.denoising - half.denoising == pytest.approx(1.1 * 2 * 0.127e9, rel=0.01)
        assert plain.decoding - plain.weights * 1.1 == pytest.approx(2 * (half.decoding - half.weights * 1.1))
    flux = [needed(catalogue()["flux.1-dev"], replace(PLAIN, vae_dtype=kind)).peak for kind in (None, "bfloat16")]
    assert flux[0] == flux[1]


def test_with_model_offload_the_text_encoder_counts_too():
    """Kandinsky's is four times its denoiser."""
    need = needed(catalogue()["kandinsky5-lite"], LoadOptions(offload="model", tiling=True))
    assert need.phase == "text"
    assert need.peak > 2 * 8.29e9


def test_what_does_not_fit_is_told_with_figures_and_what_would_help():
    spec = catalogue()["wan2.1-14b"]
    assert fits(spec, PLAIN, 80e9) is None
    text = fits(spec, PLAIN, 32e9)
    assert "GB are needed at 1280x720" in text
    assert "the card has 32 GB" in text
    assert "offload" in text
    assert text.endswith(".")
    assert "a smaller size, fewer frames, or a larger card" in fits(spec, PLAIN, 4e9)


def test_the_autoencoder_takes_no_part_in_group_offload():
    spec = catalogue()["wan2.1-14b"]
    vae = sum(4 * part.parameters for part in parts_of(spec) if part.kind == "vae")  # float32, as it is published
    rest = needed(spec, PLAIN).weights - vae
    assert needed(spec, LoadOptions(offload="group")).weights == pytest.approx(vae + 0.05 * rest)


def test_offloaded_weights_must_fit_into_the_machine_s_memory():
    spec = catalogue()["wan2.2-t2v-a14b"]
    whole = needed(spec, PLAIN).weights
    assert needed(spec, PLAIN).host == 0
    for offload, words in (
        ("model", "in the machine's memory, and"),
        ("group", "in the machine's memory, pinned, and"),
    ):
        options = LoadOptions(offload=offload, tiling=True)
        assert needed(spec, options).host == pytest.approx(whole)
        assert fits(spec, options, 80e9, 100e9) is None
        told = fits(spec, options, 80e9, 32e9)
        assert told.startswith(f"{offload} offload keeps about 69 GB of weights")
        assert words in told
        assert "it has 32 GB" in told
    assert "offload" not in fits(spec, PLAIN, 24e9, 8e9)  # no remedy that the machine has no room for


def test_every_remedy_can_be_asked_for():
    """Nothing is advised that is refused when it is taken."""
    for words, options in _remedies(LoadOptions(quantise="bnb-4bit")) + _remedies(PLAIN):
        values = {name: getattr(options, name) for name in ("offload", "tiling", "quantise")}
        assert LoadOptions.parse(**values), words


def test_a_remedy_that_is_named_does_fit():
    for spec in HUB:
        for card in (12e9, 16e9, 24e9, 48e9):
            text = fits(spec, PLAIN, card)
            if text and "with " in text:
                assert "it needs about" in text
                assert float(text.rsplit("about ", 1)[1].split(" GB")[0]) <= card / 1e9 + 0.5


def test_parts_of_a_folder_are_read_from_its_weights(tmp_path):
    spec = find_model(str(saved_tiny_wan(tmp_path / "tiny")))
    pipe = tiny_wan()
    found = {part.name: part for part in parts_of(spec)}
    for name in ("transformer", "vae"):
        assert found[name].parameters == sum(one.numel() for one in getattr(pipe, name).parameters())
    assert (found["transformer"].kind, found["vae"].kind, found["text_encoder"].kind) == ("denoiser", "vae", "text")
    next((tmp_path / "tiny" / "vae").glob("*.safetensors")).write_bytes(b"\xff" * 100)
    assert "vae" not in {part.name for part in parts_of(spec)}


def test_a_model_is_here_in_the_cache_or_must_be_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    spec = catalogue()["sdxl"]
    assert availability(spec).place == "to fetch"
    assert availability(spec).told == "must be fetched, about 7 GB"
    snapshot = tmp_path / "models--stabilityai--stable-diffusion-xl-base-1.0" / "snapshots" / "abc"
    for part in ("unet", "vae"):
        (snapshot / part).mkdir(parents=True)
        assert availability(spec).place == "to fetch"  # half of it is not it
        (snapshot / part / "diffusion_pytorch_model.safetensors").touch()
    (snapshot / "model_index.json").touch()
    assert availability(spec).place == "cached"
    assert availability(spec).fetch_bytes is None
    assert availability(find_model("emoji-wan")).place == "here"


def test_the_studio_judges_by_its_card_and_options(monkeypatch):
    monkeypatch.setattr(places, "card_bytes", lambda device=None: 24e9)
    large = {one.spec.id for one in studio_models() if one.too_large}
    assert "wan2.1-14b" in large
    assert "emoji-wan" not in large
    monkeypatch.setenv("RESOLUTE_OFFLOAD", "model")
    monkeypatch.setenv("RESOLUTE_TILING", "1")
    assert {one.spec.id for one in studio_models() if one.too_large} < large
    monkeypatch.setenv("RESOLUTE_DEVICE", "cpu")
    assert not [one for one in studio_models() if one.too_large]
    monkeypatch.setenv("RESOLUTE_DEVICE", "tpu")
    assert studio_models()
    json.dumps([one.document() for one in all_available()], allow_nan=False)


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A stand-in for the driver's tool: two cards, of 24 and 80 GiB."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\nfor a in "$@"; do\n'
        "case $a in 0|GPU-a) echo 24576;; 1|GPU-b) echo 81920;; 2|MIG-*) exit 6;; esac\ndone\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    places._memory_of.cache_clear()
    yield monkeypatch
    places._memory_of.cache_clear()


def test_memory_is_that_of_the_card_that_was_chosen(driver):
    assert [places.card_bytes(one) for one in (None, "cuda", "cuda:0", "cuda:1")] == [24 * 2**30] * 3 + [80 * 2**30]
    assert places.card_bytes("cuda:2") is None
    for visible, cards in (("1,0", (80, 24)), ("GPU-b", (80, None)), ("", (None, None)), ("MIG-1/2/3", (None, None))):
        driver.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert [places.card_bytes(f"cuda:{n}") for n in (0, 1)] == [one and one * 2**30 for one in cards]
