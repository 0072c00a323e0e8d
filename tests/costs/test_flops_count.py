"""FLOPs counted on meta tensors, against figures and formulas known apart."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.costs.flops_count import forward_flops, schedule_cost
from engine.models.catalogue import ModelSpec, find_model
from engine.schedules.latent_sizes import full_size, latent_size
from engine.schedules.schedule import flat, parse_schedule

WAN = find_model("wan2.1-1.3b")
FULL = full_size(WAN.geometry, 480, 832, 81)


@pytest.mark.parametrize(("rate", "tflop"), [(1.0, 283.0), (0.75, 106.8), (0.5, 33.8)])
def test_wan_forward_pass_costs_what_was_counted_apart(rate, tflop):
    size = latent_size(FULL, rate, WAN.geometry.patch)
    assert forward_flops(WAN.transformer, size, 512) / 1e12 == pytest.approx(tflop, abs=0.05)


def test_attention_is_counted():
    """Self-attention alone costs 4·n²·d a layer: a count without it would be less than half at 32,760 tokens."""
    attention = 30 * 4 * FULL.tokens**2 * 1536
    assert forward_flops(WAN.transformer, FULL, 512) > attention > 0.5 * forward_flops(WAN.transformer, FULL, 512)


def cost(spec: ModelSpec, schedule, guidance=6.0):
    return schedule_cost(spec, schedule, height=480, width=832, frames=81, guidance=guidance)


def test_flat_costs_the_baseline():
    assert cost(WAN, flat(50)).speedup == 1.0


def test_guidance_doubles_the_passes():
    assert cost(WAN, flat(50)).flops == 2 * cost(WAN, flat(50), guidance=1.0).flops


def test_cost_is_the_sum_over_stages():
    u = cost(WAN, parse_schedule(50, [1.0, 0.75], [10, 35]))
    full, low = u.stages[0].flops_per_step, u.stages[1].flops_per_step
    assert u.flops == 25 * full + 25 * low
    assert u.speedup == pytest.approx(50 * full / u.flops)


def test_meta_count_agrees_with_counting_a_real_forward_pass(shared_tiny):
    spec_config = {k: v for k, v in shared_tiny.transformer.config.items() if not k.startswith("_")}
    geometry = find_model("wan2.1-1.3b").geometry
    size = full_size(geometry, 64, 96, 5)
    aten = torch.ops.aten

    def sdpa(q, k, v, *args, out_shape=None, **kwargs):
        b, h, n, d = q
        return 4 * b * h * n * k[2] * d

    flash = getattr(aten, "_scaled_dot_product_flash_attention_for_cpu", None)
    mapping = {flash: sdpa} if flash else {}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        shared_tiny.transformer(
            hidden_states=torch.zeros(1, 4, size.frames, size.height, size.width),
            timestep=torch.tensor([500]),
            encoder_hidden_states=torch.zeros(1, 16, 16),
        )
    assert forward_flops(spec_config, size, 16) == counter.get_total_flops()
