"""Normalised latents go back to the picture that the pipeline itself decodes, for every autoencoder of the families."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.models.families import family_of
from engine.models.latent_space import LatentSpace
from engine.models.preview import GOOD, FramePreview, LinearPreview, fit_preview, preview_of
from engine.sampling.latent_layouts import LAYOUTS, Adapter
from engine.schedules.latent_sizes import Geometry, full_size
from tests.families.cases import CASES, call_of, geometry

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")  # Mochi asks for it, whatever the device is

# One of each autoencoder and of each way to lay its latents out, from text alone.
NAMES = (
    "wan", "wan-5b", "ltx", "hunyuan", "hunyuan-1.5", "cogvideox-2b", "mochi", "sana-video", "kandinsky-5", "flux",
    "flux2-klein", "qwen-image", "sd3", "sdxl", "sana", "z-image",
)  # fmt: skip


def both(name: str) -> tuple[np.ndarray, torch.Tensor]:
    """A still by a tiny pipeline: as it decodes it, (1, H, W, 3) in 0..1, and as our space decodes its latents."""
    case = CASES[name]
    pipe = case.build()
    family, cut = family_of(type(pipe).__name__), geometry(pipe)
    full = (case.height, case.width)
    sized = family.sized(full, full) if family.sized else {}
    frames = {family.frames: 1} if family.output == "video" else {}
    call = dict(family.call) | dict(sized) | call_of(case, pipe) | frames

    def run(kind: str) -> torch.Tensor | np.ndarray:
        out = pipe(
            **call, height=case.height, width=case.width, num_inference_steps=2,
            generator=torch.Generator().manual_seed(0), output_type=kind,
        )  # fmt: skip
        return out.frames if hasattr(out, "frames") else out.images

    if name == "flux2-klein":  # its latents come out as its autoencoder takes them; before, they are tokens
        call["callback_on_step_end"] = lambda pipe, step, t, kept: seen.append(kept["latents"]) or kept
    seen: list[torch.Tensor] = []
    latents = torch.as_tensor(run("latent"))
    latents = seen[-1] if seen else latents
    adapter = Adapter(LAYOUTS[family.layout], cut.channels)
    size = full_size(cut, case.height, case.width, 1)
    cells = adapter.grid(latents, size)[:, :, 0]
    return np.asarray(run("np"))[0].reshape(-1, case.height, case.width, 3)[:1], LatentSpace(pipe.vae).decode(cells)


@pytest.mark.parametrize("name", NAMES)
def test_cells_decode_to_the_pipelines_own_picture(name):
    own, ours = both(name)
    ours = (ours / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    assert own.std() > 1e-4  # not one flat colour, which anything would match
    np.testing.assert_allclose(ours, own, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_where_no_linear_map_is_good_one_small_frame_is_decoded(name):
    """Random weights put no colour into single channels: the map would show noise."""
    case = CASES[name]
    pipe = case.build()
    cut = geometry(pipe)
    preview = preview_of(pipe.vae, cut)
    assert isinstance(preview, FramePreview)
    assert preview.r2 < GOOD
    size = full_size(cut, case.height, case.width, case.frames)
    x0 = torch.randn((cut.channels, size.frames, *size.hw), generator=torch.Generator().manual_seed(1))
    shown = preview(x0)
    assert shown.dtype == np.uint8
    assert shown.shape == (1, case.height, case.width, 3)
    whole = LatentSpace(pipe.vae).decode(x0[None, :, size.frames // 2])[0].permute(1, 2, 0)
    np.testing.assert_allclose(shown[0], (whole.clamp(-1, 1) * 127.5 + 127.5).numpy(), atol=0.51)


def test_a_large_frame_is_decoded_small():
    pipe = CASES["flux"].build()
    cut = geometry(pipe)
    preview = preview_of(pipe.vae, cut)
    shown = preview(torch.zeros(cut.channels, 1, 128, 64))
    assert shown.shape == (1, 192, 96, 3)


def test_the_shipped_models_map_is_good():
    from engine.models.loading import load_model

    preview = load_model("emoji-wan").preview
    assert isinstance(preview, LinearPreview)
    assert preview.r2 > 0.95


class Painter(torch.nn.Module):
    """An autoencoder whose first three channels are the cell's colour: a map that is known."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.config, self.noise = {"scaling_factor": 2.0, "shift_factor": 0.5}, noise

    def encode(self, pictures):
        colours = torch.nn.functional.avg_pool2d(pictures[:, :, 0], 8)
        latents = colours.flip(1) + self.noise * torch.randn(colours.shape, generator=torch.Generator().manual_seed(3))
        return type("Out", (), {"latent": latents})()


def test_a_known_map_is_found_whatever_the_latents_are_scaled_by():
    fitted = fit_preview(Painter(), 8)
    assert fitted.r2 > 0.9999
    cells = (torch.tensor([0.1, -0.2, 0.3]).view(3, 1, 1, 1) - 0.5) * 2  # normalised: blue, green, red
    np.testing.assert_allclose(fitted(cells)[0, 0, 0], 127.5 + 127.5 * np.array([0.3, -0.2, 0.1]), atol=1)


def test_a_map_that_explains_little_is_not_used():
    assert isinstance(preview_of(Painter(noise=2.0), Geometry((1, 8, 8), (1, 1, 1), 3)), FramePreview)
    assert isinstance(preview_of(Painter(), Geometry((1, 8, 8), (1, 1, 1), 3)), LinearPreview)


def test_where_networks_take_turns_on_the_card_no_step_is_decoded():
    rough = preview_of(Painter(noise=2.0), Geometry((1, 8, 8), (1, 1, 1), 3), linear=True)
    assert isinstance(rough, LinearPreview)
    assert rough.r2 < GOOD
