"""A LoRA reaches both of two experts, each its own, and nothing else. Needs peft; what is refused needs none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import InvalidInput
from engine.models.load_options import LoadOptions
from engine.models.loading import load_model
from engine.models.lora import add_lora
from tests.families.cases import CASES

PARTS = ("transformer", "transformer_2", "vae", "text_encoder")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    CASES["wan-a14b"].build().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def loras(tmp_path_factory):
    """A random LoRA for each expert, and one file with both; other layers in each, at an alpha of its own."""
    peft = pytest.importorskip("peft")
    folder, pipe = tmp_path_factory.mktemp("loras"), CASES["wan-a14b"].build()
    torch.manual_seed(3)
    files: dict[str, torch.Tensor] = {}
    for name, target in (("transformer", "to_q"), ("transformer_2", "to_v")):
        network = getattr(pipe, name)
        network.add_adapter(peft.LoraConfig(r=4, lora_alpha=4, target_modules=[target], init_lora_weights=False))
        layers = peft.get_peft_model_state_dict(network)
        type(pipe).save_lora_weights(folder, transformer_lora_layers=layers, weight_name=f"{name}.safetensors")
        files |= {f"{name}.{key}": value.contiguous() for key, value in layers.items()}
    save_file(files, folder / "both.safetensors")
    return folder


def changed(folder: Path, **options) -> dict[str, set[str]]:
    """The weights that differ from the model's own, by component."""
    plain = load_model(str(folder), device="cpu").pipe
    loaded = load_model(str(folder), options=LoadOptions.parse(device="cpu", **options)).pipe
    found = {}
    for name in (part for part in PARTS if getattr(plain, part)):
        one, other = getattr(plain, name).state_dict(), getattr(loaded, name).state_dict()
        assert one.keys() == other.keys()  # nothing is left beside the weights
        found[name] = {key.split(".")[-2] for key in one if not torch.equal(one[key], other[key])}
    return found


def test_each_expert_gets_its_own_file_and_nothing_else_is_touched(folder, loras):
    options = {"lora": loras / "transformer.safetensors", "lora_2": loras / "transformer_2.safetensors"}
    assert changed(folder, **options) == {
        "transformer": {"to_q"}, "transformer_2": {"to_v"}, "vae": set(), "text_encoder": set(),
    }  # fmt: skip


def test_one_file_with_both_is_the_same_as_two(folder, loras):
    pair = {"lora": loras / "transformer.safetensors", "lora_2": loras / "transformer_2.safetensors"}
    two = load_model(str(folder), options=LoadOptions.parse(device="cpu", lora_scale=0.5, **pair)).pipe
    both = {"lora": loras / "both.safetensors"}
    one = load_model(str(folder), options=LoadOptions.parse(device="cpu", lora_scale=0.5, **both)).pipe
    for name in PARTS[:2]:
        found = getattr(one, name).state_dict()
        assert all(torch.equal(found[key], value) for key, value in getattr(two, name).state_dict().items())


def test_a_file_of_one_expert_is_refused_for_two(folder, loras):
    with pytest.raises(InvalidInput, match=r"transformer\.safetensors is for one expert, and this model has two; give"):
        changed(folder, lora=loras / "transformer.safetensors")


def test_a_second_file_or_a_file_of_two_is_refused_for_one(loras, tmp_path):
    CASES["wan"].build().save_pretrained(tmp_path / "one")
    file = loras / "transformer.safetensors"
    with pytest.raises(InvalidInput, match="has one expert; leave it out") as told:
        changed(tmp_path / "one", lora=file, lora_2=file)
    assert told.value.field == "lora_2"
    with pytest.raises(InvalidInput, match="is for two experts, and this model has one"):
        changed(tmp_path / "one", lora=loras / "both.safetensors")
    assert changed(tmp_path / "one", lora=file)["transformer"] == {"to_q"}


def test_without_peft_one_file_is_refused_for_two_and_told_apart_by_its_names(tmp_path):
    """The engine's own part alone: which experts a file names, before a library is asked."""
    pipe = CASES["wan-a14b"].build()
    file = tmp_path / "high.safetensors"
    save_file({"transformer.blocks.0.attn1.to_q.lora_A.weight": torch.zeros(4, 24)}, file)
    with pytest.raises(InvalidInput, match="is for one expert, and this model has two"):
        add_lora(pipe, LoadOptions(lora=str(file)))
    assert load_file(file)


def test_the_second_experts_file_needs_the_first_and_is_told(tmp_path):
    for name in ("high", "low"):
        (tmp_path / f"{name}.safetensors").write_bytes(name.encode())
    high, low = tmp_path / "high.safetensors", tmp_path / "low.safetensors"
    with pytest.raises(InvalidInput, match="give the first's as lora too"):
        LoadOptions.parse(lora_2=low)
    first, second = LoadOptions.parse(lora=high, lora_2=low, lora_scale=0.5).told()
    assert first.startswith("LoRA high.safetensors (")
    assert second.startswith("second LoRA low.safetensors (")
    assert second.endswith(") x 0.5")
    environ = {"RESOLUTE_LORA": str(high), "RESOLUTE_LORA_2": str(low), "RESOLUTE_LORA_SCALE": "0.5"}
    assert LoadOptions.from_environment(environ) == LoadOptions.parse(lora=high, lora_2=low, lora_scale=0.5)
