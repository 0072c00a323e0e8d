"""Who sees whom: upwards only, through fusion only, and the same from a cache as in the joint forward."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.errors import InvalidInput
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.hpdm_model import Features, LevelInput
from engine.hpdm.tokens import patchify, unpatchify
from tests.hpdm.conftest import CONFIG, make_inputs, make_model


def changed(given: LevelInput) -> LevelInput:
    return replace(given, pixels=given.pixels + 1)


def outputs(model, levels):
    with torch.no_grad():
        return [v for v, _ in model(levels)]


def test_a_tile_with_recorded_context_equals_the_joint_forward(model):
    levels = make_inputs(model.config)
    with torch.no_grad():
        joint = model(levels)
        below: dict[int, Features] = {}
        for k, given in enumerate(levels):
            state = model.start(k, given)
            model.run([state], below, record=True)
            v, latents = model.finish(state)
            torch.testing.assert_close(v, joint[k][0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(latents, joint[k][1], rtol=1e-5, atol=1e-5)
            below[k] = Features(given.offsets, state.inputs)


def test_a_level_never_sees_a_finer_one(model):
    levels = make_inputs(model.config)
    before = outputs(model, levels)
    after = outputs(model, [*levels[:2], changed(levels[2])])
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert not torch.equal(before[2], after[2])


@pytest.mark.parametrize("level", [0, 1])
def test_with_deep_fusion_every_lower_level_is_seen(model, level):
    levels = make_inputs(model.config)
    before = outputs(model, levels)
    levels[level] = changed(levels[level])
    assert (outputs(model, levels)[2] - before[2]).abs().max() > 1e-4


def test_without_fusion_no_other_level_is_seen():
    model = make_model(fusion="none")
    levels = make_inputs(model.config)
    before = outputs(model, levels)
    after = outputs(model, [changed(levels[0]), changed(levels[1]), levels[2]])
    torch.testing.assert_close(before[2], after[2], rtol=1e-6, atol=1e-6)


def test_shallow_fusion_sees_the_pixels_of_the_level_below_and_of_no_other():
    model = make_model(fusion="shallow")
    levels = make_inputs(model.config)
    before = outputs(model, levels)
    one_below = outputs(model, [levels[0], changed(levels[1]), levels[2]])
    two_below = outputs(model, [changed(levels[0]), levels[1], levels[2]])
    assert (one_below[2] - before[2]).abs().max() > 1e-4
    torch.testing.assert_close(two_below[2], before[2], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("fusion", "detach", "flows"), [
    ("dcf", False, True), ("dcf", True, False), ("shallow", False, True), ("shallow", True, False),
    ("none", False, False),
])  # fmt: skip
def test_gradients_flow_into_lower_levels_unless_detached(fusion, detach, flows):
    model = make_model(fusion=fusion, detach=detach)
    levels = make_inputs(model.config)
    lower = levels[1].pixels.requires_grad_()
    model(levels)[2][0].square().mean().backward()
    seen = lower.grad is not None and float(lower.grad.abs().max()) > 0
    assert seen == flows


def test_the_rows_that_only_the_coarsest_level_has_change_nothing_above(model):
    levels = make_inputs(model.config, rows=3, extra=2)
    short = [replace(levels[0], pixels=levels[0].pixels[:3], phi=levels[0].phi[:3], offsets=levels[0].offsets[:3],
                     labels=levels[0].labels[:3]), *levels[1:]]  # fmt: skip
    for with_rows, without in zip(outputs(model, levels)[1:], outputs(model, short)[1:], strict=True):
        torch.testing.assert_close(with_rows, without, rtol=1e-5, atol=1e-5)


def test_a_level_enters_at_its_first_block_only():
    """Adaptive computation: early blocks have nothing to say to the finest level when they are not fused into it."""
    model = make_model(fusion="none")
    levels = make_inputs(model.config)
    before = outputs(model, levels)
    for p in model.blocks[1].parameters():
        torch.nn.init.normal_(p, std=0.3)
    after = outputs(model, levels)
    assert not torch.allclose(before[1], after[1])
    torch.testing.assert_close(before[2], after[2], rtol=1e-6, atol=1e-6)


def test_without_coordinates_the_offset_of_a_lone_chain_is_not_seen():
    """Moving child and parent together changes the coordinates only, and only a model with coordinates notices."""
    for coords in (True, False):
        model = make_model(coordinates=coords, levels=2, level_blocks=(2, 2), input_scales=(1.0, 0.5), patch=(2, 4, 4))
        levels = make_inputs(model.config)
        moved = [replace(given, offsets=given.offsets + shift) for given, shift in zip(levels, (1, 2), strict=True)]
        same = torch.allclose(outputs(model, levels)[1], outputs(model, moved)[1], atol=1e-6)
        assert same != coords


def test_previous_latents_change_the_result_once_the_norm_has_learned(model):
    levels = make_inputs(model.config)
    before = outputs(model, levels)
    again = [replace(one, previous=torch.randn(3, model.config.latents, model.config.latent_dim)) for one in levels]
    assert not torch.allclose(before[0], outputs(model, again)[0])


def test_a_new_model_says_zero_and_ignores_previous_latents():
    from engine.hpdm.hpdm_model import Hpdm

    model = Hpdm(CONFIG)
    levels = make_inputs(CONFIG)
    again = [replace(one, previous=torch.randn(3, CONFIG.latents, CONFIG.latent_dim)) for one in levels]
    with torch.no_grad():
        for (v, first), (_, second) in zip(model(levels), model(again), strict=True):
            assert float(v.abs().max()) == 0
            torch.testing.assert_close(first, second)


def test_tokens_and_back_is_the_identity():
    x = torch.randn(2, 3, 4, 8, 8)
    tokens = patchify(x, (2, 2, 4))
    assert tokens.shape == (2, 2 * 4 * 2, 3 * 2 * 2 * 4)
    assert torch.equal(unpatchify(tokens, (2, 4, 2), (2, 2, 4)), x)


def test_a_config_survives_json():
    assert HpdmConfig.from_json(CONFIG.to_json()) == CONFIG


@pytest.mark.parametrize(("change", "field"), [
    ({"fusion": "deep"}, "fusion"), ({"level_blocks": [1, 2]}, "level_blocks"),
    ({"level_blocks": [3, 2, 3]}, "level_blocks"),
    ({"input_scales": [1, 1]}, "input_scales"), ({"token": [3, 2, 2]}, "token"), ({"heads": 5}, "heads"),
    ({"surprise": 1}, "config"), ({"conditions": 7}, "config"), ({"grow": [3, 2, 2]}, "grow"),
])  # fmt: skip
def test_a_config_that_cannot_be_is_refused_by_name(change, field):
    with pytest.raises(InvalidInput) as caught:
        HpdmConfig.from_json({**CONFIG.to_json(), **change})
    assert caught.value.field == field
