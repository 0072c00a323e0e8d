"""What the GPU benchmark does with its time, its record and what fails, on a CPU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import COMPILING_S, Bench
from benchmarks.gpu_measures import Measures
from benchmarks.gpu_table import table
from benchmarks.random_weights import described
from engine.costs.flops_count import forward_flops
from engine.errors import RunFailed, UnsupportedPipeline
from engine.sampling.pipeline_run import run_staged
from engine.schedules.latent_sizes import full_size
from engine.schedules.schedule import flat

CPU = torch.device("cpu")


def bench(out: Path, **items) -> Bench:
    """A bench of given items in place of its own."""
    made = Bench(out, CPU, True)
    made.items = lambda: iter(items.items())
    made.expected_s = lambda key: 0.0
    return made


def failing(error: Exception):
    def item():
        raise error

    return item


def measured(out: Path) -> dict:
    return json.loads(out.read_text("utf-8"))["items"]


@pytest.mark.parametrize(
    "error",
    [
        RunFailed("out of memory after step 3.", 3), UnsupportedPipeline("cannot"), RuntimeError("kernel"),
        NotImplementedError("no kernel"), ValueError("shape"), AssertionError("stride"),
    ],
)  # fmt: skip
def test_an_item_that_fails_is_recorded_and_the_next_is_measured(tmp_path, error):
    out = tmp_path / "gpu.json"
    made = bench(out, one=failing(error), two=lambda: {"seconds": 1.0})
    made.measures._subject = object()
    assert made.measure(1.0, "")
    found = measured(out)
    assert found["one"]["failed"] == str(error)
    assert found["two"]["seconds"] == 1.0
    assert all(one["wall_s"] >= 0 for one in found.values())
    assert made.measures._subject is None


def test_failed_items_are_measured_again_when_asked(tmp_path):
    out = tmp_path / "gpu.json"
    bench(out, one=failing(ValueError("no")), other=failing(ValueError("no")), two=lambda: {"n": 1}).measure(1.0, "")
    later = bench(out, one=lambda: {"n": 2}, other=lambda: {"n": 2}, two=lambda: {"n": 2})
    later.measure(1.0, "")
    assert "failed" in measured(out)["one"]
    later.forget_failed("one")
    assert later.measure(1.0, "")
    found = measured(out)
    assert (found["one"]["n"], found["two"]["n"]) == (2, 1)
    assert "failed" in found["other"]


def test_small_networks_and_published_sizes_do_not_mix_in_a_record(tmp_path):
    out = tmp_path / "gpu.json"
    bench(out, one=lambda: {"n": 1}).measure(1.0, "")
    with pytest.raises(SystemExit, match="holds figures of small networks; give --out another name for published"):
        Bench(out, CPU, False)
    Bench(out, CPU, True)


def test_a_call_ends_before_an_item_that_would_not_fit_but_begins_its_first_always(tmp_path):
    out = tmp_path / "gpu.json"
    made = bench(out, one=lambda: {"n": 1}, two=lambda: {"n": 1}, three=lambda: {"n": 1})
    made.expected_s = lambda key: 0.0 if key == "two" else 100.0
    assert not made.measure(1.0, "")
    assert list(measured(out)) == ["one", "two"]
    assert made.measure(1.0, "")
    assert list(measured(out)) == ["one", "two", "three"]


def test_what_an_item_takes_is_expected_from_what_is_measured(tmp_path):
    made = Bench(tmp_path / "gpu.json", CPU, True)
    name, steps = "sd3-medium", described("sd3-medium", True).defaults.steps
    assert all(made.expected_s(key) == 0 or key.startswith("run/") for key, _ in made.items())
    made.record["items"] = {
        f"step/{name}/default/eager/1": {"seconds": 2.0, "wall_s": 30.0},
        f"run/{name}/flat": {"decode_s": 5.0},
    }
    assert made.expected_s(f"run/{name}/lightx2v-wan_t2v") == (steps + 4) * 2.0 + 2 * 5.0
    assert made.expected_s(f"flat/{name}") == 8 * (4 * 2.0 + 5.0)
    assert made.expected_s(f"step/{name}/sage/eager/0.5") == 30.0
    made.device = torch.device("cuda")
    assert made.expected_s(f"step/{name}/default/compiled/1") == COMPILING_S
    made.record["items"][f"step/{name}/default/eager/1"]["failed"] = "no"
    assert made.expected_s(f"step/{name}/sage/eager/0.5") == 0


@pytest.mark.parametrize(("name", "passes", "batch"), [("sd3-medium", 1, 2), ("wan2.1-1.3b", 2, 1)])
def test_a_step_is_timed_as_the_pipeline_makes_its_passes(monkeypatch, name, passes, batch):
    measures, seen = Measures(CPU, True), []
    subject = measures._of(name)
    told = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep")

    def see(module, args, kwargs):
        seen.append({part: tuple(kwargs[part].shape) for part in told if part in kwargs})

    subject.pipe.transformer.register_forward_pre_hook(see, with_kwargs=True)
    monkeypatch.setattr(measures, "_seconds", lambda what, repeats: what() and 3.0)
    found = measures.step(name, None, False, 1.0)
    timed = seen.copy()
    seen.clear()
    run_staged(replace(measures._request(subject, flat(1)), decode=False))
    assert seen == timed * passes
    assert timed[0]["hidden_states"][0] == batch
    own, spec = subject.spec.defaults, subject.spec
    size = full_size(spec.geometry, own.height, own.width, own.frames)
    assert found["seconds"] == 3.0 * passes
    assert found["flops"] == 2 * forward_flops(spec.transformer, size, own.max_sequence_length)


def test_a_run_tells_its_peaks_by_phase_and_its_evaluations_and_the_table_has_them():
    found = Measures(CPU, True).run("sd3-medium", "flat")
    assert (found["computed"], found["skipped"]) == (8, 0)
    assert found["reserved_bytes"] is None
    assert found["before_bytes"] >= 0
    assert found["decode_bytes"] >= 0
    phases = {"before_bytes": 2**30, "denoise_peak_bytes": 2**31, "decode_bytes": 3 * 2**30, "reserved_bytes": 2**32}
    items = {"run/m/flat": found | phases, "run/m/cached": found | {"computed": 5, "skipped": 3, "cached": True}}
    told = table({"device": "CPU", "torch": "2", "small": True, "items": items | {"run/m/x": {"failed": "no"}}})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("| ")]
    heads, full, cached, failed = rows[-4:]
    assert full[5] == "1.00"
    assert full[6:] == ["1.00", "2.00", "3.00", "4.00", "8"]
    assert heads[6:10] == ["peak GiB: text and inputs", "denoising", "decoding", "reserved"]
    assert (cached[5], cached[-1]) == ("–", "5 of 8")
    assert len(failed) == len(heads)
