"""Between pictures and latents as a model sees them, for the autoencoder of every covered family.

Autoencoders differ in what they take (a picture or a video of one frame), what they give (a distribution or the
latents) and how latents are normalised for the model: by one factor, by a mean and a deviation a channel, or, FLUX.2,
by those of a batch norm over 2x2 cells.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

STILLS = (
    "AutoencoderKL",
    "AutoencoderKLFlux2",
    "AutoencoderDC",
    "AsymmetricAutoencoderKL",
    "AutoencoderTiny",
    "VQModel",
)


class LatentSpace:
    """A loaded autoencoder, for stills.

    Pictures are (N, 3, H, W) in -1..1 (decoding may overshoot: clamp), H and W multiples of the autoencoder's stride.
    Cells are latents (N, C, h, w), normalised as the denoiser sees them. Both may come in any float dtype and from any
    device; both go out as float32 on the CPU, in memory of their own. The autoencoder itself computes on `device` (its
    own, if left out) in its own dtype, without gradients; nothing of it is changed.
    """

    def __init__(self, vae: Any, device: torch.device | None = None) -> None:
        self.vae, self.stills = vae, type(vae).__name__ in STILLS
        parameter = next(vae.parameters())
        self.device, self.dtype = device or parameter.device, parameter.dtype

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures to cells: the mode of the autoencoder's distribution, so no noise is drawn."""
        x = pictures.to(self.device, self.dtype)
        out = self.vae.encode(x if self.stills else rearrange(x, "n c h w -> n c 1 h w"))
        latents = out.latent_dist.mode() if hasattr(out, "latent_dist") else out.latent
        return self._normalised(latents if latents.ndim == 4 else latents[:, :, 0]).float().cpu()

    @torch.no_grad()
    def decode(self, cells: Tensor) -> Tensor:
        """Cells to pictures; where the decoder takes a timestep, at 0."""
        latents = self._restored(cells.float()).to(self.device, self.dtype)
        more = {"temb": torch.zeros(len(latents)).to(latents)} if self._config("timestep_conditioning") else {}
        out = self.vae.decode(latents if self.stills else rearrange(latents, "n c h w -> n c 1 h w"), **more).sample
        return (out if out.ndim == 4 else out[:, :, 0]).float().cpu()

    def _normalised(self, latents: Tensor) -> Tensor:
        if hasattr(self.vae, "bn"):
            mean, deviation = self._batch_norm()
            return _from_blocks((_to_blocks(latents.float().cpu()) - mean) / deviation)
        mean, deviation = self._statistics()
        return (latents.float().cpu() - mean) / deviation

    def _restored(self, cells: Tensor) -> Tensor:
        if hasattr(self.vae, "bn"):
            mean, deviation = self._batch_norm()
            return _from_blocks(_to_blocks(cells.cpu()) * deviation + mean)
        mean, deviation = self._statistics()
        return cells.cpu() * deviation + mean

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """What is taken off, and divided by: (C or 1, 1, 1) each."""
        mean, deviation = self._channels("latents_mean"), self._channels("latents_std")
        if mean is None or deviation is None:
            mean, deviation = torch.tensor(self._config("shift_factor") or 0.0), torch.ones(())
        factor = self._config("scaling_factor")
        if type(self.vae).__name__ == "AutoencoderKLWan" or not factor:
            factor = 1.0  # Wan's pipelines do not read it
        return mean.view(-1, 1, 1), deviation.view(-1, 1, 1) / factor

    def _channels(self, name: str) -> Tensor | None:
        value = self._config(name)
        if value is None:
            value = getattr(self.vae, name, None)
        return None if value is None else torch.as_tensor(value).float().cpu().flatten()

    def _batch_norm(self) -> tuple[Tensor, Tensor]:
        norm = self.vae.bn
        deviation = torch.sqrt(norm.running_var.float() + self.vae.config.batch_norm_eps)
        return norm.running_mean.float().cpu().view(-1, 1, 1), deviation.cpu().view(-1, 1, 1)

    def _config(self, name: str) -> Any:
        return self.vae.config.get(name)


def _to_blocks(latents: Tensor) -> Tensor:
    """2x2 cells to one of four times the channels, as FLUX.2 numbers them."""
    return rearrange(latents, "n c (h p) (w q) -> n (c p q) h w", p=2, q=2)


def _from_blocks(blocks: Tensor) -> Tensor:
    return rearrange(blocks, "n (c p q) h w -> n c (h p) (w q)", p=2, q=2)
