"""Networks: exactly Wan's classes, and shortcuts that change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanPipeline

from training import model
from training.autoencoder import decode, encode, quicken
from training.config import Recipe
from training.data import Scenes, vocabulary
from training.recipes import RECIPES


@pytest.fixture(scope="module")
def pipe(tiny: Recipe, scenes: Scenes) -> WanPipeline:
    torch.manual_seed(0)
    pipe = model.build(tiny, vocabulary(scenes, 200))
    torch.nn.init.normal_(pipe.transformer.proj_out.weight, std=0.1)
    return pipe


def test_a_saved_pipeline_loads_and_gives_the_same_clip(pipe: WanPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    again = WanPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert type(again.vae) is AutoencoderKLWan
    frames = [
        p(
            prompt="a frog",
            height=32,
            width=32,
            num_frames=5,
            num_inference_steps=2,
            max_sequence_length=16,
            generator=torch.Generator().manual_seed(1),
            output_type="pt",
        ).frames
        for p in (pipe, again)
    ]
    assert frames[0].shape == (1, 5, 3, 32, 32)
    assert torch.allclose(*frames, atol=1e-3)


def test_captions_are_embedded_as_the_pipeline_does(pipe: WanPipeline) -> None:
    generator = model.Generator(pipe.transformer, pipe.text_encoder)
    prompts = ["A frog  drifting left", ""]
    ids = model.token_ids(pipe.tokenizer, prompts, 16)
    assert torch.equal(generator.embed(ids), pipe._get_t5_prompt_embeds(prompts, max_sequence_length=16))


def test_the_tokenizer_knows_its_words_and_admits_others(pipe: WanPipeline) -> None:
    ids = pipe.tokenizer("A Frog, unheard-of").input_ids
    assert ids[-1] == 1
    assert 2 in ids
    assert 2 not in pipe.tokenizer("a cat face bouncing over blue stripes").input_ids
    assert pipe.tokenizer("").input_ids == [1]


def test_an_untrained_transformer_starts_at_zero(tiny: Recipe) -> None:
    fresh = model.build_transformer(tiny.dit, 16)
    out = fresh(torch.randn(1, 16, 1, 4, 4), torch.tensor([500.0]), torch.zeros(1, 16, 32)).sample
    assert not out.any()


@pytest.mark.parametrize("frames", [1, 5])
def test_the_quick_autoencoder_gives_what_wans_gives(pipe: WanPipeline, frames: int) -> None:
    plain = AutoencoderKLWan.from_config(pipe.vae.config)
    plain.load_state_dict(pipe.vae.state_dict())
    clip = torch.rand(1, 3, frames, 16, 16) - 0.5
    with torch.no_grad():
        z = plain.encode(clip).latent_dist.mode()
        assert torch.allclose(encode(pipe.vae, clip)[0], z, atol=1e-4)
        expected = plain.decode(z).sample
        assert torch.allclose(decode(pipe.vae, z).clamp(-1, 1), expected, atol=1e-4)
    assert quicken(plain) is plain


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_divide_evenly_at_every_rate(name: str) -> None:
    recipe = RECIPES[name]
    for rate in (1.0, 0.75, 0.5):
        assert recipe.scenes.side * rate % 16 == 0
    assert (recipe.scenes.frames - 1) % 4 == 0
    assert recipe.dit.phases[-1].until == 1.0


def test_the_large_recipe_builds_and_runs_forward() -> None:
    recipe = RECIPES["base"]
    cfg = replace(recipe.dit, layers=1)
    with torch.device("meta"):
        net = model.build_transformer(cfg, recipe.vae.z_dim)
    assert net.config.num_attention_heads == recipe.dit.heads
