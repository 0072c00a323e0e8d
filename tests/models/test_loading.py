"""Loading: every covered class from a folder as diffusers saves it, and what is wrong with a folder in one sentence."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine.errors import InvalidInput, ModelNotFound
from engine.jobs.model_runner import TorchRunner
from engine.models.catalogue import find_model, spec_of_folder
from engine.models.families import REFUSED
from engine.models.load_options import LoadOptions
from engine.models.loading import _place, load_model, scheduler_for, solver_name
from engine.sampling.pipeline_run import run_staged
from engine.switching.noise_process import process_of
from engine.switching.scheduler_kinds import SCHEDULERS
from tests.families.cases import CASES, TWO, geometry, request, untouched
from tests.tiny import saved_tiny_wan

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return saved_tiny_wan(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "tiny")


TEXTLESS = ("hunyuan-i2v", "hunyuan-i2v-replacing", "kandinsky-5", "kandinsky-5-i2v", "flux2")  # built without one


@pytest.mark.parametrize("name", [name for name in CASES if name not in TEXTLESS])
def test_a_saved_pipeline_loads_as_its_own_class_and_gives_the_same_picture(name, tmp_path):
    """The weights to the bit; pictures to rounding, as mapped files lie otherwise in memory."""
    case = CASES[name]
    pipe = case.build()
    pipe.save_pretrained(tmp_path / "saved")
    loaded = load_model(str(tmp_path / "saved"), device="cpu")
    assert type(loaded.pipe) is type(pipe)
    assert loaded.spec.geometry == geometry(pipe)
    assert loaded.spec.pipeline == type(pipe).__name__
    for part, network in pipe.components.items():
        if isinstance(network, torch.nn.Module):
            found = getattr(loaded.pipe, part).state_dict()
            assert all(torch.equal(found[key], value) for key, value in network.state_dict().items())
    np.testing.assert_allclose(untouched(case, case.settle(loaded.pipe)), untouched(case, pipe), atol=1e-4)


@pytest.mark.parametrize("name", TEXTLESS)
def test_a_folder_without_a_text_encoder_is_described_and_not_loaded(name, tmp_path):
    pipe = CASES[name].build()
    pipe.save_pretrained(tmp_path / "saved")
    assert spec_of_folder(tmp_path / "saved", "tiny", "Tiny").geometry == geometry(pipe)
    with pytest.raises(ModelNotFound, match="incomplete or damaged; download it again"):
        load_model(str(tmp_path / "saved"), device="cpu")


@pytest.mark.parametrize("pipeline", sorted(REFUSED))
def test_a_folder_of_a_refused_class_says_why(pipeline, folder):
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": pipeline}))
    with pytest.raises(InvalidInput) as error:
        load_model(str(folder))
    assert REFUSED[pipeline] in str(error.value)


@pytest.mark.parametrize("name", ["os.system", "Evil", "DiffusionPipeline", None, 5, "UNet2DModel"])
def test_a_class_that_is_not_in_the_table_is_never_looked_up(name, folder):
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": name}))
    with pytest.raises(InvalidInput, match="cannot follow a resolution schedule"):
        load_model(str(folder))


def test_a_component_of_a_foreign_library_is_refused_and_not_imported(folder):
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"extra": ["this_module", "Evil"]}))
    (folder / "this_module.py").write_text("raise SystemExit('imported')")
    with pytest.raises(ModelNotFound, match="bring code of their own"):
        load_model(str(folder))


def refused(folder: Path) -> str:
    with pytest.raises(ModelNotFound) as error:
        load_model(str(folder))
    text = str(error.value)
    assert text[-1] in ".)?"
    assert "\n" not in text
    assert ".bin" not in text  # what the library says is missing, though safetensors are
    return text


def test_what_is_missing_is_named_with_the_remedy(folder):
    shutil.rmtree(folder / "vae")
    assert "vae" in refused(folder)
    (folder / "model_index.json").unlink()
    assert "is it a whole diffusers folder?" in refused(folder)


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_missing_weights_are_asked_for_as_safetensors(part, folder):
    for file in (folder / part).glob("*.safetensors"):
        file.unlink()
    assert "holds no safetensors weights; download it again as safetensors" in refused(folder)
    (folder / part / "diffusion_pytorch_model.pt").write_bytes(b"")
    assert "holds only pickled weights" in refused(folder)


def test_a_missing_tokenizer_is_named(folder):
    shutil.rmtree(folder / "tokenizer")
    assert "lacks its tokenizer" in refused(folder)


def test_a_folder_that_is_not_there_is_no_hub_id(tmp_path):
    for name in (str(tmp_path / "none"), "./none", "none/none"):
        with pytest.raises(ModelNotFound, match="neither in the catalogue nor a folder here"):
            load_model(name)


def test_a_model_of_the_hub_that_is_not_in_the_cache_says_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelNotFound, match="not in the local hub cache, and nothing is fetched here"):
        load_model("flux.1-dev")


@pytest.mark.parametrize(
    ("name", "solver"),
    [
        *(("wan", one) for one in SCHEDULERS["flow"]), *(("sdxl", one) for one in SCHEDULERS["diffusion"]),
        *(("cogvideox-2b", one) for one in SCHEDULERS["cogvideox"]), ("mochi", "euler"), ("flux", "euler"),
        *((name, one) for name in ("sana", "sana-video", "sd3", "aura-flow", "skyreels", "kandinsky-5")
          for one in SCHEDULERS["flow"]),
    ],
)  # fmt: skip
def test_every_solver_that_a_model_may_ask_for_runs_in_its_pipeline(name, solver, tmp_path):
    case = CASES[name]
    pipe = case.build()
    pipe.save_pretrained(tmp_path / "saved")
    spec = spec_of_folder(tmp_path / "saved", "tiny", "Tiny")
    assert solver in spec.solvers
    before = process_of(pipe.scheduler).name
    pipe.scheduler = scheduler_for(pipe, solver, None)
    assert solver_name(pipe.scheduler) == solver
    assert (before == "flow") == (process_of(pipe.scheduler).name == "flow")
    assert np.isfinite(untouched(case, pipe)).all()


@pytest.mark.parametrize("name", ["wan", "flux", "sdxl", "ltx", "sana"])
def test_without_a_shift_the_scheduler_is_the_models_own(name):
    pipe = CASES[name].build()
    assert dict(scheduler_for(pipe, None, None).config) == dict(pipe.scheduler.config)


def test_a_solver_keeps_the_models_shift_and_a_shift_replaces_what_goes_by_the_size():
    wan, flux = CASES["wan"].build(), CASES["flux"].build()
    own = wan.scheduler.config.flow_shift
    assert scheduler_for(wan, "euler", None).config.shift == own
    assert scheduler_for(wan, "dpm++", 7.0).config.flow_shift == 7.0
    fixed = scheduler_for(flux, None, 2.0)
    assert (fixed.config.shift, fixed.config.use_dynamic_shifting) == (2.0, False)


def test_number_types_tiling_and_slicing_are_put_on(whole):
    loaded = load_model(str(whole), options=LoadOptions.parse(device="cpu", dtype="bf16", tiling=True, slicing=True))
    assert loaded.pipe.transformer.proj_out.weight.dtype == torch.bfloat16
    assert loaded.pipe.vae.use_tiling
    assert loaded.pipe.vae.use_slicing
    assert loaded.options.told()[:2] == ("VAE tiling", "VAE slicing")


def test_what_this_machine_cannot_do_is_one_sentence(whole, monkeypatch):
    for options, words in (
        ({"offload": "model"}, "runs here use the CPU alone"),
        ({"device": "cuda:9"}, "CUDA devices are here"),
    ):
        with pytest.raises(InvalidInput, match=words):
            load_model(str(whole), options=LoadOptions.parse(**{"device": "cpu"} | options))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match="bitsandbytes, which is not installed: pip install bitsandbytes"):
        load_model(str(whole), options=LoadOptions.parse(device="cpu", quantise="bnb-4bit"))


def test_with_group_offload_the_autoencoder_stays_on_the_card():
    """diffusers warns of tiled decoding with streams, and fetches nothing ahead for `decode`."""
    asked = {}
    pipe = SimpleNamespace(enable_group_offload=lambda **options: asked.update(options))
    _place(pipe, LoadOptions(offload="group", tiling=True), torch.device("cuda"))
    assert (asked["exclude_modules"], asked["use_stream"]) == (["vae"], True)


def test_layers_that_come_and_go_give_the_same_frames():
    """Group offload without a card: its hooks, and nothing to move."""
    case = CASES["wan"]
    pipe = case.build()
    pipe.enable_group_offload(onload_device=torch.device("cpu"), offload_type="leaf_level", exclude_modules=["vae"])
    expected = run_staged(request(case, case.build(), TWO)).frames
    assert np.array_equal(run_staged(request(case, pipe, TWO)).frames, expected)


def test_a_lora_needs_its_package_and_is_refused_where_it_is_none(whole, tmp_path, monkeypatch):
    file = tmp_path / "some.safetensors"
    file.write_bytes(b"")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match="peft, which is not installed"):
        load_model(str(whole), options=LoadOptions.parse(device="cpu", lora=str(file)))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(InvalidInput, match=r"some\.safetensors is no LoRA for WanPipeline"):
        load_model(str(whole), options=LoadOptions.parse(device="cpu", lora=str(file)))


def test_the_model_before_is_released_whole_before_the_next_is_loaded(whole, monkeypatch):
    """Not a network of it is alive, nor one of its tensors."""
    runner, alive = TorchRunner(), []

    def load(name, **more):
        gc.collect()
        assert [one for one in alive if one() is not None] == []
        return load_model(name, device="cpu")

    monkeypatch.setattr("engine.jobs.model_runner.load_model", load)
    spec = find_model(str(whole))
    for _ in range(2):
        runner.load(type("Spec", (), {"id": spec.location, "levels": None})())
        networks = [one for one in runner._model.pipe.components.values() if isinstance(one, torch.nn.Module)]
        alive = [weakref.ref(one) for network in networks for one in (network, *network.parameters())]
        assert len(alive) > 20
        del networks


def test_bitsandbytes_on_a_cpu_is_refused_in_words(whole, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(InvalidInput, match="bnb-8bit needs a GPU; use torchao-int8"):
        load_model(str(whole), options=LoadOptions.parse(device="cpu", quantise="bnb-8bit"))


def test_a_lora_is_put_into_the_weights_as_strongly_as_asked(tmp_path):
    """Against the adapter itself, as peft runs it beside the weights."""
    peft = pytest.importorskip("peft")
    case = CASES["wan"]
    pipe = case.build()
    pipe.save_pretrained(tmp_path / "model")
    plain = untouched(case, pipe)
    targets = peft.LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False)
    pipe.transformer.add_adapter(targets)
    layers = peft.get_peft_model_state_dict(pipe.transformer)
    type(pipe).save_lora_weights(tmp_path, transformer_lora_layers=layers, weight_name="style.safetensors")
    beside = untouched(case, pipe)
    assert abs(beside - plain).max() > 0.01
    for scale, wanted in ((1.0, beside), (0.0, plain)):
        options = LoadOptions.parse(device="cpu", lora=tmp_path / "style.safetensors", lora_scale=scale)
        loaded = load_model(str(tmp_path / "model"), options=options)
        assert not [name for name, _ in loaded.pipe.transformer.named_modules() if "lora" in name]
        np.testing.assert_allclose(untouched(case, loaded.pipe), wanted, atol=1e-3)


def test_int8_weights_are_loaded_for_the_denoiser_alone(tmp_path):
    pytest.importorskip("torchao")
    case = CASES["wan"]
    case.build().save_pretrained(tmp_path / "model")
    options = LoadOptions.parse(device="cpu", quantise="torchao-int8")
    loaded = load_model(str(tmp_path / "model"), options=options)
    weight = loaded.pipe.transformer.blocks[0].ffn.net[2].weight
    assert "Int8" in type(weight).__name__
    assert type(loaded.pipe.vae.decoder.conv_in.weight) is torch.nn.Parameter
    plain = load_model(str(tmp_path / "model"), device="cpu").pipe
    difference = abs(untouched(case, loaded.pipe) - untouched(case, plain)).max()
    assert 0 < difference < 0.1
