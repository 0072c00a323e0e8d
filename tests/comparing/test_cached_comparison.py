"""A comparison with caches: the report says what was computed, and claims no more than was counted."""

from __future__ import annotations

import numpy as np
import pytest

from engine.caches.cache_choice import parse_shorthand
from engine.caches.counting import Evaluations, StageCount
from engine.caches.recording import explained, fit_polynomial, recorded
from engine.comparing.comparison import compare
from engine.costs.cached_flops import counted_flops, part_flops
from engine.costs.flops_count import forward_flops, schedule_cost
from engine.costs.timings import Timings, timing_key
from engine.experiments.documents import experiment_of, load_experiment
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.experiments.share_link import pack, unpack
from engine.models.catalogue import find_model
from engine.models.loading import load_model
from engine.reports import report_file
from engine.reports.html import write_index
from engine.sampling import cache_calibration
from engine.schedules.latent_sizes import full_size
from engine.switching.policies import policy_named
from ui.comparator.comparator_value import facts_of_run
from ui.figures.figures_value import figures_of

STEPS = 8


@pytest.fixture(scope="module")
def shipped():
    return load_model("emoji-wan", device="cpu")


def tracks(*texts):
    made = []
    for text in texts:
        preset = load_preset(text, STEPS)
        made.append(Track(text, preset.schedule.with_steps(STEPS), policy_named("coherent"), preset.cache))
    return made


def experiment(spec, *texts):
    return make_experiment(
        spec, tracks(*texts), Settings(prompt="a red apple", steps=STEPS, height=64, width=64, frames=5, seed=3)
    )


