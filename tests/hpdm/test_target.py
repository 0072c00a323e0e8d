"""What the network is asked for: exact at every target, unlike the input where it says so, right at both ends."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from engine.errors import InvalidInput
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.hpdm_model import Hpdm
from engine.hpdm.level_choice import level_schedule, level_steps
from engine.hpdm.patch_noise import (
    SIGMA_START,
    add_noise,
    angle,
    karras,
    level_angles,
    net_input,
    schedule,
    target,
    x0_from_v,
)
from engine.hpdm.target import Preconditioning
from tests.hpdm.conftest import CONFIG
from training.recipes import HPDM_RECIPES

RESIDUAL = replace(CONFIG, target="residual", residual_scales=(1.0, 0.1, 0.05), fusion="dcf+pixels")
TARGETS = {"v": CONFIG, "v_effective": replace(CONFIG, target="v_effective"), "residual": RESIDUAL}


def pictures(deviation: float = 0.1):
    """x0 near `below`, noise and below, (8, 3, 8, 16, 16) each, double."""
    generator = torch.Generator().manual_seed(0)
    below, eps, rest = torch.randn(3, 8, 3, 8, 16, 16, generator=generator, dtype=torch.float64)
    return below + deviation * rest, eps, below


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("phi", [0.01, 0.4, 1.2, 1.558])
def test_x0_comes_back_from_every_target_at_every_level(name, level, phi):
    form = Preconditioning.of(TARGETS[name], level)
    x0, eps, below = pictures()
    angles = torch.full((8,), phi, dtype=torch.float64)
    z = add_noise(x0, eps, angles, form.b)
    found = form.x0(z, form.target(x0, eps, angles, below), angles, below)
    torch.testing.assert_close(found, x0, rtol=0, atol=1e-9)


@pytest.mark.parametrize("b", [1.0, 0.5, 0.125])
@pytest.mark.parametrize("phi", [0.1, 0.7, 1.3])
def test_at_the_effective_angle_target_and_input_are_uncorrelated_and_in_the_papers_form_they_are_not(b, phi):
    generator = torch.Generator().manual_seed(1)
    x0, eps = torch.randn(2, 1, 400_000, generator=generator, dtype=torch.float64)
    angles = torch.tensor([phi], dtype=torch.float64)
    z = add_noise(x0, eps, angles, b)
    ours, papers = Preconditioning(False, b), Preconditioning(True, b)
    for form, expected in ((ours, 0.0), (papers, math.cos(phi) * math.sin(phi) * (1 - b))):
        seen, wanted = form.input(z, angles), form.target(x0, eps, angles)
        norm = math.hypot(b * math.cos(phi), math.sin(phi)) if form.plain else 1
        assert float((seen * wanted).mean()) * norm == pytest.approx(expected, abs=0.01)
        assert float(seen.var()) == pytest.approx(1, abs=0.02)
        assert float(wanted.var()) == pytest.approx(1, abs=0.02)


def test_at_input_scale_one_the_effective_angle_is_plain_v_prediction():
    x0, eps, _ = pictures()
    angles = torch.full((8,), 0.6, dtype=torch.float64)
    ours, papers = Preconditioning(False, 1.0), Preconditioning(True, 1.0)
    torch.testing.assert_close(ours.target(x0, eps, angles), papers.target(x0, eps, angles))


def test_the_papers_form_is_the_formulas_of_the_noise_module():
    x0, eps, _ = pictures()
    angles, b = torch.full((8,), 0.6, dtype=torch.float64), CONFIG.input_scales[2]
    form, z = Preconditioning.of(CONFIG, 2), add_noise(x0, eps, angles, CONFIG.input_scales[2])
    assert torch.equal(form.input(z, angles), net_input(z, angles, b))
    assert torch.equal(form.target(x0, eps, angles), target(x0, eps, angles))
    assert torch.equal(form.x0(z, eps, angles), x0_from_v(z, eps, angles, b))


@pytest.mark.parametrize("level", [1, 2])
def test_a_residual_of_nothing_is_the_enlarged_parent_in_pure_noise_and_the_picture_itself_without(level):
    form = Preconditioning.of(RESIDUAL, level)
    x0, eps, below = pictures()
    for phi, expected in ((math.pi / 2, below), (1e-6, x0)):
        z = add_noise(x0, eps, angle(phi, x0).double(), form.b)
        found = form.x0(z, torch.zeros_like(z), angle(phi, z).double(), below)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("level", [1, 2])
def test_a_residual_of_the_stated_size_gives_unit_input_and_a_loss_of_one_at_the_start(level):
    """A new network answers zero, so its loss is the mean square of the target."""
    form = Preconditioning.of(RESIDUAL, level)
    x0, eps, below = pictures(form.tau)
    for phi in (0.02, 0.1, 0.6, 1.5):
        angles = torch.full((8,), phi, dtype=torch.float64)
        z = add_noise(x0, eps, angles, form.b)
        assert float(form.input(z, angles, below).square().mean()) == pytest.approx(1, abs=0.05)
        assert float(form.target(x0, eps, angles, below).square().mean()) == pytest.approx(1, abs=0.05)


def test_the_residual_without_a_level_below_is_refused():
    x0, eps, _ = pictures()
    with pytest.raises(ValueError, match="below"):
        Preconditioning.of(RESIDUAL, 1).target(x0, eps, torch.ones(8, dtype=torch.float64))


def test_the_schedule_of_the_recipe_ends_with_little_noise_and_begins_where_it_was_trained():
    recipe = HPDM_RECIPES["residual"]
    config, plan = replace(recipe.model, conditions={"emoji": ("frog",)}), recipe.fan_out
    assert level_steps(level_schedule(config, sum(recipe.steps))) == recipe.steps
    for level, steps in enumerate(recipe.steps):
        angles = level_angles(config, level, steps)
        sigmas = [math.tan(phi) / config.input_scales[level] for phi in angles]
        assert len(angles) == steps + 1
        assert angles == sorted(angles, reverse=True)
        assert sigmas[0] == pytest.approx(plan.start)
        assert plan.lowest <= sigmas[-2] <= 0.05
        assert sigmas[-1] == 0


def test_without_noise_levels_the_angles_are_the_papers():
    assert level_angles(CONFIG, 2, 8) == schedule(8)


def test_noise_levels_run_from_the_highest_to_the_lowest_and_one_step_starts_in_pure_noise():
    assert karras(5, 0.1, 4)[::3] == pytest.approx([5, 0.1])
    config = replace(CONFIG, sigmas=((5, 0.1),) * 3)
    assert level_angles(config, 0, 1) == pytest.approx([math.atan(SIGMA_START), 0])


def test_new_embeddings_have_the_stated_deviation():
    tables = Hpdm(replace(CONFIG, embedding_init=0.02, latent_dim=256)).conditioning.labels
    assert all(float(t.weight.detach().std()) == pytest.approx(0.02, rel=0.15) for t in tables)


def test_a_config_without_our_settings_is_the_papers_form_and_ours_survives_json():
    old = {k: v for k, v in CONFIG.to_json().items() if k not in (
        "target", "residual_scales", "fusion_init", "embedding_init", "sigmas", "guided_levels")}  # fmt: skip
    assert HpdmConfig.from_json(old) == CONFIG
    assert CONFIG.branches(2, 2.0) == 2
    ours = replace(RESIDUAL, sigmas=((80.0, 0.02),) * 3, guided_levels=1)
    raw = {k: [list(s) if isinstance(s, tuple) else s for s in v] if isinstance(v, tuple) else v
           for k, v in ours.to_json().items()}  # fmt: skip
    assert HpdmConfig.from_json(raw) == ours


@pytest.mark.parametrize(("change", "field"), [
    ({"target": "x0"}, "target"), ({"target": "residual"}, "residual_scales"),
    ({"residual_scales": [1, 1, 1]}, "residual_scales"), ({"fusion_init": "zero"}, "fusion_init"),
    ({"embedding_init": 0}, "embedding_init"), ({"sigmas": [[1, 2]] * 3}, "sigmas"), ({"sigmas": [[2, 1]]}, "sigmas"),
    ({"guided_levels": 4}, "guided_levels"),
])  # fmt: skip
def test_settings_of_ours_that_cannot_be_are_refused_by_name(change, field):
    with pytest.raises(InvalidInput) as caught:
        HpdmConfig.from_json({**CONFIG.to_json(), **change})
    assert caught.value.field == field
