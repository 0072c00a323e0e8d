"""The statistics of the study of closeness, and verdicts and a page that follow the figures."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from benchmarks.fidelity import matrix
from benchmarks.fidelity.__main__ import main
from benchmarks.fidelity.claims import FAILS, HOLDS, PARTLY, UNDECIDED, claims, u_against_two_stage, verdict
from benchmarks.fidelity.matrix import (
    BEST,
    BEST_RULES,
    EARLY_50,
    FEW_STEPS,
    FLAT,
    FRESH,
    OWN,
    RULES,
    STEPS,
    TWO_75,
    U_50,
    U_75,
    Cell,
    cells,
)
from benchmarks.fidelity.page import weights, write_page
from benchmarks.fidelity.rows import append_row, digest_of, read_rows
from benchmarks.fidelity.statistics import Comparison, Interval, compare, holm, interval
from benchmarks.fidelity.table import Table
from engine.errors import InvalidInput
from engine.models.catalogue import find_model
from engine.switching.policies import POLICIES

SPEC = find_model("emoji-wan")
ALL = cells(tuple(POLICIES))
SETUP = {"model": "emoji-wan", "weights": "aaa", "judge": "bbb", "dtype": "bfloat16", "guidance": 3.0, "shift": 3.0}


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
        "psnr_pooled": None if cell.is_baseline or cell.size != 1 else psnr,
        "psnr": None if cell.is_baseline or cell.size != 1 else psnr + 1,
        "ssim": None if cell.is_baseline or cell.size != 1 else 0.9,
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
    found = 2.0 * (cell.schedule in (U_75, U_50, "wan_i2v_U")) + 0.5 * (cell.policy == OWN)
    found += 0.3 * (cell.schedule == EARLY_50) + 1.5 * (cell.policy == BEST) + 0.5 * (cell.policy in BEST_RULES)
    if cell.policy in RULES:
        found += 1.0 - (3.0 if cell.steps == min(FEW_STEPS) else 0.5)
    return found - 5.0 * (cell.schedule == FLAT)


def against(cell: Cell) -> float:
    """The same claims, all false."""
    found = -2.0 * (cell.schedule in (U_75, U_50, "wan_i2v_U")) + 1.0 * (cell.policy == FRESH)
    if cell.policy in RULES:
        found -= 3.0 if cell.steps == STEPS else 0.5
    favourite = {TWO_75: "spectral", U_75: "jenga"}.get(cell.schedule)
    found -= 0.3 * (cell.schedule == EARLY_50) - 0.4 * (cell.policy in BEST_RULES)
    return found + 0.5 * (cell.policy == favourite) + 9.0 * (cell.schedule == FLAT)


def test_every_verdict_turns_with_the_figures():
    assert verdicts(in_favour) == [*[HOLDS] * 6, PARTLY, HOLDS]
    assert verdicts(against) == [*[FAILS] * 6, PARTLY, FAILS]


def test_adherence_costs_only_where_the_judge_finds_less():
    found = claims(Table(made_up(in_favour)))[6]
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
