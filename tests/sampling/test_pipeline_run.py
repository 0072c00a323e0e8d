"""A real pipeline of tiny size, driven through schedules."""

from __future__ import annotations

import gc
import itertools

import numpy as np
import pytest
import torch
from diffusers import HeunDiscreteScheduler, UniPCMultistepScheduler

from engine.errors import Cancelled, UnsupportedPipeline
from engine.models.families import family_of
from engine.models.loading import scheduler_for
from engine.models.preview import fit_preview
from engine.patching import patched
from engine.sampling.bare_loop import sample
from engine.sampling.pipeline_run import run_staged
from engine.sampling.run_request import StagedRequest
from engine.sampling.shared_start import RunMemo
from engine.schedules.latent_sizes import Geometry, full_size, stage_sizes
from engine.schedules.schedule import flat, parse_schedule
from engine.switching.policies import POLICIES, policy_named

GEOMETRY = Geometry((4, 8, 8), (1, 2, 2), 4)
FULL = full_size(GEOMETRY, 64, 96, 5)
CALL = {"prompt": "a red apple", "num_frames": 5, "guidance_scale": 3.0, "max_sequence_length": 16}
U = parse_schedule(8, [1.0, 0.75], [2, 5])
TWO = parse_schedule(8, [0.5], [4])


def request(pipe, schedule, policy="coherent", **changes):
    sizes = stage_sizes(schedule, FULL, GEOMETRY.patch)
    fields = {
        "pipe": pipe, "family": family_of("WanPipeline"), "call": CALL, "schedule": schedule,
        "policy": policy_named(policy), "sizes": sizes,
        "geometry": GEOMETRY, "seed": 1,
    }  # fmt: skip
    return StagedRequest(**fields | changes)


def untouched(pipe, steps=8):
    generator = torch.Generator().manual_seed(1)
    call = CALL | {"height": 64, "width": 96, "num_inference_steps": steps, "output_type": "np"}
    return pipe(**call, generator=generator).frames[0]


@pytest.fixture(params=["unipc", "euler"])
def solved(request, tiny):
    tiny.scheduler = scheduler_for(tiny, request.param, 3.0)
    return tiny


@pytest.mark.parametrize("policy", POLICIES)
def test_rates_that_round_to_one_size_run_as_one_stage_except_by_lightx2v(solved, policy):
    alike = run_staged(request(solved, parse_schedule(8, [0.5, 0.55], [2, 4]), policy))
    merged = run_staged(request(solved, TWO, policy))
    assert np.array_equal(alike.frames, merged.frames) == (policy != "lightx2v")
    assert len(alike.plans) == (2 if policy != "lightx2v" else 3)


@pytest.mark.parametrize("policy", POLICIES)
def test_flat_is_bit_identical_to_the_untouched_pipeline_call(solved, policy):
    expected = untouched(solved)
    assert np.array_equal(run_staged(request(solved, flat(8), policy)).frames, expected)
    assert np.array_equal(untouched(solved), expected)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("schedule", [U, TWO], ids=["U", "two-stage"])
def test_pipeline_and_bare_loop_end_with_the_same_latents(tiny, policy, schedule):
    """Two drivers, one result: sizes, tables, noise, handover and the reset of the solver's history all agree."""
    if policy == "lightx2v":
        tiny.scheduler = scheduler_for(tiny, "euler", 3.0)  # with UniPC the bare loop uses LightX2V's own sigma grid
    solver = "unipc" if isinstance(tiny.scheduler, UniPCMultistepScheduler) else "euler"
    text, empty = tiny.encode_prompt("a red apple", "", max_sequence_length=16)

    @torch.no_grad()
    def velocity(x, t):
        t = t.to(torch.int64) if solver == "unipc" else t
        cond, uncond = (tiny.transformer(x[None], t[None], e, return_dict=False)[0][0] for e in (text, empty))
        return uncond + 3.0 * (cond - uncond)

    expected = sample(velocity, (4, 2, 8, 12), schedule, policy=policy, seed=1, shift=3.0, solver=solver)
    kept = {}
    with patched(
        tiny.vae, decode=lambda latents, return_dict: kept.update(z=latents) or (torch.zeros(1, 3, 5, 64, 96),)
    ):
        run_staged(request(tiny, schedule, policy))
    assert torch.allclose(kept["z"][0], expected, atol=1e-5)


def test_multistep_history_is_reset_at_every_switch(tiny, monkeypatch):
    corrected = []
    original = UniPCMultistepScheduler.multistep_uni_c_bh_update

    def corrector(self, *args, **kwargs):
        corrected.append(kwargs["this_sample"].shape)
        assert kwargs["last_sample"].shape == kwargs["this_sample"].shape
        return original(self, *args, **kwargs)

    monkeypatch.setattr(UniPCMultistepScheduler, "multistep_uni_c_bh_update", corrector)
    run_staged(request(tiny, U))
    assert len(corrected) == 8 - 3  # every step but the first of each of the three stages


