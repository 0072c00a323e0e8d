"""TeaCache held against LightX2V's rule and against a forward pass written out anew."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch

from engine.caches.cache_choice import parse_cache
from engine.caches.teacache import TeaRule, TeaState, relative_change
from engine.caches.which_model import WAN_1_3B
from engine.patching import patched
from tests.caches.runs import STEPS, U, run

FLAT = ([], [])


def tea(threshold=0.3, ret_steps=False, coefficients=(1.0, 0.0)):
    return parse_cache(
        {"name": "teacache", "threshold": threshold, "ret_steps": ret_steps, "coefficients": list(coefficients)}
    )


class LightX2V:
    """LightX2V's decision, `calculate_should_calc` and `must_calc`, in plain numbers; one instance a kind of pass."""

    def __init__(self, choice, infer_steps, must_calc_steps=()):
        self.poly = np.poly1d(choice["coefficients"])
        self.threshold, self.must = choice["threshold"], must_calc_steps
        ret = choice["ret_steps"]
        self.ret_steps, self.cutoff = (5, infer_steps) if ret else (1, infer_steps - 1)
        self.accumulated, self.previous = 0.0, None

    def computes(self, step, embedding):
        if step < self.ret_steps or step >= self.cutoff:
            should, self.accumulated = True, 0.0
        else:
            change = (embedding - self.previous).abs().mean() / self.previous.abs().mean()
            self.accumulated += self.poly(change.item())
            should = not self.accumulated < self.threshold
            if should:
                self.accumulated = 0.0
        self.previous = embedding
        return should or step in self.must


def embeddings(pipe, ret_steps, schedule=FLAT):
    """The timestep's embedding of every guided pass, as the model itself computes them."""
    found = []
    handle = pipe.transformer.condition_embedder.register_forward_hook(
        lambda _m, _a, out: found.append(out[1 if ret_steps else 0].clone())
    )
    try:
        run(pipe, None, schedule)
    finally:
        handle.remove()
    return found[::2]


def computed_steps(pipe, choice, schedule=FLAT):
    """Which passes ran their blocks, in order: guided and unguided take turns."""
    passes = []
    before = pipe.transformer.register_forward_pre_hook(lambda *_: passes.append(False))
    # On the text's keys, which are below all hooks: called where the block is.
    inner = pipe.transformer.blocks[0].norm1.register_forward_hook(lambda *_: passes.__setitem__(-1, True))
    try:
        run(pipe, choice, schedule)
    finally:
        before.remove()
        inner.remove()
    return passes


@pytest.mark.parametrize("ret_steps", [True, False])
@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.8, 3.0])
def test_flat_runs_compute_exactly_the_steps_that_lightx2v_computes(tiny, ret_steps, threshold):
    choice = tea(threshold, ret_steps)
    rule = LightX2V(choice, STEPS)
    expected = [rule.computes(step, seen) for step, seen in enumerate(embeddings(tiny, ret_steps))]
    passes = computed_steps(tiny, choice)
    assert passes[::2] == expected
    assert passes[1::2] == expected


def test_the_cases_above_skip_some_steps_and_not_others(tiny):
    passes = computed_steps(tiny, tea(0.8))
    assert 2 < sum(passes) < len(passes)


def test_with_published_coefficients_too(tiny):
    choice = tea(0.1, False, WAN_1_3B.embedding)
    rule = LightX2V(choice, STEPS)
    expected = [rule.computes(step, seen) for step, seen in enumerate(embeddings(tiny, False))]
    assert computed_steps(tiny, choice)[::2] == expected


def test_along_a_u_the_step_after_a_switch_is_computed_as_lightx2v_must(tiny):
    """Between the switches the rule is LightX2V's, with its sum begun anew where it forces an evaluation."""
    choice = tea(0.8)
    seen = embeddings(tiny, False, U)
    rule, expected = LightX2V(choice, STEPS, U[1]), []
    for step, embedding in enumerate(seen):
        expected.append(rule.computes(step, embedding))
        if step in U[1]:
            rule.accumulated = 0.0
    passes = computed_steps(tiny, choice, U)
    assert passes[::2] == expected
    assert all(passes[::2][step] for step in U[1])


def test_a_skipped_pass_adds_the_last_computed_residual_and_nothing_else(tiny):
    """A forward pass of Wan written out anew, with the cache's arithmetic in it, gives the very same video."""
    choice = tea(0.8)
    decided = iter(computed_steps(tiny, choice))
    found = run(tiny, choice, FLAT)
    model, residuals, count = tiny.transformer, defaultdict(lambda: None), [0]

    def reference(hidden_states, timestep, encoder_hidden_states, attention_kwargs=None, return_dict=False):
        kind, computes = count[0] % 2, next(decided)
        count[0] += 1
        batch, _, frames, height, width = hidden_states.shape
        rope = model.rope(hidden_states)
        x = model.patch_embedding(hidden_states).flatten(2).transpose(1, 2).contiguous()  # (B, N, D)
        temb, modulation, text, _ = model.condition_embedder(timestep, encoder_hidden_states, None)
        entry, modulation = x, modulation.unflatten(1, (6, -1))
        if computes:
            for block in model.blocks:
                x = block(x, text, modulation, rope)
            residuals[kind] = x - entry
        else:
            x = entry + residuals[kind]
        shift, scale = (model.scale_shift_table + temb.unsqueeze(1)).chunk(2, dim=1)
        x = model.proj_out((model.norm_out(x.float()) * (1 + scale) + shift).type_as(x))
        x = x.reshape(batch, frames, height // 2, width // 2, 1, 2, 2, -1).permute(0, 7, 1, 4, 2, 5, 3, 6)
        return (x.flatten(6, 7).flatten(4, 5).flatten(2, 3),)

    with patched(model, forward=reference):
        expected = run(tiny, None, FLAT)
    assert np.array_equal(found.frames, expected.frames)
    assert next(decided, None) is None


def test_both_transformers_of_a_pipeline_go_by_one_clock(tiny):
    """Wan 2.2: the low-noise expert's first step is no first step of the run."""
    from tests.tiny import tiny_wan

    tiny.transformer_2 = tiny_wan(1).transformer
    tiny.register_to_config(boundary_ratio=0.8)
    found = run(tiny, tea(3.0, ret_steps=True), FLAT).evaluations
    alone = LightX2V(tea(3.0, ret_steps=True), STEPS)
    assert found.computed >= 2 * alone.ret_steps
    assert found.computed < 2 * (2 * alone.ret_steps)  # not five retained steps for each of them


def test_the_polynomial_is_numpys():
    rule = TeaRule(0.1, (3.0, -2.0, 0.5), False, 0, 10)
    assert rule.rescaled(0.3) == pytest.approx(np.polyval([3.0, -2.0, 0.5], 0.3))


def test_an_embedding_that_is_not_finite_is_computed():
    rule, state = TeaRule(10.0, (1.0, 0.0), False, 0, 10), TeaState()
    state.embedding, state.residual = torch.ones(1, 4), torch.ones(1, 2, 4)
    state.decide(rule, torch.full((1, 4), float("nan")), 5)
    assert not state.skipping


def test_the_relative_change_is_of_mean_absolute_values():
    assert relative_change(torch.tensor([1.0, -3.0]), torch.tensor([2.0, -3.0])) == pytest.approx(0.25)
