"""FLOPs by formula against torch's own count of the network, and contexts against those of a real run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.hpdm_model import Features, Hpdm, LevelInput
from engine.hpdm.patch_flops import context_flops, features_bytes, run_flops, run_work, tile_flops
from engine.hpdm.pyramid_run import run_hpdm
from engine.hpdm.sampling_request import make_request
from tests.hpdm.conftest import CONFIG, make_model


def counted(config: HpdmConfig, level: int, stop: int | None) -> int:
    """FLOPs of one row's pass as torch counts them, on a network without numbers."""
    offsets, meta = torch.zeros(1, 3, dtype=torch.long), torch.device("meta")
    with meta, torch.no_grad():
        model = Hpdm(config).eval()
        pixels = torch.empty(1, config.channels, *config.patch)
        n = config.token_grid[0] * config.token_grid[1] * config.token_grid[2]
        blocks = {i: torch.empty(1, n, config.dim) for i in range(len(config.level_blocks))}
    labels = torch.empty(1, len(config.conditions), dtype=torch.long, device=meta)
    below = None if not config.needs_below or not level else torch.empty_like(pixels)
    given = LevelInput(pixels, torch.empty(1, device=meta), offsets, labels, None, below)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        state = model.start(level, given)
        seen = {k: Features(offsets, blocks) for k in range(level)}
        model.run([state], seen, record=stop is not None, stop=stop)
        if stop is None:
            model.finish(state)
    return int(counter.get_total_flops())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fusion": "none"},
        {"fusion": "shallow"},
        {"fusion": "dcf+pixels", "target": "residual", "residual_scales": (1.0, 0.1, 0.1)},
        {"coordinates": False, "token_condition": False},
        {"dim": 32, "latent_dim": 16, "compute": 3, "level_blocks": (3, 3, 3)},
        {"level_blocks": (1, 1, 2, 2, 3, 3), "patch": (4, 8, 16)},
    ],
)
def test_a_pass_is_what_torch_counts(changes: dict[str, object]) -> None:
    config = replace(CONFIG, **changes)
    for level in range(config.levels):
        assert tile_flops(config, level) == counted(config, level, None)
        stop = max((i for i, n in enumerate(config.level_blocks) if n > level + 1), default=0)
        assert context_flops(config, level) == counted(config, level, stop)


@pytest.mark.parametrize("overlap", ["none", "spatial"])
@pytest.mark.parametrize("cache", ["off", "device"])
@pytest.mark.parametrize(("memory_mib", "guided", "rows"), [(1, None, 2), (256, None, 2), (1, 1, 1), (1, 2, 2)])
def test_contexts_and_kept_bytes_are_those_of_a_real_run(
    overlap: str, cache: str, memory_mib: int, guided: int | None, rows: int
) -> None:
    config = replace(CONFIG, guided_levels=guided)
    request = make_request(
        config, prompt="a frog", steps=(2, 2, 2), overlap=overlap, cache=cache, guidance=2.0, memory_mib=memory_mib
    )
    result = run_hpdm(make_model(guided_levels=guided), request)
    assert run_flops(config, request, result.tile_batch)[1] == result.contexts
    kept = run_work(config, request, result.tile_batch)[-1].kept
    assert sum(rows * n * features_bytes(config, k) for k, n in enumerate(kept)) == result.cache_bytes


def test_the_second_order_at_the_coarsest_level_costs_one_pass_more_a_step_but_the_last() -> None:
    plain, heun = (
        run_work(CONFIG, make_request(CONFIG, prompt="", steps=(5, 2, 2), heun=h), 16) for h in (False, True)
    )
    assert (plain[0].passes, heun[0].passes) == (5, 9)
    assert plain[1:] == heun[1:]
