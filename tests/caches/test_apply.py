"""Caches on a running pipeline: what they skip is counted, nothing outlives its stage, all is put back."""

from __future__ import annotations

import contextlib
import gc
import weakref

import numpy as np
import pytest
import torch

from engine.caches import apply
from engine.caches.cache_choice import parse_cache, parse_shorthand
from engine.errors import Cancelled, RunFailed, UnsupportedPipeline
from engine.models.catalogue import find_model
from engine.sampling import done_once, pipeline_run
from engine.sampling.cache_calibration import Calibration
from tests.caches.runs import CHOICES, STEPS, at_step, poison, request, run, states_of, tensors_in

FLAT = ([], [])
techniques = pytest.mark.parametrize("name", CHOICES)


def traces(pipe):
    """What hooks could leave behind on a transformer."""
    return [
        (sorted(part.__dict__), len(part._forward_hooks), len(part._forward_pre_hooks))
        for part in pipe.transformer.modules()
    ]


def test_without_a_cache_every_evaluation_is_counted_and_no_bit_changes(tiny):
    bare = run(tiny, None, FLAT)
    pipe_alone = tiny(
        prompt="a red apple", negative_prompt="", height=64, width=64, num_frames=5, num_inference_steps=STEPS,
        guidance_scale=3.0, max_sequence_length=16, generator=torch.Generator().manual_seed(0), output_type="np",
    ).frames[0]  # fmt: skip
    assert np.array_equal(bare.frames, pipe_alone)
    assert (bare.evaluations.computed, bare.evaluations.skipped) == (2 * STEPS, 0)


def test_an_unguided_step_is_one_evaluation(tiny):
    assert run(tiny, None, guidance=1.0).evaluations.computed == STEPS


@techniques
def test_a_cache_skips_evaluations_and_every_pass_is_either_computed_or_skipped(tiny, name):
    plain, found = run(tiny, None), run(tiny, CHOICES[name])
    evaluations = found.evaluations
    assert [stage.passes for stage in evaluations.stages] == [8, 8, 8]
    assert evaluations.computed + evaluations.skipped == 2 * STEPS
    assert evaluations.skipped > 0
    assert not np.array_equal(found.frames, plain.frames)
    assert np.isfinite(found.frames).all()


@techniques
def test_the_first_step_of_every_stage_is_computed_whole(tiny, name):
    for stage in run(tiny, CHOICES[name], ([1.0, 0.5], [1, 2])).evaluations.stages[:2]:
        assert (stage.computed, stage.skipped) == (2, 0)


@techniques
def test_a_threshold_that_nothing_passes_changes_no_bit(tiny, name):
    never = {
        "teacache": CHOICES["teacache"].with_values(threshold=0.001),
        "firstblock": parse_shorthand("firstblock:0.001"),
        "magcache": CHOICES["magcache"].with_values(retention=1.0),
        "seacache": parse_shorthand("seacache:0.001"),
        "taylorseer": parse_shorthand("taylorseer:3,warm_up=100"),
        "pab": parse_shorthand("pab:2,from_t=2,to_t=1"),
    }
    found = run(tiny, never[name])
    assert found.evaluations.skipped == 0
    assert np.array_equal(found.frames, run(tiny, None).frames)


@techniques
def test_work_done_once_and_a_cache_are_right_together(tiny, name, monkeypatch):
    together = run(tiny, CHOICES[name])
    monkeypatch.setattr(done_once, "_transformers", lambda pipe: [])
    alone = run(tiny, CHOICES[name])
    assert np.array_equal(together.frames, alone.frames)
    assert together.evaluations == alone.evaluations


