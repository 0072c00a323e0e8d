"""Weights in variants: plain ones where they are, else half-precision ones, and each component's once."""

from __future__ import annotations

import json

import pytest
import torch

from engine.models import fetching
from engine.models.catalogue import catalogue, find_model
from engine.models.load_errors import damage
from engine.models.loading import load_model
from engine.models.memory_estimate import parts_of
from engine.models.weight_files import only_variant, variant_in, variant_of, weights_in
from tests.tiny import tiny_wan


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("model.safetensors", None),
        ("model.fp16.safetensors", "fp16"),
        ("diffusion_pytorch_model-00001-of-00002.safetensors", None),
        ("diffusion_pytorch_model.fp16-00001-of-00002.safetensors", "fp16"),
        ("diffusion_pytorch_model-00001-of-00002.bf16.safetensors", "bf16"),
        ("diffusion_pytorch_model.non_ema.safetensors", "non_ema"),
        ("config.json", None),
    ],
)
def test_a_variant_is_read_from_the_name(name, variant):
    assert variant_in(name) == variant


def test_a_variant_is_taken_only_where_there_is_nothing_else():
    assert only_variant(["model.safetensors", "model.fp16.safetensors"]) is None
    assert only_variant(["model.fp16.safetensors", "config.json"]) == "fp16"
    assert only_variant(["model.bf16.safetensors", "model.fp16.safetensors"]) == "fp16"
    assert only_variant(["model.non_ema.safetensors"]) is None
    assert only_variant([]) is None


def test_a_folder_of_half_precision_weights_alone_loads(tmp_path):
    pipe = tiny_wan().to(torch.float16)
    pipe.save_pretrained(tmp_path / "tiny", variant="fp16")
    assert variant_of(tmp_path / "tiny", ["transformer", "vae"]) == "fp16"
    assert damage(tmp_path / "tiny") is None
    loaded = load_model(str(tmp_path / "tiny"), device="cpu").pipe
    for name in ("transformer", "vae", "text_encoder"):
        found = getattr(loaded, name).state_dict()
        assert all(torch.equal(found[key], value.float()) for key, value in getattr(pipe, name).state_dict().items())


def test_of_twins_the_plain_ones_are_loaded_and_counted_once(tmp_path):
    pipe = tiny_wan()
    pipe.save_pretrained(tmp_path / "tiny")
    once = {part.name: part.parameters for part in parts_of(find_model(str(tmp_path / "tiny")))}
    tiny_wan(seed=1).to(torch.float16).save_pretrained(tmp_path / "tiny", variant="fp16")
    assert {part.name: part.parameters for part in parts_of(find_model(str(tmp_path / "tiny")))} == once
    assert [file.name for file in weights_in(tmp_path / "tiny" / "vae")] == ["diffusion_pytorch_model.safetensors"]
    loaded = load_model(str(tmp_path / "tiny"), device="cpu").pipe
    assert torch.equal(loaded.transformer.proj_out.weight, pipe.transformer.proj_out.weight)


def test_half_precision_weights_are_fetched_of_the_components_that_have_no_others(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    parts = {"transformer": ["diffusers", "X"], "vae": ["diffusers", "Y"], "tokenizer": ["transformers", "Z"]}
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline", **parts}))
    model = "diffusion_pytorch_model"
    files = [
        f"transformer/{model}.fp16-00001-of-00002.safetensors", f"transformer/{model}.fp16-00002-of-00002.safetensors",
        f"vae/{model}.safetensors", f"vae/{model}.fp16.safetensors", "tokenizer/tokenizer.json", "all.fp16.safetensors",
    ]  # fmt: skip
    asked = {}
    monkeypatch.setattr(fetching, "hf_hub_download", lambda repository, name: str(tmp_path / name))
    monkeypatch.setattr(fetching, "list_repo_files", lambda repository: files)
    monkeypatch.setattr(fetching, "snapshot_download", lambda repository, **more: asked.update(more) or str(tmp_path))
    fetching.folder_of(catalogue()["flux.1-dev"])
    from huggingface_hub.utils import filter_repo_objects

    taken = filter_repo_objects(files, allow_patterns=asked["allow_patterns"], ignore_patterns=asked["ignore_patterns"])
    assert list(taken) == [*files[:3], "tokenizer/tokenizer.json"]
