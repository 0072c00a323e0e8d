"""What keeps a model from being loaded is told as what it is, and where it happened stays to be read."""

from __future__ import annotations

import copy
import gc
import json
import logging
import shutil
import types
import weakref

import diffusers
import pytest
import torch

from engine.errors import InvalidInput, ModelNotFound, RunFailed
from engine.measuring.device import out_of_memory
from engine.models import loading
from engine.models.load_errors import damage, whole_weights
from engine.models.load_options import LoadOptions
from engine.models.loading import load_model
from tests.tiny import saved_tiny_wan

NVML = RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "CUDACachingAllocator.cpp":1131, please report a bug')
TEXT = "\nT5Converter requires the protobuf library but it was not found in your environment. Check out\nthe rest"
SLOW = (
    "Couldn't instantiate the backend tokenizer. You need to have sentencepiece or tiktoken installed "
    + "to convert a slow tokenizer to a fast one."
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "tiny")


@pytest.fixture
def failing(monkeypatch):
    """Lets `from_pretrained` end with an error, inside a frame that holds a tensor."""
    held = []

    def fail(error):
        def from_pretrained(*args, **kwargs):
            scratch = torch.zeros(3, 3)
            held.append(weakref.ref(scratch))
            raise copy.copy(error)  # itself it would be held by this closure, with all frames

        monkeypatch.setattr(diffusers.WanPipeline, "from_pretrained", from_pretrained)
        return held

    return fail


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), NVML])
def test_out_of_memory_is_no_damage(whole, failing, error):
    failing(error)
    with pytest.raises(RunFailed, match=r"^out of memory while loading tiny onto cpu; .*smaller model") as told:
        load_model(str(whole), device="cpu")
    assert "from_pretrained" in told.value.__notes__[0]


@pytest.mark.parametrize(
    ("error", "package"),
    [
        (ModuleNotFoundError("No module named 'google.protobuf'", name="google.protobuf"), "protobuf"),
        (ModuleNotFoundError("No module named 'tiktoken'", name="tiktoken"), "tiktoken"),
        (ImportError(TEXT), "protobuf"),
        (ValueError(SLOW), "sentencepiece"),
        (ImportError("Using `bitsandbytes` requires Accelerate: `pip install 'accelerate>=0.26.0'`"), "accelerate"),
        (ImportError("It requires the latest version: `pip install -U bitsandbytes`"), "bitsandbytes"),
    ],
)
def test_a_missing_package_is_named_with_its_pip_line(whole, failing, error, package):
    failing(error)
    with pytest.raises(InvalidInput) as told:
        load_model(str(whole), device="cpu")
    assert str(told.value) == f"tiny needs the package {package}, which is not installed: pip install {package}."


def test_what_a_quantiser_refuses_is_told_as_its_refusal(whole, monkeypatch):
    stand_in = types.ModuleType("diffusers.quantizers.stand_in")
    exec("def refuse(*args, **kwargs): raise ValueError('no kernel for this card')", stand_in.__dict__)
    monkeypatch.setattr(diffusers.WanPipeline, "from_pretrained", stand_in.refuse)
    monkeypatch.setattr(loading, "_check_extras", lambda *_: None)
    monkeypatch.setattr(loading, "_quantised", lambda *_: {})
    options = LoadOptions(device="cpu", quantise="torchao-int8")
    with pytest.raises(InvalidInput, match="torchao-int8 cannot be used here: no kernel for this card") as told:
        load_model(str(whole), options=options)
    assert told.value.field == "quantise"


def test_what_nobody_foresaw_is_not_called_damage_and_is_logged_with_its_place(whole, failing, caplog):
    held = failing(KeyError("time_embed"))
    with pytest.raises(
        ModelNotFound, match=r"cannot be loaded, though its files are whole\. \(KeyError: 'time_embed'\)"
    ):
        load_model(str(whole), device="cpu")
    assert [one.levelno for one in caplog.records if one.name == "engine.models.load_errors"] == [logging.WARNING]
    assert "from_pretrained" in caplog.text
    gc.collect()
    assert held[0]() is None


def test_only_what_is_absent_or_cut_off_is_damage(folder):
    assert damage(folder) is None
    config = folder / "vae" / "config.json"
    text = config.read_text()
    config.write_text(text[:-20])
    assert damage(folder) == "vae: config.json cannot be read"
    config.write_text(text)
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    assert whole_weights(weights)
    data = weights.read_bytes()
    for left in (0, 7, 100, len(data) - 1):
        weights.write_bytes(data[:left])
        assert damage(folder) == "transformer: diffusion_pytorch_model.safetensors is cut off"
    weights.write_bytes(data)
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": weights.name, "b": "two.safetensors"}}))
    assert damage(folder) == "transformer: two.safetensors is missing"


@pytest.mark.parametrize("step", ["_place", "accelerate", "add_lora", "_lower_peaks"])
def test_memory_that_runs_out_after_the_weights_are_read_is_one_sentence_too(whole, monkeypatch, step):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(loading, step, full)
    with pytest.raises(RunFailed, match=r"^out of memory while loading tiny onto cpu; use|close other programs"):
        load_model(str(whole), device="cpu")


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, "use offload model, quantised weights, or a smaller model"),
        ({"offload": "model"}, "use offload group, quantised weights, or a smaller model"),
        ({"offload": "group", "quantise": "bnb-4bit"}, "use a smaller model"),
    ],
)
def test_the_remedy_is_what_was_not_asked_for_yet(options, remedy):
    from engine.models.load_errors import _smaller

    assert _smaller(LoadOptions(**options), torch.device("cuda")) == remedy


def test_memory_that_ran_out_is_known_by_every_text_of_the_libraries():
    for text in (str(NVML), "CUDA error: out of memory", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"):
        assert out_of_memory(RuntimeError(text))
    assert not out_of_memory(RuntimeError("x INTERNAL ASSERT FAILED at y"))
    assert not out_of_memory(ValueError(str(NVML)))


def test_a_model_by_levels_is_not_called_damaged_either(monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("engine.models.hpdm_pipe.load_hpdm", full)
    with pytest.raises(RunFailed, match=r"^out of memory while loading .* onto cpu; close other programs"):
        load_model("emoji-hpdm", device="cpu")
