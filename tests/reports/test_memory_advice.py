"""Where memory peaks is told from what was measured, and never made up."""

from __future__ import annotations

from engine.reports.memory_advice import memory_sentence
from engine.reports.run_costs import Memory
from tests.jobs.shelf import experiment, report_of

MIB = 2**20


def with_memory(steps, before, decode, *, device="cuda", loading=(), peaks=(None,)):
    found = report_of(experiment(), (1, 2))
    memory = Memory(
        kind="cuda", peak_bytes=max(*steps, before, decode) * MIB, steps_bytes=[one * MIB for one in steps],
        before_bytes=before * MIB, decode_bytes=decode * MIB,
    )  # fmt: skip
    base = found.runs[0].model_copy(update={"memory": memory})
    others = [
        run.model_copy(update={"memory": memory.model_copy(update={"peak_bytes": peak * MIB})})
        for run, peak in zip(found.runs[1:], peaks, strict=False)
        if peak
    ]
    environment = found.environment.model_copy(update={"device": device, "loading": loading})
    return found.model_copy(update={"runs": (base, *others), "environment": environment})


def test_a_peak_in_decoding_is_lowered_by_tiling_not_by_a_schedule():
    text = memory_sentence(with_memory([100, 120], 80, 300, peaks=(300,)))
    assert text.startswith("Memory peaks in decoding: 300 MiB, with 120 MiB in denoising.")
    assert "The schedules save time, not this peak" in text
    assert text.endswith("VAE tiling, model offload, a smaller size or fewer frames would lower it.")


def test_a_peak_in_denoising_is_not_lowered_by_tiling():
    text = memory_sentence(with_memory([900, 1500], 80, 300))
    assert text.startswith("Memory peaks in denoising: 1.5 GiB")
    assert "tiling" not in text
    assert text.endswith("Model offload, quantised weights, a smaller size or fewer frames would lower it.")


def test_what_is_on_already_is_not_advised():
    text = memory_sentence(with_memory([100], 80, 300, loading=("VAE tiling", "model offload")))
    assert text.endswith("A smaller size or fewer frames would lower it.")
    assert "offload" not in memory_sentence(with_memory([100], 80, 300, device="cpu"))


def test_a_schedule_that_does_lower_the_peak_is_named():
    assert "stays 50% under it" in memory_sentence(with_memory([100], 80, 300, peaks=(150,)))


def test_nothing_is_told_where_nothing_was_measured():
    assert memory_sentence(report_of(experiment(), (1, 2))) is None