def test_every_step_reports_itself(tiny):
    events = []
    result = run_staged(request(tiny, U), events.append)
    assert [e.step for e in events] == list(range(1, 9))
    assert [e.stage for e in events] == [0, 0, 1, 1, 1, 2, 2, 2]
    assert [(e.latent_height, e.latent_width) for e in events[1:3]] == [(8, 12), (6, 8)]
    assert all(earlier.sigma > later.sigma for earlier, later in itertools.pairwise(events))
    assert all(e.seconds > 0 and e.memory_bytes >= 0 for e in events)
    assert len(result.readings.steps_s) == len(result.readings.steps_bytes) == 8
    assert result.readings.decode_s > 0
    assert result.frames.shape == (5, 64, 96, 3)


def test_time_spent_in_the_consumer_is_in_no_step(tiny):
    import time

    calm = run_staged(request(tiny, flat(4))).readings.denoise_s
    slow = run_staged(request(tiny, flat(4)), lambda event: time.sleep(0.3)).readings.denoise_s
    assert slow < calm + 0.6  # 1.2 s were slept


def test_preview_shows_x0_on_demand_and_only_while_its_step_is_reported(tiny):
    fitted = fit_preview(tiny.vae, 8)
    seen, kept = [], []

    def look(event):
        seen.append(event.preview())
        kept.append(event)

    run_staged(request(tiny, TWO), look, preview=lambda: fitted)
    assert [p.shape for p in seen] == [(2, 4, 6, 3)] * 4 + [(2, 8, 12, 3)] * 4
    assert seen[0].dtype == np.uint8
    assert fitted.r2 <= 1.0
    with pytest.raises(LookupError):
        kept[0].preview()


def latents_alive():
    gc.collect()
    shapes = {(1, 4, 2, 8, 12), (1, 4, 2, 4, 6), (1, 4, 2, 6, 8)}
    return sum(1 for thing in gc.get_objects() if type(thing) is torch.Tensor and tuple(thing.shape) in shapes)


def state(pipe):
    return {name: id(value) for name, value in pipe.__dict__.items() if not name.startswith(("_current", "_num_"))}


@pytest.mark.parametrize("at", [1, 4, 5, 8])
def test_cancel_stops_within_one_step_and_leaves_everything_as_it_was(tiny, at):
    run_staged(request(tiny, TWO))  # the pipeline keeps its last guidance and the like
    before, alive = state(tiny), latents_alive()
    events = []

    def cancel(event):
        events.append(event)
        if event.step == at:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled) as stopped:
        run_staged(request(tiny, TWO), cancel)
    assert len(events) == at
    assert {k: v for k, v in state(tiny).items() if k in before and k in ("scheduler", "vae", "transformer")} == {
        k: before[k] for k in ("scheduler", "vae", "transformer")
    }
    assert "prepare_latents" not in tiny.__dict__
    assert "encode_prompt" not in tiny.__dict__
    assert latents_alive() == alive
    assert stopped.value is not None
    assert np.array_equal(run_staged(request(tiny, flat(8))).frames, untouched(tiny))


@pytest.mark.parametrize(
    "scheduler",
    [
        HeunDiscreteScheduler(),
        UniPCMultistepScheduler(prediction_type="flow_prediction"),
        UniPCMultistepScheduler(prediction_type="epsilon", use_flow_sigmas=True),
    ],
    ids=["Heun", "UniPC without flow sigmas", "UniPC epsilon"],
)
def test_schedulers_outside_the_allow_list_are_refused(tiny, scheduler):
    tiny.scheduler = scheduler
    with pytest.raises(UnsupportedPipeline, match=r"with these settings cannot follow .*use UniPC"):
        run_staged(request(tiny, TWO))


def test_text_is_encoded_once_for_all_stages_and_runs(tiny):
    calls = []
    original = tiny.text_encoder.forward
    tiny.text_encoder.forward = lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs)
    memo = RunMemo()
    first = run_staged(request(tiny, U), memo=memo)
    second = run_staged(request(tiny, TWO), memo=memo)
    assert len(calls) == 2  # the prompt and the empty one
    assert first.text_s == second.text_s > 0


def test_the_pipelines_own_scheduler_is_never_changed(tiny):
    before = dict(tiny.scheduler.__dict__.items())
    run_staged(request(tiny, U, "spectral"))
    assert dict(tiny.scheduler.__dict__.items()) == before
    assert tiny.scheduler.config.lower_order_final is True
