"""Unchanging work is done once a run, with the very same bits, and nothing of it stays."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from engine.errors import Cancelled
from engine.models.loading import scheduler_for
from engine.patching import patched
from engine.sampling import done_once as once
from engine.sampling import pipeline_run
from engine.sampling.done_once import KeyMemo, Memo, Room, done_once
from engine.sampling.pipeline_run import run_staged
from engine.schedules.schedule import flat
from tests.families.cases import CASES
from tests.families.cases import request as case_request
from tests.sampling.test_pipeline_run import CALL, TWO, U, request, untouched


@pytest.fixture
def plainly(monkeypatch):
    """Runs a request with all work repeated, as the library does it."""

    def run(asked):
        with monkeypatch.context() as patch:
            patch.setattr(pipeline_run, "done_once", lambda pipe: contextlib.nullcontext())
            return run_staged(asked).frames

    return run


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("solver", ["unipc", "euler"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_no_bit_changes(tiny, plainly, dtype, solver, guidance):
    tiny.to(dtype)
    tiny.scheduler = scheduler_for(tiny, solver, 3.0)
    call = CALL | {"guidance_scale": guidance}
    for schedule in (flat(4), U, TWO):
        asked = request(tiny, schedule, call=call)
        assert np.array_equal(run_staged(asked).frames, plainly(asked))


@pytest.fixture
def computed(monkeypatch):
    """How often each module's own `forward` has run, by module."""
    counts = Counter()
    for cls in (nn.Linear, nn.RMSNorm, once.WanRotaryPosEmbed, once.PixArtAlphaTextProjection):
        own = cls.forward

        def counted(self, *args, own=own, **kwargs):
            counts[self] += 1
            return own(self, *args, **kwargs)

        monkeypatch.setattr(cls, "forward", counted)
    return counts


def test_what_no_step_changes_is_computed_once(tiny, computed):
    run_staged(request(tiny, U))
    model, embedder = tiny.transformer, tiny.transformer.condition_embedder
    assert computed[embedder.text_embedder] == 2  # the prompt and the empty one, over all three stages
    for block in model.blocks:
        assert [computed[m] for m in (block.attn2.to_k, block.attn2.to_v, block.attn2.norm_k)] == [2, 2, 2]
        assert computed[block.attn2.to_q] == computed[block.attn1.to_k] == 16
    assert computed[model.rope] == 3  # one a stage
    assert computed[embedder.time_proj] == 8  # one a step, for both passes


def outputs_of(memos):
    return sum(len(memo._outputs) for memo in memos if isinstance(memo, Memo))


def test_memory_is_free_before_decoding(tiny, monkeypatch):
    seen, memos, decode = [], [], tiny.vae.decode

    class Watched(once.Kept):
        def __init__(self):
            super().__init__()
            self.memos = memos

    def decoding(*args, **kwargs):
        seen.append(outputs_of(memos))
        return decode(*args, **kwargs)

    monkeypatch.setattr(once, "Kept", Watched)
    kept_at = []
    with patched(tiny.vae, decode=decoding):
        run_staged(request(tiny, TWO), lambda event: kept_at.append(outputs_of(memos)))
    assert kept_at[0] > 8
    assert kept_at[-1] == 0
    assert seen == [0]


def replaced(pipe):
    return [name for name, module in pipe.transformer.named_modules() if "forward" in module.__dict__]


def text_tensors():
    """Living tensors of the shape of the tiny model's keys and values."""
    gc.collect()
    return sum(1 for thing in gc.get_objects() if type(thing) is torch.Tensor and thing.shape == (1, 16, 24))


@pytest.mark.parametrize("end", ["done", "cancelled", "failed"])
def test_everything_is_put_back_whatever_happens(tiny, end):
    before, during = text_tensors(), []

    def on_step(event):
        during.append(len(replaced(tiny)))
        if event.step == 3 and end != "done":
            raise Cancelled("stopped") if end == "cancelled" else RuntimeError("broken")

    with contextlib.suppress(Cancelled, RuntimeError):
        run_staged(request(tiny, TWO), on_step)
    assert min(during) > 8
    assert replaced(tiny) == []
    assert text_tensors() == before
    assert np.array_equal(run_staged(request(tiny, flat(8))).frames, untouched(tiny))


def hooked(pipe):
    pipe.transformer.blocks[0].attn2.to_k.register_forward_hook(lambda module, args, output: None)


def adapted(pipe):
    class Adapter(nn.Linear):
        pass

    pipe.transformer.blocks[0].attn2.to_k.__class__ = Adapter


def offloaded(pipe):
    to_k = pipe.transformer.blocks[0].attn2.to_k
    to_k.forward = to_k.forward  # what accelerate's and diffusers' hooks leave on the instance


def fused(pipe):
    pipe.transformer.blocks[0].attn2.fuse_projections()


@pytest.mark.parametrize("change", [hooked, adapted, offloaded, fused])
def test_a_module_that_is_not_plain_is_left_alone_and_the_others_are_not(tiny, plainly, change):
    change(tiny)
    before = {name: tiny.transformer.get_submodule(name).__dict__["forward"] for name in replaced(tiny)}
    with done_once(tiny):
        names = set(replaced(tiny))
        for name in ("to_k", "to_v", "norm_k"):
            assert {f"blocks.0.attn2.{name}"} & names <= before.keys()
            assert f"blocks.1.attn2.{name}" in names
        assert ("" in names) == (change is fused)  # the whole pass goes without autograd only where all of it is plain
    asked = request(tiny, TWO)
    assert np.array_equal(run_staged(asked).frames, plainly(asked))


