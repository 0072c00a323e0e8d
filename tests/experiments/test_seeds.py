"""Seeds go as far as a generator reads them; larger ones of earlier documents open as the seed that they stood for."""

from __future__ import annotations

import json

import pytest
import torch

from engine.errors import InvalidInput
from engine.experiments.documents import experiment_of, load_experiment
from engine.experiments.experiment import make_experiment
from engine.experiments.settings import MAX_SEED, Settings, folded_seed
from engine.experiments.share_link import _inflated, unpack
from engine.hpdm.tile_sampler import noise_like
from engine.models.catalogue import catalogue
from tests.repository.test_old_documents import EXPERIMENT, OLD

OLDEST = 2**53 - 1  # the largest of before
LARGE = 5 + 7 * 2**32


def drawn(seed):
    return torch.randn(4, generator=torch.Generator("cpu").manual_seed(seed))


@pytest.mark.parametrize("seed", [2**32, 2**32 + 1, LARGE, OLDEST])
def test_a_larger_seed_draws_the_noise_of_the_one_that_it_is_folded_to(seed):
    assert torch.equal(drawn(seed), drawn(folded_seed(seed)))
    assert 0 <= folded_seed(seed) <= MAX_SEED


def test_by_levels_too():
    config = catalogue()["emoji-hpdm"].levels
    assert torch.equal(noise_like(config, 0, 1, LARGE, 0), noise_like(config, 0, 1, 5, 0))


def test_a_new_experiment_refuses_it_in_one_sentence():
    spec = catalogue()["emoji-wan"]
    assert make_experiment(spec, [], Settings("a frog", seed=MAX_SEED)).seed == MAX_SEED
    with pytest.raises(InvalidInput, match=r"^seed is 4294967296; it must be an integer in 0\.\.4294967295\.$"):
        make_experiment(spec, [], Settings("a frog", seed=MAX_SEED + 1))


def test_documents_and_reports_of_before_open(tmp_path):
    assert experiment_of(EXPERIMENT | {"seed": LARGE}, "old").seed == 5
    report = json.loads((OLD / "comparison" / "report.json").read_text("utf-8"))
    (tmp_path / "report.json").write_text(json.dumps(report | {"seed": LARGE}))
    assert load_experiment(tmp_path / "report.json").seed == 5


def test_links_of_before_open(monkeypatch):
    link = json.loads((OLD / "links.json").read_text("utf-8"))["emoji-wan"]
    short = json.loads(_inflated(link))
    monkeypatch.setattr(
        "engine.experiments.share_link._inflated", lambda text: json.dumps(short | {"e": LARGE}).encode()
    )
    assert unpack(link).seed == 5


@pytest.mark.parametrize("seed", [-1, 2**53, True, "5", 1.5, None])
def test_what_never_was_a_seed_stays_what_it_is(seed):
    assert folded_seed(seed) is seed
