"""The study of closeness: what it runs, that it resumes, its statistics, and verdicts that follow the figures."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.fidelity import matrix
from benchmarks.fidelity.__main__ import main
from benchmarks.fidelity.ablations import VARIANTS, exact, level_left, policy_or_variant, variants_known
from benchmarks.fidelity.claims import FAILS, HOLDS, PARTLY, UNDECIDED, claims, u_against_two_stage, verdict
from benchmarks.fidelity.matrix import (
    EARLY_50,
    FEW_STEPS,
    FLAT,
    FRESH,
    OWN,
    SIGMAS,
    STEPS,
    TWO_75,
    U_50,
    U_75,
    Cell,
    cells,
    pairs,
)
from benchmarks.fidelity.page import weights, write_page
from benchmarks.fidelity.prompts import wanted
from benchmarks.fidelity.recall import Recall
from benchmarks.fidelity.rows import append_row, digest_of, read_rows
from benchmarks.fidelity.runs import PairRun, Study
from benchmarks.fidelity.statistics import Comparison, Interval, compare, holm, interval
from benchmarks.fidelity.table import Table
from engine.errors import InvalidInput
from engine.models.catalogue import find_model
from engine.switching.policies import POLICIES
from engine.switching.switches import SWITCHES, Switch, coherent

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
def test_the_variants_switch_is_that_of_coherent_where_nothing_is_changed(size):
    assert torch.allclose(exact(a_switch(size)), coherent(a_switch(size)), atol=1e-5)


def test_the_naive_level_is_another_state_unless_the_levels_agree():
    s = a_switch((12, 12))
    assert not torch.allclose(level_left(s), exact(s), atol=1e-2)
    agreeing = replace(s, new=[0.9, 0.85, s.sigma])
    assert torch.allclose(level_left(agreeing), exact(agreeing))


def test_variants_are_known_to_the_driver_only_while_the_study_runs():
    before = dict(SWITCHES)
    with variants_known():
        assert SWITCHES.keys() == before.keys() | VARIANTS.keys()
    assert before == SWITCHES
    assert not policy_or_variant(FRESH).field_first
    assert policy_or_variant(OWN) is POLICIES[OWN]


# Statistics


def test_an_interval_is_students():
    found = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found is not None
    assert found.mean == 3
    assert found.high - 3 == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-5)  # t of 4 degrees of freedom
    assert interval([]) is None
    one = interval([2.0])
    assert one is not None
    assert math.isnan(one.low)


def test_a_comparison_is_paired_by_prompt_and_exact_for_few():
    a = {f"p{k}": 10.0 + k for k in range(8)} | {"only here": 99.0}
    b = {f"p{k}": 9.0 + k - 0.01 * k for k in range(8)}
    found = compare(a, b)
    assert found is not None
    assert found.difference.n == 8
    assert found.difference.mean == pytest.approx(1.035)
    assert found.p == pytest.approx(2 / 2**8)  # all signs alike
    assert compare(a, {"p0": 1.0}) is None
    same = compare(a, a)
    assert same is not None
    assert (same.p, same.decided) == (1.0, 0)


def at(mean: float, p: float) -> Comparison:
    return Comparison(Interval(mean, mean - 1, mean + 1, 9), p)


def test_holm_multiplies_the_smallest_most_and_never_turns_the_order():
    found = holm({"a": at(1, 0.01), "b": at(1, 0.04), "c": at(1, 0.03), "none": None})
    assert {k: one.adjusted for k, one in found.items()} == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert found["a"].decided == 1
    assert found["b"].decided == 0


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([at(1, 0.001), at(2, 0.001)], HOLDS),
        ([at(-1, 0.001), at(-2, 0.5)], FAILS),
        ([at(1, 0.001), at(-2, 0.001)], PARTLY),
        ([at(1, 0.001), at(2, 0.5)], PARTLY),
        ([at(1, 0.5), at(-1, 0.5)], UNDECIDED),
        ([], UNDECIDED),
    ],
)
def test_a_verdict_follows_from_what_is_told_from_none(found, expected):
    assert verdict(found) == expected


# Rows, and the page that is made of them


def row(prompt: int, cell: Cell, psnr: float, right: bool = True) -> dict:
    stages = matrix.resolution(cell.schedule, cell.steps).stages
    flops = 1e9 * cell.size**2 * sum(stage.steps * (0.05 + 0.95 * stage.rate**2) for stage in stages)
    return {
        "setup": SETUP,
        "when": "2026-01-01T00:00Z",
        "prompt": f"prompt {prompt}",
        "seed": 0,
        "cell": cell.key,
        "psnr": None if cell.is_baseline or cell.size != 1 else psnr,
        "ssim": None if cell.is_baseline or cell.size != 1 else 0.9,
        "vmaf": None,
        "contrast": None,
        "marks": dict.fromkeys(("emoji", "motion", "texture", "color"), right),
        "cpu_s": 1.0,
        "flops": flops,
    }


def made_up(gain, prompts: int = 12) -> list[dict]:
    """Rows of every cell; `gain(cell)` in dB over 20, with a little noise; half of a small video is not recognised."""
    rng = np.random.default_rng(0)
    return [
        row(k, cell, 20 + gain(cell) + 0.1 * rng.standard_normal(), right=cell.size > 0.6)
        for k in range(prompts)
        for cell in ALL
    ]


def verdicts(gain) -> list[str]:
    return [one.verdict for one in claims(Table(made_up(gain)))]


def in_favour(cell: Cell) -> float:
    """A world in which every claim is true."""
    found = 2.0 * (cell.schedule in (U_75, U_50, "wan_i2v_U")) + 1.0 * (cell.policy == OWN)
    found += 0.3 * (cell.schedule == EARLY_50)
    if cell.policy in SIGMAS:
        found += 1.0 - (3.0 if cell.steps == min(FEW_STEPS) else 0.5)
    return found - 5.0 * (cell.schedule == FLAT)


def against(cell: Cell) -> float:
    """The same claims, all false."""
    found = -2.0 * (cell.schedule in (U_75, U_50, "wan_i2v_U")) + 1.0 * (cell.policy == FRESH)
    if cell.policy in SIGMAS:
        found -= 3.0 if cell.steps == STEPS else 0.5
    favourite = {TWO_75: "spectral", U_75: "jenga"}.get(cell.schedule)
    found -= 0.3 * (cell.schedule == EARLY_50)
    return found + 0.5 * (cell.policy == favourite) + 9.0 * (cell.schedule == FLAT)


def test_every_verdict_turns_with_the_figures():
    assert verdicts(in_favour) == [*[HOLDS] * 5, PARTLY, HOLDS]
    assert verdicts(against) == [*[FAILS] * 5, PARTLY, FAILS]


def test_adherence_costs_only_where_the_judge_finds_less():
    found = claims(Table(made_up(in_favour)))[5]
    assert found.verdict == PARTLY  # whole videos at 0.5; two-stage runs keep what was asked for
    assert "from rate 0.5 on" in found.remark


def test_schedules_of_unequal_cost_are_not_compared():
    rows = made_up(in_favour)
    for one in rows:
        if one["cell"].startswith((U_75, U_50, "wan_i2v_U")):
            one["flops"] *= 1.05
    assert u_against_two_stage(Table(rows)).verdict == UNDECIDED


def test_the_page_holds_every_verdict_table_and_plot_and_no_open_marker(tmp_path):
    page = tmp_path / "docs/fidelity.md"
    rows = made_up(in_favour, prompts=4)
    rows[5] = {k: rows[5][k] for k in ("setup", "when", "prompt", "seed", "cell")} | {"refused": "policy x cannot."}
    found = write_page(rows, page, (40, 4), "python -m benchmarks.fidelity")
    text = page.read_text("utf-8")
    for claim in found:
        assert f"## {claim.claim}: {claim.verdict}" in text
    for key in matrix.schedules():
        assert f"**{matrix.title(key)}**" in text
    for name in ("closeness", "cost", "window", "sigma", "adherence"):
        assert (tmp_path / f"docs/images/fidelity-{name}.png").stat().st_size > 3000
        assert f"images/fidelity-{name}.png" in text
    assert "4 prompts" in text
    assert "policy x cannot." in text
    assert not re.search(r"\{\{|\{%|\bnan\b|\bNone\b", text)
    assert page.with_suffix(".csv").stat().st_size < 300_000


def test_a_torn_line_is_run_again_and_does_not_spoil_the_next(tmp_path):
    out = tmp_path / "rows.jsonl"
    append_row(out, row(0, ALL[0], 1.0))
    with out.open("a") as file:
        file.write('{"setup": {"mod')
    append_row(out, row(1, ALL[0], 1.0))
    assert [one["prompt"] for one in read_rows(out)] == ["prompt 0", "prompt 1"]


def test_rows_of_other_weights_are_refused_and_another_file_is_offered(tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    append_row(out, row(0, ALL[0], 1.0))
    append_row(out, row(1, ALL[0], 1.0) | {"setup": SETUP | {"weights": "ccc"}})
    with pytest.raises(InvalidInput, match=r"weights aaa.* ccc.*--out"):
        read_rows(out)
    assert main(["report", "--out", str(out), "--page", str(tmp_path / "page.md")]) == 2
    assert "another file" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_a_page_says_that_the_engine_changed_between_its_rows():
    rows = [row(k, ALL[0], 1.0) | {"setup": SETUP | {"code": code}} for k, code in enumerate("aab")]
    assert "2 states" in weights(rows)
    assert "states" not in weights(rows[:2])


def test_a_report_without_rows_says_what_to_run(tmp_path, capsys):
    assert main(["report", "--out", str(tmp_path / "none.jsonl")]) == 2
    assert "benchmarks.fidelity run" in capsys.readouterr().err


def test_the_hash_of_weights_changes_with_a_byte_and_a_name(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    first = digest_of([tmp_path / "a"])
    assert first != digest_of([tmp_path / "b"])
    (tmp_path / "a").write_bytes(b"3")
    assert first != digest_of([tmp_path / "a"])


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
