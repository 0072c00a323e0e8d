"""Switching, held against ideal denoisers: no weights, no golden pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.errors import InvalidInput, RunFailed
from engine.sampling.bare_loop import sample
from engine.sampling.scheduler_window import make_solver, solver_table
from engine.schedules.latent_sizes import LatentSize, stage_sizes
from engine.schedules.schedule import flat, parse_schedule
from engine.switching.handover import plan_stages
from engine.switching.noise_field import NoiseField, NoiseSource, dct2, graft, idct2, resize_dct
from engine.switching.policies import POLICIES, Policy, policy_named
from engine.switching.sigma_tables import reshift, wan_table
from engine.switching.switches import SWITCHES, Switch, spectral
from tests.oracles import GaussianWorld, Target, correlation
from tests.switching.lightx2v_reference import lightx2v_sample

PATCH = (1, 2, 2)
WAN_480P = LatentSize(1, 60, 104, 1.0, 1.0, 30 * 52)
SHAPE = (4, 1, 60, 104)
WORLD = GaussianWorld(60, 104)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- the transform and the noise -------------------------------------------------------------------------------------


def test_dct_is_orthonormal():
    x = randn(3, 44, 78)
    assert torch.allclose(idct2(dct2(x)), x, atol=1e-12)
    assert torch.allclose((dct2(x) ** 2).sum(), (x**2).sum())


@pytest.mark.parametrize("size", [(44, 78), (30, 52), (54, 94), (12, 20), (2, 2)])
def test_cropped_noise_is_white_with_unit_variance_at_any_ratio(size):
    noise = NoiseField(randn(4000, 60, 104)).crop(size)
    _h, _w = size
    assert noise.shape[-2:] == size
    assert float(noise.var()) == pytest.approx(1.0, abs=0.02)
    assert abs(float((noise[..., 1:, :] * noise[..., :-1, :]).mean())) < 0.02
    assert abs(float((noise[..., 1:] * noise[..., :-1]).mean())) < 0.02
    per_pixel = noise.var(0)
    assert float(per_pixel.std()) < 3 * math.sqrt(2 / 4000)  # every pixel alike, corners too


def test_crop_at_full_size_is_the_field_itself_to_the_bit():
    field = NoiseField(randn(2, 60, 104).float())
    assert field.crop((60, 104)) is field.eps


def test_extend_puts_back_exactly_what_crop_left_out():
    field = NoiseField(randn(2, 60, 104))
    assert torch.allclose(field.extend(field.crop((44, 78)), (60, 104)), field.eps, atol=1e-12)


def test_field_is_the_baseline_noise_of_the_seed():
    field = NoiseSource(torch.Generator().manual_seed(5), (1, *SHAPE), field_first=True).field
    assert torch.equal(field.eps[0], torch.randn(SHAPE, generator=torch.Generator().manual_seed(5)))


def test_stage_noises_are_drawn_in_stage_order_without_a_field():
    source = NoiseSource(torch.Generator().manual_seed(5), (1, *SHAPE), field_first=False)
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(source.start((44, 78))[0], torch.randn(4, 1, 44, 78, generator=generator))
    assert torch.equal(source.fresh((60, 104))[0], torch.randn(SHAPE, generator=generator))
    with pytest.raises(LookupError):
        _ = source.field


@pytest.mark.parametrize("size", [(44, 78), (120, 200), (60, 104)])
def test_band_limited_resize_keeps_the_mean(size):
    assert torch.allclose(resize_dct(torch.full((1, 60, 104), 0.7), size), torch.tensor(0.7), atol=1e-5)


# --- sigma tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "shift", "switch", "k", "left", "told"),
    [
        (50, 8, 25, 1, 0.8964, 0.8998),
        (50, 8, 10, 1, 0.9731, 0.9728),
        (50, 8, 35, 2, 0.8088, 0.8106),
        (40, 3, 20, 1, 0.7679, 0.7997),
        (40, 3, 5, 1, 0.9639, 0.9653),
        (40, 3, 25, 2, 0.7269, 0.7497),
    ],
)
def test_lightx2v_tells_the_model_another_level_than_the_sample_has(steps, shift, switch, k, left, told):
    """The table of LightX2V's shipped configs: noise in the sample, and what the next step is told."""
    rates = [0.75] if k == 1 and switch in (25, 20) else [1.0, 0.75]
    switches = [switch] if len(rates) == 1 else ([10, 35] if steps == 50 else [5, 25])
    schedule = parse_schedule(steps, rates, switches)
    sizes = stage_sizes(schedule, WAN_480P, PATCH)
    plans = plan_stages(schedule, sizes, policy_named("lightx2v"), wan_table(steps, shift), shift)
    assert plans[k].table.timesteps.dtype == torch.int64
    assert float(plans[k - 1].table.sigmas[switch - 1]) == pytest.approx(left, abs=6e-5)
    assert float(plans[k].table.sigmas[switch]) == pytest.approx(told, abs=6e-5)


