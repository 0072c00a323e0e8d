"""The study of closeness: what it runs, its variants, and that it resumes."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.fidelity import matrix
from benchmarks.fidelity.ablations import VARIANTS, fresh_noise, policy_or_variant, variants_known
from benchmarks.fidelity.matrix import (
    FEW_STEPS,
    FLAT,
    FRESH,
    OWN,
    STEPS,
    TWO_75,
    U_50,
    U_75,
    Cell,
    cells,
    pairs,
)
from benchmarks.fidelity.prompts import DEVELOPMENT, FIRST_SEED, HELD_OUT, MOST, wanted
from benchmarks.fidelity.recall import Recall
from benchmarks.fidelity.rows import append_row, read_rows
from benchmarks.fidelity.runs import PairRun, Study
from engine.errors import InvalidInput
from engine.models.catalogue import ROOT, find_model
from engine.switching.policies import POLICIES
from engine.switching.switches import SWITCHES, Switch, coherent
from tests.benchmarks.test_fidelity_report import row

SPEC = find_model("emoji-wan")
ALL = cells(tuple(POLICIES))
SETUP = {"model": "emoji-wan", "weights": "aaa", "judge": "bbb", "dtype": "bfloat16", "guidance": 3.0, "shift": 3.0}


# What is run


def test_no_two_cells_are_the_same_run():
    runs = [
        (matrix.resolution(c.schedule, c.steps), c.policy, c.size, c.other_seed, str(matrix.cache_of(c.schedule)))
        for c in ALL
    ]
    assert len(set(runs)) == len(runs)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_is_run_on_every_schedule(policy):
    for key in matrix.schedules():
        assert [c for c in ALL if (c.schedule, c.policy, c.steps, c.size) == (key, policy, STEPS, 1.0)], key


@pytest.mark.parametrize("name", matrix.LIGHTX2V)
def test_every_setting_of_lightx2v_is_run_under_its_own_name_or_named_where_it_coincides(name):
    assert sum(name in matrix.title(key) for key in matrix.schedules()) >= 1
    assert any(matrix.same(name, key) for key in matrix.schedules())


def test_every_cell_that_is_measured_has_its_baseline_among_the_cells():
    baselines = {c.steps for c in ALL if c.is_baseline}
    assert {c.against for c in ALL} <= baselines == {*FEW_STEPS, STEPS}


def test_the_pairs_of_schedules_whose_cost_is_said_to_be_equal_have_equally_many_low_steps():
    def low(key: str) -> dict[float, int]:
        found: dict[float, int] = {}
        for stage in matrix.resolution(key).stages:
            found[stage.rate] = found.get(stage.rate, 0) + stage.steps
        return found

    assert low(U_75) == low(TWO_75) == low("wan_i2v_U") == low("1/0.75@1/11") == low("1/0.75@8/18")
    assert low(U_50) == low(matrix.TWO_50)


def test_every_prompt_comes_once_before_any_comes_again_and_seeds_go_round():
    found = pairs(40, 4)
    assert len(set(found)) == 160
    assert [pair.prompt for pair in found[:40]] == list(range(40))
    assert {(pair.prompt, pair.seed) for pair in found} == {(p, s) for p in range(40) for s in range(4)}
    assert [pair.seed for pair in found[:5]] == [0, 1, 2, 3, 0]


def test_the_prompts_differ_and_no_emoji_moves_the_same_way_twice():
    found = wanted(40)
    assert len({one.prompt for one in found}) == 40
    assert len({(one.scene.actors[0].name, one.scene.actors[0].motion) for one in found}) == 40


def test_nothing_that_is_held_out_was_ever_used():
    """Neither among the prompts that constants were chosen on, nor in any other text of this repository."""
    development = {one.prompt for one in wanted(MOST, DEVELOPMENT)}
    held_out = [one.prompt for one in wanted(MOST, HELD_OUT)]
    assert len(held_out) == len(set(held_out)) == MOST
    assert not development & set(held_out)
    assert FIRST_SEED[HELD_OUT] > FIRST_SEED[DEVELOPMENT] + 1000
    kinds = {".py", ".md", ".json", ".toml", ".js", ".txt"}
    texts = (path for path in files_of_the_repository() if path.suffix in kinds)
    met = {prompt for path in texts for prompt in held_out if prompt in path.read_text("utf-8")}
    assert not met


def files_of_the_repository():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_a_set_has_no_more_prompts_than_were_checked():
    with pytest.raises(InvalidInput, match="1 to 160"):
        wanted(MOST + 1)


def test_what_the_headline_rests_on_is_run_for_every_pair_before_anything_else():
    first = [cell for cell in ALL if cell.turn == 1]
    assert {cell.turn for cell in ALL} == {1, 2, 3, 4}
    assert all(cell.every == 1 for cell in first)
    assert {(FLAT, "-"), (TWO_75, "anchored"), (TWO_75, "lightx2v"), (U_75, "anchored")} <= {
        (cell.schedule, cell.policy) for cell in first
    }


def test_cells_that_are_seldom_run_meet_every_emoji_and_every_seed_in_both_of_two_processes():
    cell = Cell("", FLAT, every=2)
    mine = [pair for pair in pairs(40, 4)[:40] if pair.runs(cell)]
    assert len(mine) == 20
    assert {pair.seed for pair in mine} == {0, 1, 2, 3}
    assert len({pair.prompt % 16 for pair in mine}) == 16
    assert {pair.number % 2 for pair in mine} == {0, 1}


def test_parts_share_the_pairs_out_and_nonsense_is_refused():
    found = pairs(5, 1)
    assert sorted(p.number for k in (1, 2) for p in matrix.part_of(f"{k}/2", found)) == [0, 1, 2, 3, 4]
    for wrong in ("0/2", "3/2", "1", "a/b", "1/0"):
        with pytest.raises(InvalidInput, match="k/n"):
            matrix.part_of(wrong, found)


# Variants


def a_switch(size: tuple[int, int]) -> Switch:
    x, v = (torch.randn(1, 2, 3, 8, 8, generator=torch.Generator().manual_seed(n)) for n in (1, 2))
    from engine.switching.noise_field import NoiseField

    field = NoiseField(torch.randn(1, 2, 3, 12, 12, generator=torch.Generator().manual_seed(3)))
    known = {
        "x": x, "velocity": v, "stepped": x, "step": 1, "old": [0.9, 0.8, 0.6], "new": [0.92, 0.85, 0.7], "size": size,
        "field": lambda: field, "fresh": lambda: torch.zeros(1, 2, 3, *size),
    }  # fmt: skip
    return Switch(**{each.name: known.get(each.name) for each in fields(Switch)})  # what `coherent` asks for


@pytest.mark.parametrize("size", [(12, 12), (6, 6)])
def test_fresh_noise_is_coherent_in_all_but_its_noise(size):
    s = replace(a_switch(size), new=[0.9, 0.85, 1e-6])  # next to no noise is told: what is left is the clean picture
    assert torch.allclose(fresh_noise(s), coherent(s), atol=1e-4)
    assert not torch.allclose(fresh_noise(a_switch(size)), coherent(a_switch(size)), atol=1e-2)


def test_variants_are_known_to_the_driver_only_while_the_study_runs():
    before = dict(SWITCHES)
    with variants_known():
        assert SWITCHES.keys() == before.keys() | VARIANTS.keys()
    assert before == SWITCHES
    assert not policy_or_variant(FRESH).field_first
    assert policy_or_variant(OWN) is POLICIES[OWN]


# Running


@dataclass
class Judging:
    """A judge that always sees the same."""

    def answers(self, clips: torch.Tensor) -> list[dict[str, str]]:
        assert clips.shape[:2] == (1, 3)
        return [{"emoji": "panda", "motion": "still", "texture": "wood", "color": "blue"}]


@pytest.fixture
def study(tiny, tmp_path):
    """A study of a tiny model: four schedules at twenty steps."""
    few = [
        Cell("grid", FLAT),
        Cell("grid", TWO_75, OWN),
        Cell("grid", TWO_75, "spectral"),
        Cell("noise", TWO_75, FRESH),
    ]
    spec = replace(SPEC, defaults=replace(SPEC.defaults, height=64, width=64, frames=5, shift=3.0))
    model = SimpleNamespace(spec=spec, pipe=tiny)
    return Study(model, Judging(), "judge", tmp_path / "rows.jsonl", few, wanted(2))


def test_a_study_resumes_with_the_cells_that_are_missing(study, monkeypatch):
    assert study.run(pairs(2, 1)) == 8
    kept = study.out.read_text().splitlines()
    study.out.write_text("\n".join(kept[:-2]) + "\n")
    ran = []
    row_of = PairRun.row
    monkeypatch.setattr(PairRun, "row", lambda self, cell: ran.append(cell.key) or row_of(self, cell))
    assert study.run(pairs(2, 1)) == 2
    assert ran == [c.key for c in study.cells[2:]]
    again = [json.loads(one) for one in study.out.read_text().splitlines()]
    drop = ("when", "cpu_s", "setup")
    assert [{k: v for k, v in one.items() if k not in drop} for one in again] == [
        {k: v for k, v in json.loads(one).items() if k not in drop} for one in kept
    ]
    assert study.run(pairs(2, 1)) == 0


def test_a_study_of_other_weights_refuses_the_file_before_it_runs(study, monkeypatch):
    append_row(study.out, row(0, ALL[0], 1.0))
    monkeypatch.setattr(PairRun, "row", lambda self, cell: pytest.fail("ran"))
    with pytest.raises(InvalidInput, match="--out"):
        study.run(pairs(2, 1))


def test_no_cell_begins_after_the_time_is_up(study):
    assert replace(study, until=0.0).run(pairs(2, 1)) == 0
    assert not study.out.exists()


def test_recalled_evaluations_give_the_very_bits_of_computed_ones_under_every_policy(study):
    """A policy that changed the denoiser itself must not be given the answers of another one."""
    asked = [Cell("grid", FLAT), *(Cell("grid", U_75, policy) for policy in POLICIES), Cell("noise", U_75, FRESH)]

    def frames(recalling: bool) -> list[np.ndarray]:
        run = PairRun(study, pairs(2, 1)[0], {})
        if not recalling:
            run.recall.on = lambda: __import__("contextlib").nullcontext()
        found = [run.taken(cell).result.frames for cell in asked]
        if recalling:
            assert 0 < run.recall.computed < run.recall.asked
        return found

    for with_recall, without in zip(frames(True), frames(False), strict=True):
        assert np.array_equal(with_recall, without)


def test_a_recalled_answer_is_for_the_same_question_only_and_cannot_be_spoilt():
    class Doubling:
        def forward(self, x, t=None):
            return (2 * x,)

    recall = Recall(model := Doubling())
    x = torch.ones(3)
    with recall.on():
        model.forward(x, t=1)[0].zero_()
        assert torch.equal(model.forward(x.clone(), t=1)[0], 2 * x)
        assert torch.equal(model.forward(2 * x, t=1)[0], 4 * x)
        model.forward(x, t=2)
    assert (recall.asked, recall.computed) == (4, 3)
    assert "forward" not in vars(model)


def test_a_policy_that_refuses_a_cell_is_noted_and_the_others_go_on(study, monkeypatch):
    def refusing(self, cell):
        if cell.policy == "spectral":
            raise InvalidInput("policy", "spectral cannot do this.")
        return measured(self, cell)

    measured = PairRun.measured
    monkeypatch.setattr(PairRun, "measured", refusing)
    assert study.run(pairs(2, 1)[:1]) == 4
    refused = [one for one in read_rows(study.out) if "refused" in one]
    assert [one["refused"] for one in refused] == ["spectral cannot do this."]
