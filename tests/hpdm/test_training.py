"""Training: what is drawn, that a stop changes nothing, that the loss falls at every level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.hpdm.hpdm_model import LevelInput
from engine.hpdm.patch_noise import PHI_MIN, PHI_RANGE
from engine.hpdm.prompt_words import understand
from engine.hpdm.tile_sampler import sample_levels
from engine.hpdm.weights_folder import load_hpdm, save_hpdm
from tests.hpdm.conftest import OURS
from training.config import FanOut, HpdmRecipe
from training.data import Scenes
from training.evaluate_hpdm import as_judged, prompts, settings_of
from training.export_hpdm import EXAMPLES, export
from training.hpdm_data import HELD_OUT, Clips, conditions, labels, scene
from training.hpdm_rows import fan_out_loss
from training.optim import split
from training.recipes import HPDM_RECIPES
from training.runtime import Ema, Run
from training.train_hpdm import EDGES, angles, build, hierarchical_loss, review, step, take_over

NAMES = ("red heart", "frog")
XS = HPDM_RECIPES["xs"]
TINY = replace(
    XS,
    scenes=replace(XS.scenes, side=16, frames=8, emoji=NAMES, asset_side=12),
    model=replace(XS.model, patch=(2, 4, 4), token=(1, 2, 2), dim=16, latent_dim=16, latents=4, heads=2),
    batch=8,
    coarse=8,
    clips=32,
    minutes=4,
)  # fmt: skip
PLAN = FanOut(
    finished=(4, 6), counted=(12, 12, 12), log_sigma=((0.0, 1.3), (-0.7, 1.2), (-0.7, 1.2)), weights=(1.0, 1.0, 1.0)
)


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    """Two discs of a colour each."""
    axis = np.linspace(-1, 1, 12)
    disc = (axis[:, None] ** 2 + axis[None] ** 2 < 0.8).astype(np.uint8) * 255
    pictures = {}
    for name, rgb in zip(NAMES, ((220, 30, 30), (30, 200, 30)), strict=True):
        pictures[name] = np.dstack([*(np.full((12, 12), c, np.uint8) for c in rgb), disc])[None]
    return Scenes(TINY.scenes, pictures)


@pytest.fixture(scope="module")
def clips(scenes) -> Clips:
    return Clips(TINY, scenes, 0, TINY.clips)


def make_run(recipe: HpdmRecipe, folder) -> Run:
    """A run whose clock goes on by a second a step."""
    model = build(recipe, NAMES)
    ticks = iter(range(1 << 30))
    optimizers = split(model, recipe.lr, recipe.muon, EDGES)
    return Run(folder, model, optimizers, Ema(model, recipe.ema), recipe.minutes, lambda: float(next(ticks)))


def test_scenes_have_the_motions_and_grounds_of_the_recipe(scenes):
    shown = [scene(TINY, scenes, n) for n in range(40)]
    assert {s.actors[0].motion for s in shown} == set(TINY.motions)
    assert {s.background.texture for s in shown} == set(TINY.textures)


def test_a_caption_is_understood_as_the_labels_that_were_trained(scenes):
    known = conditions(TINY, NAMES)
    for n in range(40):
        shown = scene(TINY, scenes, HELD_OUT + n)
        assert list(understand(shown.caption, known).labels) == labels(TINY, NAMES, shown)


def test_the_examples_are_understood_by_the_recipe():
    known = conditions(XS, XS.scenes.emoji)
    assert all(all(understand(text, known).labels) for text in EXAMPLES)


def test_levels_below_a_drawn_one_are_finished_in_the_recipes_share():
    phis = angles(replace(TINY, clean=0.6), 3, 4000, 100, torch.Generator().manual_seed(0))
    assert [len(p) for p in phis] == [4100, 4000, 4000]
    first, second = phis[0][:4000] == PHI_MIN, phis[1] == PHI_MIN
    assert float(first.float().mean()) == pytest.approx(0.6, abs=0.03)
    assert float(second.float().mean()) == pytest.approx(0.3, abs=0.03)
    assert bool((first | ~second).all())  # what is below a finished level is finished
    assert not bool((phis[2] == PHI_MIN).any())
    assert bool((phis[0][4000:] != PHI_MIN).all())
    assert float(phis[2].max()) <= PHI_RANGE[1]


def test_a_new_models_loss_is_that_of_answering_zero(clips):
    """v has about unit variance, so the loss starts near the mean square of v: sin^2 x0^2 + cos^2."""
    model = build(TINY, NAMES)
    videos, said = clips.draw(64, np.random.default_rng(0))
    losses = hierarchical_loss(model, TINY, videos, said, 32, np.random.default_rng(1))
    assert len(losses) == 3
    assert all(0.3 < float(loss.detach()) < 1.2 for loss in losses)


@pytest.mark.parametrize("plan", [None, PLAN])
def test_the_loss_falls_at_every_level(clips, tmp_path, plan):
    """On one and the same held batch, before and after."""
    recipe = replace(TINY, warmup=5, self_condition=0.0)
    if plan:
        recipe = replace(recipe, fan_out=plan, model=replace(recipe.model, **OURS, fusion_init="identity"))
    run = make_run(recipe, tmp_path)
    videos, said = clips.draw(128, np.random.default_rng(7))

    def held() -> np.ndarray:
        rng, many = np.random.default_rng(8), plan and replace(plan, finished=(32, 32), counted=(96, 96, 96))
        with torch.no_grad():
            if many:
                losses = fan_out_loss(run.module, many, 0.0, videos, said, rng)
            else:
                losses = hierarchical_loss(run.module, recipe, videos, said, 64, rng)
        return np.array([float(loss) for loss in losses])

    before = held()
    for _ in range(60):
        step(run, recipe, clips)
    assert (held() < 0.95 * before).all()


def test_a_level_whose_loss_weighs_nothing_teaches_nothing(clips, tmp_path):
    """With the coarsest level's weight alone, fusion, which it never meets, gets no gradient."""
    model = replace(TINY.model, **OURS, fusion_init="identity")
    for weights, moved in (((1.0, 0.0, 0.0), False), ((1.0, 1.0, 0.0), True)):
        run = make_run(replace(TINY, model=model, fan_out=replace(PLAN, weights=weights)), tmp_path)
        torch.nn.init.normal_(run.module.detokenize.linear.weight)
        step(run, replace(TINY, model=model, fan_out=replace(PLAN, weights=weights)), clips)
        grad = run.module.fusions[2].linear.weight.grad
        assert bool(grad is not None and grad.abs().max() > 0) == moved


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(clips, tmp_path):
    recipe = replace(TINY, self_condition=0.5)
    whole, first = make_run(recipe, tmp_path / "a"), make_run(recipe, tmp_path / "b")
    for _ in range(4):
        step(whole, recipe, clips)
    for _ in range(2):
        step(first, recipe, clips)
    first.save()
    second = make_run(recipe, tmp_path / "b")
    assert second.resume()
    second.elapsed = 2.0  # the first tick of a new clock does not count
    for _ in range(2):
        step(second, recipe, clips)
    assert second.step == whole.step == 4
    for a, b in zip(whole.module.parameters(), second.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("fusion", ["dcf", "dcf+pixels", "shallow", "none"])
def test_every_fusion_trains_every_weight(clips, fusion, tmp_path):
    recipe = replace(TINY, model=replace(TINY.model, fusion=fusion), self_condition=1.0)
    run = make_run(recipe, tmp_path)
    before = {k: v.clone() for k, v in run.module.state_dict().items()}
    for _ in range(3):
        step(run, recipe, clips)
    still = [k for k, v in run.module.state_dict().items() if torch.equal(v, before[k])]
    assert not still


def test_the_gpu_recipe_is_nine_million_weights_and_takes_a_step(scenes, tmp_path):
    mini = HPDM_RECIPES["mini"]
    big = replace(mini, scenes=replace(TINY.scenes, side=64, frames=16), batch=1, coarse=1, clips=2)
    own = Scenes(big.scenes, scenes.pictures)
    run = make_run(big, tmp_path)
    assert sum(p.numel() for p in run.module.parameters()) == pytest.approx(9.2e6, rel=0.05)
    losses = step(run, big, Clips(big, own, 0, 2))
    assert run.step == 1
    assert np.isfinite(losses).all()


def test_an_exported_run_is_the_averaged_weights(clips, tmp_path):
    run = make_run(TINY, tmp_path / "run")
    for _ in range(3):
        step(run, TINY, clips)
    run.save()
    export(TINY, tmp_path / "run", tmp_path / "out")
    back = load_hpdm(tmp_path / "out")
    for a, b in zip(run.ema.module.parameters(), back.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_sheet_and_the_judge_run_as_the_exported_model_says(scenes, clips, tmp_path, monkeypatch):
    recipe = replace(TINY, steps=(4, 2, 1), guidance=1.5, overlap="none")
    run = make_run(recipe, tmp_path / "run")
    run.save()
    export(recipe, tmp_path / "run", tmp_path / "out")
    seen = []

    def noted(model, said, how, **rest):
        seen.append(how)
        return sample_levels(model, said, how, **rest)

    monkeypatch.setattr("training.train_hpdm.sample_levels", noted)
    review(run, recipe, scenes, "now", count=1)
    judged = settings_of(tmp_path / "out")
    assert seen == [judged]
    assert (judged.steps, judged.overlap, judged.guidance) == ((4, 2, 1), "none", 1.5)
    assert settings_of(tmp_path / "out", overlap="full", steps=None).overlap == "full"


def test_a_run_that_takes_over_a_papers_model_begins_with_its_coarsest_level(tmp_path, clips):
    old = build(TINY, NAMES, seed=1)
    for p in old.parameters():
        torch.nn.init.normal_(p, std=0.1)
    save_hpdm(old, tmp_path)
    model = build(replace(TINY, model=replace(TINY.model, **OURS, fusion_init="identity")), NAMES)
    fresh = [f.linear.weight.clone() for f in model.fusions if hasattr(f, "linear")]
    take_over(model, tmp_path)
    pixels, phi = torch.randn(2, 3, *TINY.model.patch), torch.tensor([0.3, 1.0])
    given = LevelInput(pixels, phi, torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 3, dtype=torch.long))
    with torch.no_grad():
        torch.testing.assert_close(model([given])[0][0], old([given])[0][0])
    assert all(torch.equal(a, f.linear.weight) for a, f in zip(fresh, model.fusions[2:], strict=True))


def test_the_judge_is_shown_every_level_at_its_own_size():
    for frames, side in ((4, 16), (8, 32), (16, 64)):
        video = torch.rand(2, 3, frames, side, side) * 2 - 1
        assert as_judged(video).shape == (2, 3, 17, 64, 64)
    ramp = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(1, 3, 4, 64, 64) / 4
    assert as_judged(ramp)[0, 0, ::4, 0, 0].tolist() == [0, 0, 0.25, 0.5, 0.75]


def test_prompts_ask_for_every_emoji_and_motion_equally_often(scenes):
    wanted = [s.actors[0] for s in prompts(TINY, scenes, 12)]
    pairs = [(a.name, a.motion) for a in wanted]
    assert all(pairs.count(pair) == 2 for pair in set(pairs))
    assert len(set(pairs)) == len(NAMES) * len(TINY.motions)