@techniques
def test_poison_in_what_the_old_stage_cached_never_reaches_the_new_one(tiny, name, monkeypatch):
    clean, poisoned = run(tiny, CHOICES[name]), []
    forget = apply.forget

    def poisoned_first(model):
        poisoned.append(poison(model))
        forget(model)

    monkeypatch.setattr(pipeline_run, "reset_caches", lambda pipe: poisoned.append(poison(pipe.transformer)))
    monkeypatch.setattr(apply, "forget", poisoned_first)
    found = run(tiny, CHOICES[name])
    assert sum(poisoned) > 0
    assert np.isfinite(found.frames).all()
    assert np.array_equal(found.frames, clean.frames)


@techniques
def test_poison_within_a_stage_is_noticed(tiny, name):
    """That the poison of the test above is real: what was cached is used again in the same stage.

    Features alone, (B, N, D): where the sign that a cache goes by is NaN, it computes.
    """
    with pytest.raises(RunFailed, match="not finite"):
        run(tiny, CHOICES[name], on_step=lambda event: poison(tiny.transformer, dims=(3,)) and None)


@techniques
def test_every_stage_has_states_of_its_own_that_fit_its_size(tiny, name):
    seen = [{}, {}, {}]  # of each stage: states by identity, kept so that no identity is given out twice

    def note(event):
        for state in states_of(tiny.transformer):
            seen[event.stage][id(state)] = state
            tokens = {x.shape[1] for x in tensors_in(state) if x.ndim == 3}
            assert tokens <= {2 * 4 * 4 if event.rate == 1 else 2 * 2 * 2}

    run(tiny, CHOICES[name], on_step=note)
    assert all(seen)
    for k, states in enumerate(seen):
        assert not any(states.keys() & others.keys() for others in seen[:k])


@techniques
@pytest.mark.parametrize("step", [2, 6])
def test_a_cancelled_run_leaves_nothing_behind(tiny, name, step):
    before = traces(tiny)

    def cancel():
        raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        run(tiny, CHOICES[name], on_step=at_step(step, cancel))
    tiny.transformer.__dict__.pop("_diffusers_hook", None)  # the pipeline's own, of naming its passes
    assert traces(tiny) == before


@techniques
def test_a_finished_and_a_failed_run_leave_nothing_behind(tiny, name, monkeypatch):
    before = traces(tiny)
    run(tiny, CHOICES[name])
    tiny.transformer.__dict__.pop("_diffusers_hook", None)
    assert traces(tiny) == before
    monkeypatch.setattr(tiny.transformer.proj_out, "forward", lambda x: 1 / 0)
    marked = traces(tiny)
    with pytest.raises(ZeroDivisionError):
        run(tiny, CHOICES[name])
    tiny.transformer.__dict__.pop("_diffusers_hook", None)
    assert traces(tiny) == marked


@techniques
def test_no_cached_tensor_stays_referenced(tiny, name, monkeypatch):
    held, forget = [], apply.forget

    def noted(model):
        held.extend(weakref.ref(x) for state in states_of(model) for x in tensors_in(state) if x.ndim == 3)
        forget(model)

    monkeypatch.setattr(pipeline_run, "reset_caches", lambda pipe: None)
    monkeypatch.setattr(apply, "forget", noted)
    run(tiny, CHOICES[name])
    gc.collect()
    assert held
    assert not any(ref() is not None for ref in held)


@techniques
def test_a_run_after_a_cached_one_is_as_if_it_had_not_been(tiny, name):
    before = run(tiny, None).frames
    run(tiny, CHOICES[name])
    assert np.array_equal(run(tiny, None).frames, before)


def test_guided_and_unguided_passes_do_not_share_attention(tiny):
    """diffusers' own broadcast has one memory for both: at range 2 the unguided pass always gets the guided one's."""
    counts = run(tiny, parse_shorthand("pab:2,cross_range=2,from_t=1000,to_t=0"), FLAT).evaluations
    assert counts.stages[0].computed == STEPS  # both passes of every other step, not one pass of every step
    alike = run(tiny, parse_shorthand("pab:2,from_t=1000,to_t=0"), FLAT, guidance=1.0)
    assert alike.evaluations.computed < STEPS