def test_shifts_compose_by_multiplication():
    once = reshift(wan_table(50, 3.0).sigmas.double(), 8 / 3)
    assert torch.allclose(once, wan_table(50, 8.0).sigmas.double(), atol=1e-6)


@pytest.mark.parametrize("policy", ["coherent", "spectral", "bottleneck"])
@pytest.mark.parametrize("solver", ["unipc", "euler"])
def test_stage_shift_is_the_full_shift_times_the_true_rate(policy, solver):
    """No step lost or repeated: both stages lie on one grid, moved by the ratio after rounding."""
    schedule = parse_schedule(50, [0.75], [25])
    sizes = stage_sizes(schedule, WAN_480P, PATCH)
    full = solver_table(make_solver(solver, 8.0), 50)
    low, high = plan_stages(schedule, sizes, policy_named(policy), full, 8.0)
    true_rate = math.sqrt(44 * 78 / (60 * 104))
    assert torch.allclose(low.table.sigmas, reshift(full.sigmas, true_rate), atol=1e-6)
    assert torch.equal(high.table.sigmas, full.sigmas)
    assert torch.equal(high.table.timesteps, full.timesteps)


@pytest.mark.parametrize("policy", ["coherent", "spectral", "jenga", "bottleneck", "pyramid"])
@pytest.mark.parametrize("rates", [[0.75], [0.5], [1.0, 0.75], [1.0, 0.5], [0.5, 0.75]])
def test_the_noise_in_the_state_is_exactly_what_the_next_step_is_told(policy, rates):
    """With a known clean picture of nothing, what is left after a switch is noise alone: its std is the told sigma."""
    switches = [10, 20][: len(rates)]
    told: list[tuple[float, float]] = []

    def velocity(x, t):
        if told_now:
            told.append((float(x.std()), told_now.pop()))
        return x / sigma[0]

    schedule, sigma, told_now = parse_schedule(30, rates, switches), [1.0], []
    sizes = stage_sizes(schedule, WAN_480P, PATCH)
    table = solver_table(make_solver("euler", 3.0), 30)
    plans = plan_stages(schedule, sizes, policy_named(policy), table, 3.0)
    levels = [float(s) for plan in plans for s in plan.table.sigmas[plan.stage.window]]
    firsts = {plan.stage.first for plan in plans[1:]}
    step = [0]

    def asked(x, t):
        step[0] += 1
        sigma[0] = levels[step[0] - 1]
        if step[0] in firsts:
            told_now.append(sigma[0])
        return velocity(x, t)

    sample(asked, SHAPE, schedule, policy=policy, seed=1, shift=3.0, solver="euler")
    assert len(told) == len(rates)
    for std, level in told:
        assert std == pytest.approx(level, rel=0.03 if policy != "jenga" else 0.06)


def test_every_policy_has_a_switch_and_every_switch_a_policy():
    assert list(SWITCHES) == list(POLICIES)


# --- what comes out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("solver", ["unipc", "euler"])
def test_flat_is_bit_identical_to_the_plain_sampler(policy, solver):
    scheduler = make_solver(solver, 8.0)
    scheduler.set_timesteps(20)
    x = torch.randn((1, *SHAPE), generator=torch.Generator().manual_seed(7))
    for t in scheduler.timesteps:
        x = scheduler.step(WORLD.velocity(x[0], t)[None], t, x, return_dict=False)[0]
    assert torch.equal(sample(WORLD.velocity, SHAPE, flat(20), policy=policy, seed=7, shift=8.0, solver=solver), x[0])


