"""Load options: read once from flags or the environment, refused in one sentence, told in reports without a path."""

from __future__ import annotations

import pytest

from engine.errors import InvalidInput
from engine.models.load_options import LoadOptions


def test_the_environment_and_the_flags_mean_the_same(tmp_path):
    lora = tmp_path / "style.safetensors"
    lora.write_bytes(b"weights")
    environ = {
        "RESOLUTE_DEVICE": "cpu", "RESOLUTE_DTYPE": "bf16", "RESOLUTE_OFFLOAD": "model", "RESOLUTE_TILING": "1",
        "RESOLUTE_SLICING": "0", "RESOLUTE_QUANTISE": "bnb-4bit", "RESOLUTE_LORA": str(lora),
        "RESOLUTE_LORA_SCALE": "0.8", "RESOLUTE_MAX_STEPS": "7",
    }  # fmt: skip
    options = LoadOptions.from_environment(environ)
    assert options == LoadOptions.parse(
        device="cpu", dtype="bfloat16", offload="model", tiling=True, quantise="bnb-4bit", lora=lora, lora_scale=0.8
    )
    assert LoadOptions.from_environment({}) == LoadOptions()
    assert LoadOptions().told() == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "tpu"), ("device", "cuda:x"), ("dtype", "int8"), ("offload", "disk"), ("quantise", "gguf"),
        ("lora", "/none/such.safetensors"), ("lora_scale", float("nan")), ("lora_scale", True), ("offload", None),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_with_the_choices(name, value):
    with pytest.raises(InvalidInput) as error:
        LoadOptions.parse(**{name: value})
    assert error.value.field == name
    assert str(error.value).endswith(".")


def test_what_group_offload_was_not_made_for_is_refused_with_what_would_do(tmp_path):
    lora = tmp_path / "style.safetensors"
    lora.write_bytes(b"weights")
    for values, remedy in (
        ({"quantise": "bnb-4bit"}, "use model offload, or torchao-int8 weights"),
        ({"quantise": "torchao-int8", "lora": lora}, "leave quantise out"),
    ):
        with pytest.raises(InvalidInput, match=remedy) as error:
            LoadOptions.parse(offload="group", **values)
        assert error.value.field == "offload"
        assert LoadOptions.parse(offload="model", **values).offload == "model"
    for values in ({"quantise": "torchao-int8"}, {"lora": lora}, {"tiling": True}):
        assert LoadOptions.parse(offload="group", **values).offload == "group"


@pytest.mark.parametrize(("key", "text"), [("TILING", "yes"), ("LORA_SCALE", "much"), ("DTYPE", "double")])
def test_a_variable_that_cannot_be_read_is_named(key, text):
    with pytest.raises(InvalidInput):
        LoadOptions.from_environment({f"RESOLUTE_{key}": text})


def test_a_pickled_lora_is_refused(tmp_path):
    (tmp_path / "style.bin").touch()
    with pytest.raises(InvalidInput, match=r"\.safetensors file"):
        LoadOptions.parse(lora=tmp_path / "style.bin")


def test_another_lora_of_the_same_name_is_another_environment(tmp_path):
    told = []
    for folder, weights in (("a", b"one"), ("b", b"two")):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "style.safetensors"
        file.write_bytes(weights)
        told.append(LoadOptions.parse(lora=file).told())
    assert told[0] != told[1]
    assert str(tmp_path) not in "".join((*told[0], *told[1]))
