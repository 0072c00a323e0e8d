"""What is used of diffusers without its promise is there in the installed version, and nowhere but in one file."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import diffusers
import pytest
import torch
from accelerate import cpu_offload_with_hook
from accelerate.hooks import ModelHook, add_hook_to_module
from diffusers import DiffusionPipeline
from diffusers.models.attention_dispatch import AttentionBackendName
from diffusers.models.cache_utils import CacheMixin
from torch import nn

from engine.models import diffusers_private as private
from engine.models.denoisers import denoisers_of, is_compiled

ROOT = Path(__file__).parents[2]
IMPORTED = re.compile(r"^\s*from diffusers(\S*\._|\.hooks|.* import .*\b_[a-zA-Z])", re.MULTILINE)
LOOKED_UP = (
    "_execution_device", "_all_hooks", "_progress_bar_config", "_reset_stateful_cache", "_repeated_blocks",
    "_attention_backend", "_diffusers_hook", "_cache_config", "_hf_hook",
)  # fmt: skip


def test_the_version_is_the_one_that_is_required_and_installed():
    assert f"diffusers=={private.TESTED_WITH}\n" in (ROOT / "requirements.txt").read_text()
    assert diffusers.__version__ == private.TESTED_WITH


def test_no_other_file_uses_private_names_of_diffusers():
    for path in (ROOT / "engine").rglob("*.py"):
        text = path.read_text("utf-8")
        if path.name != "diffusers_private.py":
            assert not IMPORTED.search(text), path
            assert not [name for name in LOOKED_UP if re.search(rf"\b{name}\b", text)], path


def test_pipelines_have_the_names(tiny):
    assert private.execution_device(tiny) == torch.device("cpu")
    assert isinstance(getattr(tiny, private.PROGRESS_BAR), dict)
    assert not private.offloads_models(tiny)
    DiffusionPipeline.remove_all_hooks(tiny)
    assert tiny.__dict__["_all_hooks"] == []
    tiny._all_hooks = [object()]
    assert private.offloads_models(tiny)


def test_hooks_of_model_offload_have_the_names(tiny):
    """As accelerate makes them; without a card they can be made, and move nothing."""
    _, hook = cpu_offload_with_hook(tiny.vae, torch.device("cpu"))
    tiny._all_hooks = [hook]
    assert hook.hook is getattr(tiny.vae, private.OFFLOAD_HOOK)
    assert hook.hook.execution_device == torch.device("cpu")
    moved = []

    @contextlib.contextmanager
    def around():
        moved.append(len(moved))
        yield

    latents = torch.zeros(1, 4, 1, 2, 2)
    with private.moves_within(tiny, around):
        tiny.vae.decode(latents)  # it is here already
        assert moved == []
        hook.hook.execution_device = torch.device("meta")
        with pytest.raises((NotImplementedError, RuntimeError)):
            tiny.vae.decode(latents)  # its weights are moved, to where nothing can be computed
        assert moved == [0]
    assert "pre_forward" not in vars(hook.hook)


def test_networks_have_the_names(tiny):
    model = tiny.transformer
    assert private.repeated_block_classes(model) == ("WanTransformerBlock",)
    assert isinstance(model.blocks, nn.ModuleList)
    assert {"blocks", "transformer_blocks"} <= set(private.BLOCK_LISTS)
    assert isinstance(model.blocks[0].attn1, private.ATTENTIONS)
    assert private.knows_results_of(type(model.blocks[0]))
    assert not private.knows_results_of(nn.Linear)
    assert private.chooses_backend(model.blocks[0].attn1.processor)
    assert AttentionBackendName.NATIVE.value == "native"
    assert private.CACHE_CONFIG in vars(CacheMixin)
    assert hasattr(CacheMixin, "_reset_stateful_cache")


class Passing(private.ModelHook):
    def new_forward(self, module, *args, **kwargs):
        return self.fn_ref.original_forward(*args, **kwargs)


def test_hooks_leave_the_names_on_modules():
    module = nn.Linear(2, 2)
    assert private.hooks_of(module) is private.hooks_of(module) is module.__dict__[private.HOOKS]
    private.find_hooks_anew(module)
    assert isinstance(private.StateManager(private.BaseState), private.StateManager)
    hook = Passing()
    private.hooks_of(module).register_hook(hook, "mine")
    assert torch.equal(module(torch.ones(2)), hook.fn_ref.original_forward(torch.ones(2)))
    private.hooks_of(module).remove_hook("mine")
    add_hook_to_module(module, ModelHook())
    assert private.OFFLOAD_HOOK in module.__dict__


@pytest.mark.parametrize("whole", [True, False])
def test_a_compiled_network_or_block_is_told(whole):
    network = nn.Sequential(nn.Linear(2, 2))
    assert not is_compiled(network)
    (network if whole else network[0]).compile(backend="eager")
    assert is_compiled(network)


def test_the_denoisers_of_a_pipeline_are_found_by_name(tiny):
    assert list(denoisers_of(tiny)) == ["transformer"]
    tiny.transformer_2 = tiny.transformer
    assert list(denoisers_of(tiny)) == ["transformer", "transformer_2"]
    assert denoisers_of(object()) == {}