def measured(policy: str, steps: int, shift: float, rates: list[float], switches: list[int]) -> tuple[float, float]:
    """Correlation with the full-resolution result of the same seed, and the ratio of standard deviations."""
    kwargs = {"seed": 3, "shift": shift, "solver": "euler"}
    shape = (64, 1, 60, 104)
    base = sample(WORLD.velocity, shape, flat(steps), **kwargs)
    got = sample(WORLD.velocity, shape, parse_schedule(steps, rates, switches), policy=policy, **kwargs)
    return correlation(got, base), float(got.std() / base.std())


CASES = {
    "t2v": (50, 8.0, [0.75], [25]),
    "t2v_U": (50, 8.0, [1.0, 0.75], [10, 35]),
    "i2v_U": (40, 3.0, [1.0, 0.75], [5, 25]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("policy", ["anchored", "coherent", "spectral"])
def test_ideal_gaussian_denoiser_our_policies_return_the_full_resolution_result(policy, case):
    match, spread = measured(policy, *CASES[case])
    assert match > 0.9995
    # An ideal denoiser has nothing to mend: what anchoring foresees a step ahead is off by a little contrast.
    assert spread == pytest.approx(1.0, abs=0.03 if policy == "anchored" else 0.006)


@pytest.mark.parametrize(
    ("policy", "case", "low", "high"),
    [
        ("lightx2v", "t2v", -0.12, 0.12),  # unrelated noise: another picture
        ("lightx2v", "t2v_U", 0.14, 0.36),
        ("lightx2v", "i2v_U", 0.20, 0.45),
        ("jenga", "t2v", -0.12, 0.12),
        ("jenga", "t2v_U", 0.10, 0.36),
        ("jenga", "i2v_U", 0.15, 0.42),
        ("bottleneck", "t2v", -0.12, 0.12),
        ("bottleneck", "t2v_U", 0.18, 0.45),
        ("bottleneck", "i2v_U", 0.25, 0.52),
        ("pyramid", "t2v", 0.80, 0.97),
        ("pyramid", "t2v_U", 0.85, 0.98),
        ("pyramid", "i2v_U", 0.85, 0.98),
    ],
)
def test_ideal_gaussian_denoiser_fresh_noise_loses_the_picture(policy, case, low, high):
    match, spread = measured(policy, *CASES[case])
    assert low < match < high
    assert 0.85 < spread < 1.15


def test_low_band_of_any_schedule_equals_the_full_resolution_run():
    kwargs = {"seed": 1, "shift": 5.0, "solver": "euler"}
    base = sample(WORLD.velocity, SHAPE, flat(30), **kwargs)
    schedule = parse_schedule(30, [1.0, 0.5, 0.75], [4, 12, 20])
    got = sample(WORLD.velocity, SHAPE, schedule, policy="spectral", **kwargs)
    assert torch.allclose(dct2(got)[..., :30, :52], dct2(base)[..., :30, :52], atol=5e-3)


def test_spectral_down_then_up_with_the_stored_band_returns_the_state():
    sigma, q = 0.7, math.sqrt(44 * 78 / (60 * 104))
    field = NoiseField(randn(1, 1, 1, 60, 104))
    x = (1 - sigma) * resize_dct(randn(1, 1, 1, 44, 78, seed=2), (60, 104)) + sigma * field.eps
    x = idct2(graft(dct2(x)[..., :44, :78], sigma * field.coefficients))  # what is dropped is pure noise

    def jump(x, old, new, size):
        return spectral(Switch(x, x, x, 0, [old, old], [new, new], size, lambda: field, lambda: x, lambda: x))

    low_sigma = float(reshift(torch.tensor(sigma, dtype=torch.float64), q))
    low = jump(x, sigma, low_sigma, (44, 78))
    assert low.shape[-2:] == (44, 78)
    assert torch.allclose(jump(low, low_sigma, sigma, (60, 104)), x, atol=1e-12)


@pytest.mark.parametrize("policy", ["anchored", "coherent", "spectral", "pyramid"])
def test_a_boundary_between_equal_sizes_would_change_nothing_but_the_solver_history(policy, monkeypatch):
    kwargs = {"seed": 1, "shift": 5.0, "solver": "euler", "policy": policy}
    monkeypatch.setattr(Policy, "merges", False)
    split = sample(WORLD.velocity, SHAPE, parse_schedule(20, [1.0], [9]), **kwargs)
    assert torch.allclose(split, sample(WORLD.velocity, SHAPE, flat(20), **kwargs), atol=1e-4)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("solver", ["unipc", "euler"])
def test_stages_that_rounding_brings_to_one_size_are_run_as_one_except_by_lightx2v(policy, solver):
    kwargs = {"seed": 1, "shift": 5.0, "solver": solver, "policy": policy}
    alike, merged = parse_schedule(12, [0.5, 0.52, 1.0], [3, 6, 8]), parse_schedule(12, [0.5], [6])
    shape = (2, 1, 16, 24)  # 0.52 of it is floored to what 0.5 gives
    same = torch.equal(*(sample(WORLD.velocity, shape, schedule, **kwargs) for schedule in (alike, merged)))
    assert same == (policy != "lightx2v")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("solver", ["unipc", "euler"])
def test_a_denoiser_that_knows_its_target_recovers_it_through_two_switches(policy, solver):
    target = Target(2, 2)
    schedule = parse_schedule(20, [1.0, 0.5], [6, 14])
    got = sample(target.velocity, (2, 2, 16, 24), schedule, policy=policy, seed=0, shift=3.0, solver=solver)
    assert torch.allclose(got, target.x0(16, 24), atol=2e-2)


@pytest.mark.parametrize("config", ["t2v", "t2v_U", "i2v_U", "two equal rates", "three stages"])
def test_lightx2v_policy_reproduces_lightx2vs_latents(config):
    steps, shift, rates, switches = {
        **CASES,
        "two equal rates": (20, 5.0, [0.5, 0.5], [5, 10]),
        "three stages": (20, 5.0, [0.5, 0.75], [5, 10]),
    }[config]
    shape = (2, 2, 30, 52)
    world = GaussianWorld(30, 52)
    expected = lightx2v_sample(
        world.velocity, shape, infer_steps=steps, resolution_rate=rates, changing_resolution_steps=switches,
        sample_shift=shift, seed=11,
    )  # fmt: skip
    schedule = parse_schedule(steps, rates, switches)
    got = sample(world.velocity, shape, schedule, policy="lightx2v", seed=11, shift=shift)
    assert np.abs(got.numpy() - expected).max() < 2e-3 * np.abs(expected).max()


def test_unknown_policy_lists_the_known_ones():
    with pytest.raises(InvalidInput, match="anchored, coherent, spectral, lightx2v, jenga, bottleneck, pyramid"):
        policy_named("best")


@pytest.mark.parametrize("policy", POLICIES)
def test_same_seed_same_latents(policy):
    kwargs = {"policy": policy, "seed": 9, "shift": 3.0}
    schedule = parse_schedule(8, [1.0, 0.5], [2, 5])
    one, two = (sample(WORLD.velocity, SHAPE, schedule, **kwargs) for _ in range(2))
    assert torch.equal(one, two)


def test_a_lightx2v_config_is_a_schedule_too():
    config = {"infer_steps": 8, "changing_resolution": True, "resolution_rate": [0.5], "changing_resolution_steps": [4]}
    got = sample(WORLD.velocity, SHAPE, config, seed=9, shift=3.0)
    assert torch.equal(got, sample(WORLD.velocity, SHAPE, parse_schedule(8, [0.5], [4]), seed=9, shift=3.0))
    with pytest.raises(InvalidInput, match="changing_resolution_steps"):
        sample(WORLD.velocity, SHAPE, config | {"changing_resolution_steps": [8]}, seed=9, shift=3.0)


@pytest.mark.parametrize("solver", ["heun", ""])
def test_unknown_solver_is_refused(solver):
    with pytest.raises(InvalidInput, match="unipc or euler"):
        sample(WORLD.velocity, SHAPE, flat(4), seed=1, shift=3.0, solver=solver)


def test_a_velocity_of_another_shape_is_told_with_its_step():
    with pytest.raises(RunFailed, match="shape"):
        sample(lambda x, t: x[..., :-2], SHAPE, flat(4), seed=1, shift=3.0)