def test_what_is_left_out_is_counted_by_part(tiny):
    stage = run(tiny, CHOICES["firstblock"], FLAT).evaluations.stages[0]
    assert stage.left_out() == {"blocks.0": 0, "blocks.1": stage.skipped}


def test_steps_count_over_the_whole_run_for_what_is_kept_at_its_start_and_end(tiny):
    """The rules that spare the first or last steps mean the run's, not each stage's."""
    ratios = CHOICES["magcache"].with_values(retention=4 / STEPS)
    assert [stage.skipped > 0 for stage in run(tiny, ratios).evaluations.stages] == [False, True, True]
    last = parse_shorthand("seacache:5,keep_last=4")
    assert [stage.skipped > 0 for stage in run(tiny, last).evaluations.stages] == [True, True, False]


# ---- what cannot be right is refused before the first step ---------------------------------------------------


def refused(pipe, choice, match):
    before = traces(pipe)
    with pytest.raises(UnsupportedPipeline, match=match):
        run(pipe, choice)
    assert traces(pipe) == before


def test_fastercache_is_refused(tiny):
    refused(tiny, parse_shorthand("fastercache"), "FasterCache does not run")


def test_teacache_without_coefficients_is_refused(tiny):
    refused(tiny, parse_shorthand("teacache"), "no coefficients")


@pytest.mark.parametrize("ratios", [None, [1.0] * 5])
def test_magcache_needs_one_ratio_a_step(tiny, ratios):
    document = {"name": "magcache"} | ({"ratios": ratios} if ratios else {})
    refused(tiny, parse_cache(document), "one ratio for each of the 12 steps")


def test_a_second_cache_is_refused(tiny):
    from diffusers import FirstBlockCacheConfig

    tiny.transformer.enable_cache(FirstBlockCacheConfig())
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(tiny.transformer.disable_cache)
        refused(tiny, CHOICES["teacache"], "switched on already")


def test_a_compiled_block_is_refused(tiny):
    tiny.transformer.blocks[0].compile(backend="eager")
    refused(tiny, CHOICES["teacache"], "compiled")


def test_two_transformers_are_too_many_for_magcache_and_counted_together_otherwise(tiny):
    from tests.tiny import tiny_wan

    tiny.transformer_2 = tiny_wan(1).transformer
    with pytest.raises(UnsupportedPipeline, match="has two"):
        apply.CachedRun(tiny, CHOICES["magcache"], ())
    assert len(apply.CachedRun(tiny, CHOICES["teacache"], ()).models) == 2
    ran = []
    tiny.transformer.forward = lambda *args, **kwargs: ran.append(1)
    calibration = Calibration(find_model("emoji-wan"), 64)
    with pytest.raises(UnsupportedPipeline, match="has two"):  # before a whole run is made to record on
        calibration.complete(parse_shorthand("magcache"), request(tiny, None))
    assert not ran


def test_a_pipeline_that_does_not_name_its_passes_is_refused(tiny):
    class Silent(type(tiny)):
        def __call__(self, *args, **kwargs):
            return None

    silent = object.__new__(Silent)
    silent.__dict__.update(tiny.__dict__)
    with pytest.raises(UnsupportedPipeline, match="does not tell caches"):
        apply.CachedRun(silent, CHOICES["firstblock"], ())


def test_a_block_that_diffusers_does_not_know_is_refused(tiny):
    class Strange(torch.nn.Module):
        def forward(self, x, *_):
            return x

    tiny.transformer.blocks.append(Strange())
    with pytest.raises(UnsupportedPipeline, match="does not know what Strange"):
        apply.CachedRun(tiny, CHOICES["firstblock"], ())


def test_patterns_that_match_too_little_are_refused(tiny):
    tiny.transformer.blocks = torch.nn.ModuleList([tiny.transformer.blocks[0]])
    with pytest.raises(UnsupportedPipeline, match="too little"):
        apply.CachedRun(tiny, CHOICES["firstblock"], ())