@pytest.fixture(scope="module")
def found(shipped, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    asked = experiment(
        shipped.spec, "flat+teacache:0.5", "u-0.5+firstblock:0.3", "u-0.5", "two-stage-0.5+pab:2", "flat+magcache:0.5"
    )
    return asked, compare(asked, shipped, out, noise_floor=False), out


def named(report, name):
    return next(run for run in report.runs if run.name == name)


def test_every_run_says_how_many_evaluations_were_computed(found):
    for run in found[1].runs:
        assert run.status == "done", run.error
        assert run.evaluations.computed + run.evaluations.skipped == 2 * STEPS
        assert len(run.evaluations.stages) == len(run.stages)
        assert (run.evaluations.skipped > 0) == (run.cache is not None)


def test_a_cached_run_is_compared_with_the_uncached_one(found):
    report = found[1]
    assert named(report, "baseline").uncached is None
    assert named(report, "u-0.5").uncached is None
    assert named(report, "flat+teacache:0.5").uncached.run == "baseline"
    tea = named(report, "flat+teacache:0.5")
    assert tea.uncached.similarity == tea.similarity
    early = named(report, "u-0.5+firstblock:0.3").uncached  # its twin runs after it
    assert early.run == "u-0.5"
    assert early.similarity.psnr.mean is not None
    alone = named(report, "two-stage-0.5+pab:2").uncached
    assert alone.run is None
    assert "not in this comparison" in alone.similarity.psnr.reason


def test_the_speed_up_by_flops_claims_no_more_than_was_skipped(found):
    asked, report, _ = found
    for run in report.runs:
        if run.cache is None:
            continue
        schedule = load_preset(run.name, STEPS).schedule.with_steps(STEPS)
        whole = schedule_cost(asked.spec, schedule, height=64, width=64, frames=5, guidance=asked.guidance)
        counts = zip(whole.stages, run.evaluations.stages, strict=True)
        least = sum(stage.flops * count.computed / (count.computed + count.skipped) for stage, count in counts)
        assert least < run.flops < whole.flops
        assert run.speedup.by_flops == pytest.approx(whole.baseline_flops / run.flops)


def test_the_report_reads_back_and_its_page_is_written(found):
    _, report, out = found
    assert report_file.load(out / "report.json") == report
    text = write_index(report, out).read_text("utf-8")
    assert "teacache:0.5" in text


def test_an_experiment_with_caches_survives_reports_documents_and_links(found):
    asked, _, out = found
    assert load_experiment(out / "report.json").tracks == asked.tracks
    assert experiment_of(asked.document(), "it") == asked
    assert unpack(pack(asked)) == asked


def test_a_cached_run_teaches_no_timings(found):
    asked, report, _ = found
    timings = Timings(key=timing_key(asked.spec, 5, asked.guidance, report.environment))
    assert timings.with_run(named(report, "flat+teacache:0.5")) is timings
    assert timings.with_run(named(report, "u-0.5")).runs == 1


def test_magcache_records_its_ratios_once_a_comparison(shipped, tmp_path, monkeypatch):
    calls, record = [], cache_calibration.Calibration._record
    monkeypatch.setattr(cache_calibration.Calibration, "_record", lambda *a: calls.append(1) or record(*a))
    asked = experiment(shipped.spec, "flat+magcache:0.1", "u-0.5+magcache:0.5")
    report = compare(asked, shipped, tmp_path, noise_floor=False)
    assert [run.status for run in report.runs] == ["done"] * 3
    assert calls == [1]


def test_recording_changes_no_bit_and_leaves_nothing_behind(tiny):
    def run():
        import torch

        return tiny(
            prompt="a", negative_prompt="", height=64, width=64, num_frames=5, num_inference_steps=4, output_type="np",
            guidance_scale=3.0, max_sequence_length=16, generator=torch.Generator().manual_seed(0),
        ).frames  # fmt: skip

    plain = run()
    before = [sorted(part.__dict__) for part in tiny.transformer.modules()]
    with recorded(tiny) as recorder:
        assert (run() == plain).all()
    assert [sorted(part.__dict__) for part in tiny.transformer.modules()] == before
    assert set(recorder.tracks) == {"cond", "uncond"}
    for track in recorder.tracks.values():
        assert len(track.growth) == len(track.output) == len(track.embedding) == len(track.modulation) == 3
        assert min(track.growth) > 0


def test_fitting_finds_a_parabola_again():
    changes = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    outputs = 2 * changes**2 - changes + 0.3
    assert fit_polynomial(changes, outputs) == pytest.approx((2.0, -1.0, 0.3))
    assert explained((2.0, -1.0, 0.3), changes, outputs) == pytest.approx(1.0)
    assert explained((outputs.mean(),), changes, outputs) == pytest.approx(0.0)


def test_the_parts_of_a_forward_pass_are_counted_exactly():
    spec = find_model("emoji-wan")
    size = full_size(spec.geometry, 64, 64, 5)
    whole, parts = forward_flops(spec.transformer, size, 16), part_flops(spec.transformer, size, 16)
    top = sum(count for name, count in parts.items() if "." not in name and name != "blocks")
    blocks = sum(parts[f"blocks.{k}"] for k in range(spec.transformer["num_layers"]))
    assert top + blocks == whole
    assert parts["blocks.0.attn1"] + parts["blocks.0.attn2"] + parts["blocks.0.ffn"] == parts["blocks.0"]


def test_nothing_left_out_costs_what_the_schedule_costs():
    spec, schedule = find_model("emoji-wan"), load_preset("u-0.5", 30).schedule
    cost = schedule_cost(spec, schedule, height=128, width=128, frames=17, guidance=3.0)
    counts = [StageCount(computed=2 * stage.steps) for stage in schedule.stages]
    assert counted_flops(cost, Evaluations(counts), spec.transformer, 16) == cost.flops


def test_the_lightx2v_config_with_teacache_runs_as_it_reads(shipped, tmp_path):
    preset = load_preset("lightx2v-wan_t2v_U_teacache", 50)
    assert preset.cache == parse_shorthand("teacache:0.1,ret_steps=false").with_values(
        coefficients=preset.cache["coefficients"]
    )
    track = Track(preset.name, preset.schedule, policy_named("lightx2v"), preset.cache)
    asked = make_experiment(
        shipped.spec, [track], Settings(prompt="a red apple", steps=50, height=32, width=32, frames=5)
    )
    run = compare(asked, shipped, tmp_path, noise_floor=False).runs[1]
    assert run.status == "done", run.error
    assert run.evaluations.computed + run.evaluations.skipped == 100
    assert [stage.last_step for stage in run.stages] == [10, 35, 50]


def test_tables_show_what_was_computed_and_how_like_the_uncached_run_it_is(found):
    _, report, out = found
    figures = figures_of(report)
    assert {"evaluations", "uncached"} <= {column.id for column in figures.columns}
    rows = {row.name: row for row in figures.rows}
    tea, counts = named(report, "flat+teacache:0.5"), named(report, "flat+teacache:0.5").evaluations
    assert rows[tea.name].cells["evaluations"].text == f"{counts.computed} of 16"
    assert rows[tea.name].policy == "coherent, teacache:0.5"
    assert rows["baseline"].cells["evaluations"].text == "16"
    assert "uncached" not in rows["u-0.5"].cells
    alone = rows["two-stage-0.5+pab:2"].cells["uncached"]
    assert (alone.text, alone.number) == ("–", None)
    assert "not in this comparison" in alone.reason
    assert [fact.text for fact in facts_of_run(tea, 1, report.baseline) if fact.label == "Evaluations"] == [
        f"{counts.computed} of 16"
    ]
    page = write_index(report, out).read_text("utf-8")
    assert "PSNR to uncached, dB" in page
    assert f"{counts.computed} of 16" in page


def test_a_comparison_without_caches_shows_no_columns_of_caches(found, tmp_path):
    report = found[1].model_copy(update={"runs": tuple(run for run in found[1].runs if run.cache is None)})
    assert not {"evaluations", "uncached"} & {column.id for column in figures_of(report).columns}
    assert "PSNR to uncached" not in write_index(report, tmp_path).read_text("utf-8")
