"""Going on from saved weights: what is kept, what is trained, and what an export takes from where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan

from training import export as exporting
from training import train_dit, train_vae
from training.autoencoder import build_vae
from training.bank import Bank
from training.config import Recipe
from training.data import Scenes, vocabulary
from training.model import build, load_generator
from training.recipes import NANO, going_on, polishing
from training.runtime import fingerprint, newest_vae


@pytest.fixture
def saved(tiny: Recipe, scenes: Scenes, tmp_path: Path) -> Path:
    """A pipeline as it is shipped, in bf16."""
    torch.manual_seed(1)
    build(tiny, vocabulary(scenes, 100)).to(dtype=torch.bfloat16).save_pretrained(tmp_path / "shipped")
    return tmp_path / "shipped"


@pytest.fixture
def bank(tiny: Recipe, scenes: Scenes, tmp_path: Path) -> Bank:
    bank = Bank(tiny, tmp_path / "bank")
    bank.fill("clips", scenes, build_vae(tiny.vae), 2)
    return bank


def equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def captions_of(tiny: Recipe, scenes: Scenes, saved: Path) -> train_dit.Captions:
    return train_dit.Captions(scenes, load_generator(saved)[1], tiny.dit.max_length)


def test_polishing_moves_the_decoder_and_leaves_the_latents(
    tiny: Recipe, scenes: Scenes, saved: Path, tmp_path: Path
) -> None:
    before = AutoencoderKLWan.from_pretrained(saved / "vae")
    run = train_vae.train(tiny, tmp_path / "run", 1e9, scenes, limit=2, start=saved / "vae")
    assert equal(run.module.encoder, before.encoder)
    assert equal(run.module.quant_conv, before.quant_conv)
    assert not equal(run.module.decoder, before.decoder)
    assert not equal(run.ema.module.decoder, before.decoder)


def test_the_first_step_starts_from_the_saved_weights_and_is_small(
    tiny: Recipe, scenes: Scenes, bank: Bank, saved: Path, tmp_path: Path
) -> None:
    polish = train_vae.train(tiny, tmp_path / "polish", 1e9, scenes, limit=1, start=saved / "vae")
    generator = train_dit.train(
        tiny, tmp_path / "dit", bank, captions_of(tiny, scenes, saved), None, 1e9, limit=1, start=saved
    )
    for run, before in (
        (polish, AutoencoderKLWan.from_pretrained(saved / "vae")),
        (generator, load_generator(saved)[0]),
    ):
        for averaged, own, start in zip(*(m.parameters() for m in (run.ema.module, run.module, before)), strict=True):
            assert own.dtype == torch.float32
            assert max((averaged - start).abs().max(), (own - start).abs().max()) < 1e-3


def test_a_resumed_run_from_saved_weights_equals_an_unbroken_one(
    tiny: Recipe, scenes: Scenes, bank: Bank, saved: Path, tmp_path: Path
) -> None:
    args = (bank, captions_of(tiny, scenes, saved), None, 1e9)
    whole = train_dit.train(tiny, tmp_path / "a", *args, limit=4, start=saved)
    half = train_dit.train(tiny, tmp_path / "b", *args, limit=2, start=saved)
    resumed = train_dit.train(tiny, tmp_path / "b", *args, limit=4, start=saved)
    assert not equal(half.module, resumed.module)
    assert equal(whole.module, resumed.module)
    assert equal(whole.ema.module, resumed.ema.module)


def test_going_on_trains_clips_at_a_smaller_rate_that_only_falls() -> None:
    cfg = going_on(NANO.dit)
    kinds = {train_dit.batch_kind(cfg, 0.0, np.random.default_rng(seed))[0] for seed in range(50)}
    assert 5 in kinds
    assert (cfg.lr, cfg.decay) == (NANO.dit.lr / 2, 1.0)


def test_polishing_decodes_whole_clips_from_inexact_latents(tiny: Recipe, scenes: Scenes) -> None:
    cfg = polishing(NANO.vae)
    assert (17, 128) in {(frames, side) for frames, side, *_ in cfg.clip}
    vae = build_vae(tiny.vae)
    clip = torch.stack([scenes.clip(0, 5)])
    exact = replace(polishing(tiny.vae), latent_noise=0.0, equivariance=0.0)
    noisy = replace(exact, latent_noise=0.5)
    losses = [train_vae.vae_loss(vae, cfg, clip, np.random.default_rng(0)).item() for cfg in (exact, exact, noisy)]
    assert losses[0] == losses[1] != losses[2]


def test_frozen_weights_have_no_optimizer(tiny: Recipe) -> None:
    vae = build_vae(tiny.vae)
    vae.encoder.requires_grad_(False)
    held = {id(p) for o in train_vae.optimizers(vae, polishing(tiny.vae)) for g in o.param_groups for p in g["params"]}
    assert held == {id(p) for p in vae.parameters() if p.requires_grad}


def test_other_weights_mean_other_draws(saved: Path) -> None:
    assert fingerprint(None) == 0
    assert fingerprint(saved) == fingerprint(saved) != fingerprint(saved / "vae")


def test_the_polished_autoencoder_comes_first(tmp_path: Path) -> None:
    start, folder = tmp_path / "shipped", tmp_path / "run"
    with pytest.raises(FileNotFoundError, match="--from"):
        newest_vae(folder)
    for place in (start / "vae", folder / "vae" / "vae", folder / "polish" / "vae"):
        place.mkdir(parents=True)
        assert newest_vae(folder, start) == place


def test_an_export_takes_from_the_start_what_the_run_did_not_train(
    tiny: Recipe, scenes: Scenes, bank: Bank, saved: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "run", tmp_path / "out"
    polished = train_vae.train(tiny, folder / "polish", 1e9, scenes, limit=1, start=saved / "vae").ema.module
    polished.save_pretrained(folder / "polish" / "vae")
    exporting.export(tiny, folder, out, saved)
    assert equal(load_generator(out)[0], load_generator(saved)[0])
    assert not [config for config in out.rglob("*config.json") if "is_local" in config.read_text()]
    assert equal(AutoencoderKLWan.from_pretrained(out / "vae"), polished.bfloat16().float())
    captions = captions_of(tiny, scenes, saved)
    train_dit.train(tiny, folder / "dit", bank, captions, None, 1e9, limit=2, start=saved)
    exporting.export(tiny, folder, out, saved)
    assert not equal(load_generator(out)[0], load_generator(saved)[0])
