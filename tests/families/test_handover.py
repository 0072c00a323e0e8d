"""What passes from stage to stage, in every family; and that a run that was stopped leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import engine.sampling.stage_call
from engine.errors import Cancelled
from engine.sampling.latent_layouts import LAYOUTS, Adapter
from engine.sampling.pipeline_run import run_staged
from engine.sampling.stage_view import stage_view
from engine.schedules.latent_sizes import LatentSize
from engine.schedules.schedule import flat
from tests.families.cases import CASES, SCHEDULES, U, expected, request, untouched

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")


@pytest.mark.parametrize("name", CASES)
def test_first_sample_of_each_stage_is_what_was_handed_over(name, monkeypatch):
    case = CASES[name]
    pipe = case.build()
    handed, stepped = [], []
    ungrid = Adapter.ungrid

    def laid_out(self, grid, prepared, size):
        handed.append(grid.clone())
        return ungrid(self, grid, prepared, size)

    def view_of(base, tables_made, steps):
        def stepping(scheduler, x, model_output):
            if not stepped or stepped[-1][0] != steps.state.stage:
                stepped.append((steps.state.stage, steps.state.grid(x).clone()))
            return type(steps).stepping(steps, scheduler, x, model_output)

        steps.stepping = stepping
        return stage_view(base, tables_made, steps)

    monkeypatch.setattr(Adapter, "ungrid", laid_out)
    monkeypatch.setattr(engine.sampling.stage_call, "stage_view", view_of)
    for schedule in SCHEDULES.values():
        handed.clear()
        stepped.clear()
        result = run_staged(request(case, pipe, schedule))
        assert result.frames.shape[1:] == (case.height, case.width, 3)
        assert np.isfinite(result.frames).all()
        assert len(handed) == len(stepped) == len(schedule.stages)
        for ours, (_, theirs) in zip(handed, stepped, strict=True):
            assert torch.equal(ours.to(theirs), theirs)


@pytest.mark.parametrize("name", CASES)
def test_cancel_leaves_the_pipeline_as_it_was(name):
    case = CASES[name]
    pipe = case.build()
    run_staged(request(case, pipe, flat(2)))  # pipelines keep their last guidance and the like
    before = dict(pipe.__dict__)

    def cancel(event):
        if event.step == 4:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        run_staged(request(case, pipe, U), cancel)
    assert pipe.__dict__.keys() == before.keys()
    public = [key for key in before if not key.startswith("_")]
    assert all(pipe.__dict__[key] is before[key] for key in public)
    assert np.array_equal(untouched(case, pipe), expected(name))


GRID = torch.arange(2 * 4 * 6 * 8 * 3.0).view(2, 4, 3, 6, 8)  # (B, C, T, h, w)
STILL = GRID[:, :, :1]


def size(frames: int) -> LatentSize:
    return LatentSize(frames, 6, 8, 1.0, 1.0, frames * 12)


def test_packed_latents_are_read_as_flux_and_qwen_pack_them():
    from diffusers import FluxPipeline, QwenImagePipeline

    packed = FluxPipeline._pack_latents(STILL[:, :, 0], 2, 4, 6, 8)
    assert torch.equal(LAYOUTS["packed"].read(packed, size(1)), STILL)
    assert torch.equal(QwenImagePipeline._pack_latents(STILL[:, :, 0], 2, 4, 6, 8), packed)
    assert torch.equal(LAYOUTS["packed"].write(STILL), packed)


def test_flux2_tokens_are_2x2_blocks_of_latents_as_flux1s_are():
    from diffusers import Flux2Pipeline

    patches = Flux2Pipeline._patchify_latents(STILL[:, :, 0])
    tokens = Flux2Pipeline._pack_latents(patches)
    assert torch.equal(LAYOUTS["packed"].read(tokens, size(1)), STILL)
    assert torch.equal(LAYOUTS["packed"].write(STILL), tokens)


def test_tokens_are_read_as_ltx_packs_them():
    from diffusers import LTXPipeline

    tokens = LTXPipeline._pack_latents(GRID, 1, 1)
    assert torch.equal(LAYOUTS["tokens"].read(tokens, size(3)), GRID)
    assert torch.equal(LAYOUTS["tokens"].write(GRID), tokens)


@pytest.mark.parametrize("layout", ["video", "frames_first", "channels_last", "tokens"])
def test_layouts_write_what_they_read(layout):
    kind = LAYOUTS[layout]
    assert torch.equal(kind.read(kind.write(GRID), size(3)), GRID)


def test_condition_channels_behind_the_latents_stay():
    adapter = Adapter(LAYOUTS["channels_last"], 4)
    prepared = torch.cat([torch.zeros(2, 3, 6, 8, 4), torch.ones(2, 3, 6, 8, 5)], dim=-1)
    written = adapter.ungrid(GRID, prepared, size(3))
    assert torch.equal(adapter.grid(written, size(3)), GRID)
    assert torch.equal(written[..., 4:], prepared[..., 4:])


@pytest.mark.parametrize("layout", ["video", "tokens", "channels_last"])
def test_a_held_first_frame_stays_and_is_not_handed_over(layout):
    adapter = Adapter(LAYOUTS[layout], 4, holds_first=True)
    prepared = LAYOUTS[layout].write(torch.full_like(GRID, -1.0))
    written = LAYOUTS[layout].read(adapter.ungrid(GRID[:, :, 1:], prepared, size(3)), size(3))
    assert torch.equal(written[:, :, :1], torch.full_like(STILL, -1.0))
    assert torch.equal(written[:, :, 1:], GRID[:, :, 1:])
    assert torch.equal(adapter.grid(GRID[:, :, 1:], size(3)), GRID[:, :, 1:])  # as it is stepped
