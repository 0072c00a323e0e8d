"""The paper's equations and RIN's block, against a second and naive writing of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.hpdm.fusion import DeepContextFusion, pixels_below
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.hpdm_model import Features, Hpdm
from engine.hpdm.rin_block import RinBlock
from tests.hpdm.conftest import CONFIG, make_inputs, make_model
from training.recipes import HPDM_RECIPES

PAPER = replace(CONFIG, level_blocks=(1, 1, 2, 2, 3, 3))


def cell_centres(config, level, offsets, cell):
    """Centres (B, f, h, w, 3) of cells of `cell` pixels of patches, in pixels of the finest level."""
    counts = [p // c for p, c in zip(config.patch, cell, strict=True)]
    grow = 2 ** (config.levels - 1 - level)
    axes = [
        torch.stack([(o[a] + cell[a] * (torch.arange(counts[a]) + 0.5)) * grow for o in offsets.double()])
        for a in range(3)
    ]
    t, y, x = axes[0][:, :, None, None], axes[1][:, None, :, None], axes[2][:, None, None, :]
    return torch.stack(torch.broadcast_tensors(t, y, x), -1)


def sampled(config, volume, parent, at):
    """A parent's cells (B, d, f, h, w) at points of the finest level's pixels, trilinearly, (B, d, f', h', w')."""
    level, offsets = parent
    grow = 2 ** (config.levels - 1 - level)
    inside = (at / grow - offsets[:, None, None, None]) / torch.tensor(config.patch)  # 0..1 of the parent's patch
    grid = (2 * inside - 1).flip(-1).to(volume)  # grid_sample wants columns, rows, frames
    return F.grid_sample(volume, grid, padding_mode="border", align_corners=False)


def naive(model: Hpdm, levels):
    """v of every level, block by block as sections 3.3 and 3.4 of the paper say, a level at a time."""
    config = model.config
    states = [model.start(k, given) for k, given in enumerate(levels)]
    tokens, latents = [s.tokens for s in states], [s.latents for s in states]
    points = [cell_centres(config, k, given.offsets, config.token) for k, given in enumerate(levels)]
    size = torch.tensor(config.size(config.levels - 1))
    for i, block in enumerate(model.blocks):
        active = [k for k in range(config.levels) if k < config.level_blocks[i]]
        volumes = {k: tokens[k].transpose(1, 2).unflatten(2, config.token_grid) for k in active}
        for k in active:
            x = tokens[k]
            if k > 0:
                seen = [sampled(config, volumes[j], (j, levels[j].offsets), points[k]) for j in range(k)]
                context = sum(s.flatten(2).transpose(1, 2) for s in seen) / k
                where = (2 * points[k] / size - 1).flatten(1, 3).to(x)
                linear = model.fusions[i].linear
                x = torch.cat([x, context, where], -1) @ linear.weight.T + linear.bias
            tokens[k], latents[k] = block(x, latents[k])
    return [model.detokenize(x) for x in tokens]


def test_equations_7_to_9_and_the_block_schedule_are_those_of_a_naive_writing():
    model = make_model(level_blocks=PAPER.level_blocks).eval()
    levels = make_inputs(model.config)
    with torch.no_grad():
        for (v, _), expected in zip(model(levels), naive(model, levels), strict=True):
            torch.testing.assert_close(v, expected, rtol=1e-4, atol=1e-5)


def test_a_parents_pixels_are_sampled_trilinearly_at_the_childs():
    levels = make_inputs(CONFIG)
    child, parent = levels[2].offsets, levels[1].offsets
    picture = torch.randn(3, 3, *CONFIG.patch)
    points = cell_centres(CONFIG, 2, child, (1, 1, 1))
    ours = pixels_below(CONFIG, (2, child), parent, picture)
    torch.testing.assert_close(ours, sampled(CONFIG, picture, (1, parent), points), rtol=1e-5, atol=1e-5)


def attend(attention, x, source):
    """The same weights in torch's own multi-head attention; the map out is applied beside it, for its width."""
    inner = attention.query.out_features
    whole = nn.MultiheadAttention(inner, attention.heads, batch_first=True)
    with torch.no_grad():
        whole.in_proj_weight.copy_(torch.eye(inner).repeat(3, 1))
        whole.in_proj_bias.zero_()
        whole.out_proj.weight.copy_(torch.eye(inner))
        whole.out_proj.bias.zero_()
    key, value = attention.key_value(source).chunk(2, -1)
    return attention.out(whole(attention.query(x), key, value, need_weights=False)[0])


def mlp(layers, x):
    norm, up, _, down = layers
    return down(F.gelu(up(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias))))


@pytest.mark.parametrize(("dim", "latent_dim"), [(16, 24), (24, 16)])
def test_a_rin_block_reads_computes_and_writes_as_written_out(dim, latent_dim):
    torch.manual_seed(0)
    block = RinBlock(dim, latent_dim, 2, 2).eval()
    for p in block.parameters():
        nn.init.normal_(p, std=0.2)
    x, z = torch.randn(2, 10, dim), torch.randn(2, 5, latent_dim)
    with torch.no_grad():
        found = block(x, z)
        z = z + attend(block.read, block.read_norm(z), x)
        z = z + mlp(block.read_mlp, z)
        for layer in block.compute:
            h = layer.norm(z)
            z = z + attend(layer.attention, h, h)
            z = z + mlp(layer.mlp, z)
        x = x + attend(block.write, block.write_norm(x), z)
        x = x + mlp(block.write_mlp, x)
    torch.testing.assert_close(found[0], x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], z, rtol=1e-4, atol=1e-5)


def test_a_level_passes_through_six_four_and_two_blocks():
    config = replace(HPDM_RECIPES["xs"].model, conditions=CONFIG.conditions)
    assert config.level_blocks == (1, 1, 2, 2, 3, 3)
    model = Hpdm(config).eval()
    calls: list[int] = []
    for i, block in enumerate(model.blocks):
        block.register_forward_hook(lambda module, given, out, i=i: calls.append(i))
    below: dict[int, Features] = {}
    for level, expected in enumerate(([0, 1, 2, 3, 4, 5], [2, 3, 4, 5], [4, 5])):
        calls.clear()
        given = make_inputs(config)[level]
        state = model.start(level, given)
        with torch.no_grad():
            model.run([state], below, record=True)
        below[level] = Features(given.offsets, state.inputs)
        assert calls == expected


def test_the_finest_levels_loss_reaches_the_first_blocks_which_only_the_coarsest_passes():
    model = make_model(level_blocks=PAPER.level_blocks)
    model(make_inputs(model.config))[2][0].square().mean().backward()
    for block in model.blocks[:2]:
        assert all(float(p.grad.abs().max()) > 0 for p in block.parameters())


@pytest.mark.parametrize(("start", "keeps"), [("identity", True), ("random", False)])
def test_a_levels_own_tokens_leave_a_new_fusion_as_they_came_if_it_starts_so(start, keeps):
    torch.manual_seed(1)
    config: HpdmConfig = replace(CONFIG, dim=64, heads=2, fusion_init=start)
    fusion = DeepContextFusion(config)
    assert fusion.linear.weight.shape == (64, 2 * 64 + 3)
    own, context = torch.randn(2, 4, 100, 64)

    class Same:
        def __call__(self, cells):
            return cells

    with torch.no_grad():
        out = fusion(own, [context], [Same()], torch.zeros(4, 100, 3))
    together = torch.stack([own.flatten(), out.flatten()])
    assert (float(torch.corrcoef(together)[0, 1]) > 0.9) == keeps
