"""Every scheduler that is let in recovers the oracle's target through both switches; every other one is refused."""

from __future__ import annotations

import diffusers
import pytest
import torch

from engine.errors import InvalidInput, UnsupportedPipeline
from engine.sampling.pipeline_run import run_staged
from engine.switching.policies import POLICIES
from tests.families.builders_image import euler
from tests.families.builders_wan import unipc
from tests.families.cases import CASES, SCHEDULES, U, request
from tests.families.oracle import oracle_run, target

FLOWS = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
TRAINED = dict(euler().config) | {"clip_sample": False, "set_alpha_to_one": True, "timestep_spacing": "trailing"}
LET_IN = {
    "UniPC": ("wan", "UniPCMultistepScheduler", FLOWS),
    "UniPC order 3": ("wan", "UniPCMultistepScheduler", FLOWS | {"solver_order": 3}),
    "DPM++": ("wan", "DPMSolverMultistepScheduler", FLOWS),
    "DPM++ SDE": ("wan", "DPMSolverMultistepScheduler", FLOWS | {"algorithm_type": "sde-dpmsolver++"}),
    "flow Euler": ("wan", "FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    "flow Euler, Karras": ("wan", "FlowMatchEulerDiscreteScheduler", {"use_karras_sigmas": True}),
    "inverted Euler": ("mochi", "FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}),
    "Cog DDIM": ("cogvideox-2b", "CogVideoXDDIMScheduler", {}),
    "Cog DPM": ("cogvideox-2b", "CogVideoXDPMScheduler", {}),
} | {
    f"{name}, {prediction}": ("sd", cls, more | {"prediction_type": prediction})
    for name, cls, more in (
        ("UniPC diffusion", "UniPCMultistepScheduler", {}),
        ("DPM++ diffusion", "DPMSolverMultistepScheduler", {}),
        ("DPM++ SDE diffusion", "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("Euler", "EulerDiscreteScheduler", {}),
        ("Euler ancestral", "EulerAncestralDiscreteScheduler", {}),
        ("DDIM", "DDIMScheduler", {}),
        ("DDIM, zero terminal SNR", "DDIMScheduler", {"rescale_betas_zero_snr": True}),
        ("DDPM", "DDPMScheduler", {}),
    )
    for prediction in ("epsilon", "v_prediction")
    if not (prediction == "epsilon" and "zero" in name)
}  # fmt: skip
OUTSIDE = (
    "HeunDiscreteScheduler", "PNDMScheduler", "LCMScheduler", "TCDScheduler", "DEISMultistepScheduler",
    "DPMSolverSinglestepScheduler", "EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "LMSDiscreteScheduler",
    "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "SASolverScheduler", "DDIMInverseScheduler",
    "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler", "CMStochasticIterativeScheduler",
)  # fmt: skip
WRONG = {
    "UniPC without flow sigmas": ("UniPCMultistepScheduler", {"prediction_type": "flow_prediction"}),
    "UniPC that predicts noise": ("UniPCMultistepScheduler", FLOWS | {"predict_x0": False}),
    "DPM-Solver, not ++": (
        "DPMSolverMultistepScheduler",
        FLOWS | {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
    ),
    "stochastic flow Euler": ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}),
    "Euler at zero terminal SNR": ("EulerDiscreteScheduler", {"rescale_betas_zero_snr": True}),
}
mochi_casts = pytest.mark.filterwarnings("ignore:In CPU autocast")
PAIRS = [  # in `make test` every scheduler once, and every policy by turns
    pytest.param(which, policy, marks=() if (row + column) % len(POLICIES) == 0 else pytest.mark.slow)
    for row, which in enumerate(LET_IN)
    for column, policy in enumerate(POLICIES)
]


def piped(family: str, scheduler: str, config: dict):
    pipe = CASES[family].build()
    base = TRAINED if family == "sd" else dict(pipe.scheduler.config) if family.startswith("cog") else {}
    pipe.scheduler = getattr(diffusers, scheduler).from_config(base | config)
    return pipe


@mochi_casts
@pytest.mark.filterwarnings("ignore:.*:UserWarning:diffusers.*")
@pytest.mark.parametrize(("which", "policy"), PAIRS)
def test_schedulers_let_in_recover_the_target_through_both_switches(which, policy):
    family, scheduler, config = LET_IN[which]
    pipe = piped(family, scheduler, config)
    asked = request(CASES[family], pipe, U, policy)
    if POLICIES[policy].needs_reshift and family in ("sd", "cogvideox-2b"):
        with pytest.raises(InvalidInput, match=f"policy {policy} gives every stage noise levels of its own"):
            run_staged(asked)
        return
    told = oracle_run(asked)
    assert len(told.steps) == U.infer_steps
    for seen in told.steps:
        assert torch.allclose(seen.x0, target(seen.x), atol=2e-5)
        if policy != "lightx2v":  # its noise is added at the level before the one that is told
            assert seen.noise.std() == pytest.approx(1, abs=0.3 if policy == "jenga" else 0.15)  # x0 at another level
    assert torch.allclose(told.final, target(told.final), atol=1e-5)


def refused(pipe) -> None:
    for schedule in SCHEDULES.values():
        with pytest.raises(UnsupportedPipeline, match="cannot follow a resolution schedule; use UniPC or DPM"):
            run_staged(request(CASES["sd"], pipe, schedule))


@pytest.mark.parametrize("scheduler", OUTSIDE)
def test_schedulers_outside_the_list_are_refused(scheduler):
    pipe = CASES["sd"].build()
    pipe.scheduler = getattr(diffusers, scheduler)()
    refused(pipe)


@pytest.mark.parametrize("which", WRONG)
def test_settings_that_the_formulas_do_not_describe_are_refused(which):
    scheduler, config = WRONG[which]
    pipe = CASES["sd"].build()
    pipe.scheduler = getattr(diffusers, scheduler)(**config)
    refused(pipe)


def test_a_subclass_of_wans_own_scheduler_is_not_taken_for_it():
    class Mine(diffusers.UniPCMultistepScheduler):
        pass

    pipe = CASES["sd"].build()
    pipe.scheduler = Mine.from_config(unipc().config)
    refused(pipe)
