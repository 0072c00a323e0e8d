"""Runs: a step lowers nothing by magic, but resume must repeat nothing and lose nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from training import judge as judging
from training import train_dit, train_vae
from training.autoencoder import build_vae
from training.bank import Bank
from training.config import RATES, Recipe
from training.data import Scenes, vocabulary
from training.export import settings
from training.model import build_tokenizer
from training.optim import orthogonal, split
from training.runtime import Ema, Run, contact_sheet, draw_curve, rate_at, spare_cores


@pytest.fixture
def bank(tiny: Recipe, scenes: Scenes, tmp_path: Path) -> Bank:
    torch.manual_seed(0)
    bank = Bank(tiny, tmp_path / "bank")
    vae = build_vae(tiny.vae)
    for kind in ("stills", "clips"):
        bank.fill(kind, scenes, vae, 2)
    return bank


def captions_of(tiny: Recipe, scenes: Scenes) -> train_dit.Captions:
    return train_dit.Captions(scenes, build_tokenizer(vocabulary(scenes, 100), 16), 16)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_resumed_vae_run_equals_an_unbroken_one(tiny: Recipe, scenes: Scenes, tmp_path: Path) -> None:
    whole = train_vae.train(tiny, tmp_path / "a", 1e9, scenes, limit=4)
    train_vae.train(tiny, tmp_path / "b", 1e9, scenes, limit=2)
    resumed = train_vae.train(tiny, tmp_path / "b", 1e9, scenes, limit=4)
    assert resumed.step == 4
    assert same(whole.module, resumed.module)
    assert same(whole.ema.module, resumed.ema.module)


def test_a_resumed_generator_run_equals_an_unbroken_one(
    tiny: Recipe, scenes: Scenes, bank: Bank, tmp_path: Path
) -> None:
    captions = captions_of(tiny, scenes)
    args = (bank, captions, None, 1e9)
    whole = train_dit.train(tiny, tmp_path / "a", *args, limit=4)
    train_dit.train(tiny, tmp_path / "b", *args, limit=2)
    resumed = train_dit.train(tiny, tmp_path / "b", *args, limit=4)
    assert same(whole.module, resumed.module)
    assert same(whole.ema.module, resumed.ema.module)


def test_vae_run_ends_with_the_statistics_of_its_latents(tiny: Recipe, scenes: Scenes, folder: Path) -> None:
    run = train_vae.train(tiny, folder, 1e9, scenes, limit=1)
    train_vae.finish(run, scenes, torch.device("cpu"), 2)
    saved = json.loads((folder / "vae" / "config.json").read_text())
    assert len(saved["latents_std"]) == tiny.vae.z_dim
    assert all(s > 0 for s in saved["latents_std"])


def test_the_bank_holds_every_rate_and_matches_its_captions(tiny: Recipe, bank: Bank) -> None:
    rng = np.random.default_rng(0)
    for rate in RATES:
        x, numbers = bank.draw(1, rate, 3, rng)
        assert x.shape == (3, 16, 1, round(4 * rate), round(4 * rate))
        assert len(numbers) == 3
    x, numbers = bank.draw(2, 1.0, 3, rng)
    assert x.shape == (3, 16, 2, 4, 4)
    assert all(n >= 1 << 33 for n in numbers)


def test_a_bank_is_filled_once(tiny: Recipe, bank: Bank, scenes: Scenes) -> None:
    before = np.array(bank.rows("clips", 1.0))
    bank.fill("clips", scenes, build_vae(tiny.vae), 2)
    np.testing.assert_array_equal(before, bank.rows("clips", 1.0))


def test_dropped_captions_are_the_empty_prompt(tiny: Recipe, scenes: Scenes) -> None:
    ids = captions_of(tiny, scenes).ids([0, 1], np.array([True, False]))
    assert ids[0].tolist() == [1] + [0] * 15
    assert ids[1].count_nonzero() > 2


def test_noise_levels_follow_the_shift() -> None:
    low, high = (train_dit.sigmas(np.random.default_rng(0), 500, shift) for shift in (1.0, 3.0))
    assert low.min() >= 0
    assert high.max() <= 1
    assert high.mean() > low.mean() + 0.1


def test_the_curriculum_moves_from_stills_to_clips(tiny: Recipe) -> None:
    from training.recipes import NANO

    rng = np.random.default_rng(0)
    early = {train_dit.batch_kind(NANO.dit, 0.0, rng)[0] for _ in range(50)}
    late = {train_dit.batch_kind(NANO.dit, 0.99, rng)[0] for _ in range(50)}
    assert early == {1}
    assert 5 in late


def test_the_rate_warms_up_and_decays_to_nothing() -> None:
    assert rate_at(0.0, 0, 100) == pytest.approx(0.01)
    assert rate_at(0.5, 1000, 100, 0.25) == pytest.approx(1.0)
    assert rate_at(1.0, 1000, 100, 0.25) == pytest.approx(0.0, abs=1e-9)


def test_muon_orthogonalises_and_learns() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(2, 24, 8)))
    assert values.min() > 0.5
    assert values.max() < 1.4
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 4))
    x, y = torch.randn(8, 2, 4, 4), torch.randn(8, 4)
    optimizers = split(net, 1e-2, 1.0, ("2.",))
    assert len(optimizers[1].param_groups[0]["params"]) == 1
    losses = []
    for _ in range(20):
        loss = (net(x) - y).pow(2).mean()
        net.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("running", "threads"), [(1, 4), (2, 3), (9, 1)])
def test_threads_make_way_for_others(tmp_path: Path, running: int, threads: int) -> None:
    (tmp_path / "self" / "task" / "7").mkdir(parents=True)
    (tmp_path / "self" / "task" / "7" / "stat").write_text("7 (a (b) c) R 1 2")
    (tmp_path / "loadavg").write_text(f"0.10 0.20 0.30 {running}/99 1234")
    assert spare_cores(4, tmp_path) == threads
    assert spare_cores(4, tmp_path / "elsewhere") == 4


def test_a_non_finite_loss_leaves_the_weights_alone(folder: Path, ticking) -> None:
    net = torch.nn.Linear(2, 1)
    before = net.weight.detach().clone()
    run = Run(folder, net, [torch.optim.SGD(net.parameters(), lr=1.0)], Ema(net, 0.9), 1, clock=ticking)
    run.update(net(torch.full((1, 2), float("nan"))).sum())
    assert torch.equal(net.weight, before)
    run.update(net(torch.ones(1, 2)).sum())
    assert not torch.equal(net.weight, before)
    assert (run.step, run.elapsed) == (2, 1.0)


def test_the_judge_answers_for_clips_of_any_size(tiny: Recipe, scenes: Scenes, tmp_path: Path) -> None:
    small = Scenes(judging.small_config(tiny.scenes), scenes.pictures)
    judge = judging.train(tiny, small)
    judging.save(judge, tiny, tmp_path / "judge.pt")
    again = judging.load(tmp_path / "judge.pt", tiny.scenes.frames)
    clips = torch.stack([scenes.clip(n) for n in range(2)])
    answers = again.answers(clips)
    assert answers == judge.answers(clips)
    assert set(answers[0]) == set(judging.truth(scenes.scene(0)))
    assert 0 <= judging.accuracy(judge, scenes, 2)["emoji"] <= 1


def test_sheets_and_curves_are_pictures(tmp_path: Path) -> None:
    contact_sheet(tmp_path / "sheet.png", [torch.zeros(3, 2, 8, 8)] * 2, ["a", "b"])
    draw_curve(tmp_path / "loss.png", [1.0, 0.5, 0.2])
    assert (tmp_path / "sheet.png").stat().st_size > 0
    assert (tmp_path / "loss.png").stat().st_size > 0


def test_settings_name_what_the_engine_reads(tiny: Recipe) -> None:
    wanted = {"height", "width", "num_frames", "fps", "steps", "guidance", "shift", "max_sequence_length"}
    assert wanted | {"example_prompts"} <= set(settings(tiny))
