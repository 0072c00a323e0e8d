"""A cached run is compared with the same without its cache, whichever runs first; no frames are kept for longer."""

from __future__ import annotations

import numpy as np
import pytest

from engine.caches.cache_choice import parse_shorthand
from engine.comparing.cached_pairs import CachedPairs
from engine.experiments.experiment import Track
from engine.schedules.schedule import flat, parse_schedule
from engine.switching.policies import policy_named

TEA, U = parse_shorthand("teacache"), parse_schedule(12, [1.0, 0.5], [4, 8])
BASE = Track("baseline", flat(12), policy_named("coherent"))
PLAIN = Track("u", U, policy_named("coherent"))
CACHED = Track("u+tea", U, policy_named("coherent"), TEA)


def frames(value):
    return np.full((2, 32, 32, 3), value, dtype=np.float32)


def pairs(*tracks, left=None):
    return CachedPairs(tracks, range(len(tracks)) if left is None else left, 8)


def test_a_run_whose_twin_came_before_is_compared_at_once():
    book = pairs(BASE, PLAIN, CACHED)
    assert book.seen(0, frames(0.0)) == {}
    assert book.seen(1, frames(0.5)) == {}
    found = book.seen(2, frames(0.6))[2]
    assert found.run == "u"
    assert found.similarity.psnr.mean == pytest.approx(20, abs=1e-3)
    assert not book.frames


def test_a_run_whose_twin_comes_later_is_told_then():
    book = pairs(BASE, CACHED, PLAIN)
    book.seen(0, frames(0.0))
    early = book.seen(1, frames(0.6))[1]
    assert early.similarity.psnr.mean is None
    assert "has not finished" in early.similarity.psnr.reason
    assert set(book.frames) == {1}
    assert book.seen(2, frames(0.5))[1].similarity.psnr.mean == pytest.approx(20, abs=1e-3)
    assert not book.frames


def test_a_flat_cached_run_is_compared_with_the_baseline_whatever_its_policy():
    track = Track("flat+tea", flat(12), policy_named("lightx2v"), TEA)
    book = pairs(BASE, track)
    book.seen(0, frames(0.5))
    assert book.seen(1, frames(0.6))[1].run == "baseline"


def test_without_a_twin_the_reason_is_said():
    other = Track("u lightx2v", U, policy_named("lightx2v"))
    book = pairs(BASE, other, CACHED)
    book.seen(0, frames(0.0))
    book.seen(1, frames(0.5))
    found = book.seen(2, frames(0.6))[2]
    assert found.run is None
    assert "not in this comparison" in found.similarity.ssim.reason


def test_a_twin_that_was_taken_over_has_no_frames():
    book = pairs(BASE, PLAIN, CACHED, left=[2])
    found = book.seen(2, frames(0.6))[2]
    assert found.run == "u"
    assert "not at hand" in found.similarity.psnr.reason


def test_several_caches_share_one_twin_and_its_frames_go_with_the_last():
    second = Track("u+pab", U, policy_named("coherent"), parse_shorthand("pab"))
    book = pairs(BASE, PLAIN, CACHED, second)
    book.seen(0, frames(0.0))
    book.seen(1, frames(0.5))
    book.seen(2, frames(0.6))
    assert set(book.frames) == {1}
    assert book.seen(3, frames(0.7))[3].run == "u"
    assert not book.frames


def test_without_caches_nothing_is_kept():
    book = pairs(BASE, PLAIN)
    for number in range(2):
        assert book.seen(number, frames(0.5)) == {}
    assert not book.frames
