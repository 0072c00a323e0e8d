"""Number types: what a card can, what an autoencoder was published for, and what a report says. Cards are stand-ins."""

from __future__ import annotations

import os
import types
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.comparing.run_entry import environment
from engine.cuda_allocator import OLDER, SETTING
from engine.models import loading
from engine.models.catalogue import catalogue
from engine.models.load_options import LoadOptions
from engine.models.loading import load_model
from engine.models.precision import denoising_dtype, dtype_of, dtypes_of, told
from engine.sampling.pipeline_run import run_staged
from engine.schedules.schedule import flat
from tests.families.cases import CASES, U, request
from tests.tiny import saved_tiny_wan

CUDA, CPU, PLAIN = torch.device("cuda"), torch.device("cpu"), LoadOptions()


@pytest.fixture
def card(monkeypatch):
    """Lets the card be of another generation."""

    def be(*capability):
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)

    return be


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), "float16"), ((7, 0), "float16"), ((8, 0), "bfloat16"), ((12, 0), "bfloat16")]
)
def test_a_card_without_bfloat16_runs_in_float16_and_it_is_said(card, capability, dtype):
    card(*capability)
    assert dtype_of(PLAIN, CUDA) == getattr(torch, dtype)
    pipe = types.SimpleNamespace(dtype=getattr(torch, dtype))
    assert told(pipe, PLAIN, CUDA) == (() if dtype == "bfloat16" else ("float16, as this card has no bfloat16",))
    asked = LoadOptions(dtype="bfloat16")
    assert dtype_of(asked, CUDA) == torch.bfloat16
    pipe.dtype = torch.bfloat16
    assert bool(told(pipe, asked, CUDA)) == (dtype == "float16")
    assert dtype_of(PLAIN, CPU) == torch.float32
    assert told(pipe, PLAIN, CPU) == ()


def test_amds_cards_have_it(card, monkeypatch):
    card(7, 5)
    monkeypatch.setattr(torch.version, "hip", "6.0")
    assert dtype_of(PLAIN, CUDA) == torch.bfloat16


def test_wans_autoencoder_is_in_float32_as_it_was_published_for_and_others_follow_the_denoiser(card):
    card(9, 0)
    wan, flux = catalogue()["wan2.1-1.3b"], catalogue()["flux.1-dev"]
    assert dtypes_of(wan, PLAIN, CUDA) == {"default": torch.bfloat16, "vae": torch.float32}
    assert dtypes_of(flux, PLAIN, CUDA) == {"default": torch.bfloat16, "vae": torch.bfloat16}
    half = replace(PLAIN, vae_dtype="bfloat16")
    assert dtypes_of(wan, half, CUDA) == {"default": torch.bfloat16, "vae": torch.bfloat16}
    assert dtypes_of(catalogue()["emoji-wan"], PLAIN, CPU) == {"default": torch.float32, "vae": torch.float32}


def test_four_bits_are_computed_with_in_the_denoisers_type(card, tmp_path):
    spec = catalogue()["emoji-wan"]
    for capability, dtype in (((7, 5), torch.float16), ((8, 6), torch.bfloat16)):
        card(*capability)
        options = LoadOptions(quantise="bnb-4bit")
        found = loading._quantised(spec, tmp_path, options, dtype_of(options, CUDA))["quantization_config"]
        assert found.quant_kwargs["bnb_4bit_compute_dtype"] == dtype


def test_a_report_says_the_denoisers_number_type_and_what_the_autoencoders_is(tmp_path):
    folder = str(saved_tiny_wan(tmp_path / "tiny"))
    model = load_model(folder, options=LoadOptions.parse(device="cpu", dtype="bf16"))
    assert (model.pipe.vae.dtype, model.pipe.transformer.dtype) == (torch.float32, torch.bfloat16)
    assert denoising_dtype(model.pipe) == torch.bfloat16
    assert (environment(model).dtype, environment(model).loading) == ("bfloat16", ("VAE in float32",))
    half = load_model(folder, options=LoadOptions.parse(device="cpu", dtype="bf16", vae_dtype="bf16"))
    assert half.pipe.vae.dtype == torch.bfloat16
    assert environment(half).loading == ()
    plain = load_model(folder, device="cpu")
    assert (environment(plain).dtype, environment(plain).loading) == ("float32", ())


WAN_VAES = [name for name in CASES if type(CASES[name].build().vae).__name__ == "AutoencoderKLWan"]


@pytest.mark.parametrize("name", WAN_VAES)
def test_every_pipeline_with_that_autoencoder_runs_beside_a_denoiser_in_half_precision(name):
    case = CASES[name]
    pipe = case.settle(case.build().to(torch.bfloat16))
    pipe.vae.to(torch.float32)
    for schedule in (flat(8), U):
        assert np.isfinite(run_staged(request(case, pipe, schedule)).frames).all()


def test_the_chosen_card_is_the_current_one_before_weights_are_read(tmp_path, monkeypatch):
    """Quantisers put weights on the current card."""
    order = []
    monkeypatch.setenv(SETTING, "backend:native")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: order.append(str(device)))
    monkeypatch.setattr(loading, "free", lambda device: None)
    monkeypatch.setattr(loading, "_pipe", lambda *args: order.append("weights") or types.SimpleNamespace())
    load_model(str(saved_tiny_wan(tmp_path / "tiny")), device="cuda:1")
    assert order == ["cuda:1", "weights"]


@pytest.mark.parametrize("begun", [False, True])
def test_who_loads_from_python_gets_segments_that_grow_as_the_command_line_does(tmp_path, monkeypatch, begun):
    """Unless torch has asked the card for memory already: then nothing reads the setting any more."""
    for name in (SETTING, OLDER):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: begun)
    monkeypatch.setattr(loading, "_pipe", lambda *args: types.SimpleNamespace())
    load_model(str(saved_tiny_wan(tmp_path / "tiny")), device="cuda")
    assert os.environ[SETTING] == ("" if begun else "expandable_segments:True")