def compiled(pipe):
    pipe.transformer.blocks[0]._compiled_call_impl = lambda *args: None


def in_training(pipe):
    pipe.transformer.train()


def another_class(pipe):
    class Another(type(pipe.transformer)):
        pass

    pipe.transformer.__class__ = Another


@pytest.mark.parametrize("change", [compiled, in_training, another_class])
def test_a_transformer_that_might_change_is_left_alone(tiny, change):
    change(tiny)
    with done_once(tiny) as kept:
        assert replaced(tiny) == []
        assert kept.memos == []


def test_what_finds_no_room_is_computed_each_time(tiny, plainly, computed, monkeypatch):
    one, time = 16 * 24 * 4, 4 * (32 + 24 + 24 + 6 * 24)  # bytes of one block's keys of one prompt, of a timestep
    # Both prompts' embeddings, and half of the keys and values: those of the prompt, which comes first.
    monkeypatch.setattr(once, "KEPT_BYTES", time + (2 + 4) * one)
    asked = request(tiny, TWO)
    frames = run_staged(asked).frames
    for block in tiny.transformer.blocks:
        assert computed[block.attn2.to_k] == computed[block.attn2.to_v] == 1 + 8
    assert np.array_equal(frames, plainly(asked))


def test_a_changed_tensor_is_computed_anew():
    calls = []
    memo = Memo(lambda x: calls.append(1) or x + 1, entries=2)
    x = torch.zeros(2)
    assert memo(x) is memo(x)
    x += 1
    assert torch.equal(memo(x), torch.full((2,), 2.0))
    assert memo(x.clone()) is not memo(x)
    assert len(calls) == 3


def test_a_memo_forgets_the_oldest_and_gives_its_room_back():
    room = Room(8)
    memo = Memo(lambda x: x + 1, 2, room)
    xs = [torch.zeros(1) for _ in range(5)]
    outputs = [memo(x) for x in xs]
    assert memo(xs[4]) is outputs[4]
    assert memo.find(xs[0]) is None
    assert room.left == 0
    memo.clear()
    assert room.left == 8


def test_keys_are_normed_once_even_where_they_are_not_kept():
    for bytes_, kept in ((0, False), (64, True)):
        memo = KeyMemo(lambda x: x + 1, lambda x: x * 10, 2, Room(bytes_))
        x = torch.ones(2)
        for _ in range(3):
            keys = memo(x)
            assert torch.equal(memo.normed(keys), torch.full((2,), 20.0))
        assert (memo.find(x) is not None) == kept


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_timestep_is_embedded_once_a_step_for_both_passes_in_any_dtype(tiny, computed, dtype):
    """In bfloat16 casts lie between the modules, so that none knows its input again."""
    tiny.to(dtype)
    run_staged(request(tiny, U))
    embedder = tiny.transformer.condition_embedder
    assert computed[embedder.time_proj] == computed[embedder.time_embedder.linear_1] == 8


def held(memos):
    return sum(memo.held_bytes for memo in memos if isinstance(memo, once.TimeChain))


@pytest.mark.parametrize(("name", "keeps"), [("wan", True), ("wan-5b", False), ("wan-5b-i2v", False)])
def test_with_a_timestep_for_each_token_nothing_is_kept(name, keeps, monkeypatch, computed):
    """What would be kept could never be asked for again: every pass makes a new tensor of the timesteps."""
    case, memos, seen = CASES[name], [], []
    pipe = case.build()

    class Watched(once.Kept):
        def __init__(self):
            super().__init__()
            self.memos = memos

    monkeypatch.setattr(once, "Kept", Watched)
    asked = case_request(case, pipe, flat(4))
    run_staged(asked, lambda event: seen.append(held(memos)) if event.step < 4 else None)
    assert len(seen) == 3
    assert all((bytes_ > 0) == keeps for bytes_ in seen)
    assert computed[pipe.transformer.condition_embedder.time_proj] == (4 if keeps else 8)


@pytest.mark.parametrize("name", ["wan-5b", "wan-5b-i2v", "wan-i2v", "wan-a14b"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_bit_changes_for_other_models_either(plainly, name, dtype):
    case = CASES[name]
    pipe = case.build().to(dtype)
    for schedule in (flat(4), TWO):
        asked = case_request(case, pipe, schedule)
        assert np.array_equal(run_staged(asked).frames, plainly(asked))


def test_the_embedding_of_a_timestep_is_within_the_room_and_knows_a_changed_one():
    embed = once.TimeChain(Room(8))
    link = embed.link("proj", lambda x: x + 1)
    calls = embed.entered(lambda timestep, text, image, timestep_seq_len: link(timestep))
    t, text = torch.zeros(2), torch.zeros(1)
    first = calls(t, text)
    assert calls(t, text) is first
    assert calls(t, text.double()) is not first  # another dtype of the text casts in between
    again = calls(t, text)
    t += 1
    assert torch.equal(calls(t, text), again + 1)
    assert embed.held_bytes == 8
    larger = torch.zeros(3)
    assert calls(larger, text) is not calls(larger, text)  # no room
    assert embed.held_bytes == 0
