"""`AutoencoderKLWan` for training: the same weights and results, without the final clamp and without waste."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, patchify, unpatchify
from torch import Tensor, nn

from training.config import VaeConfig


class StillConv(WanCausalConv3d):
    """A causal convolution that skips the taps which see only padding: three times less work on stills."""

    def forward(self, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        """(B, C, T, h, w); one frame without a past sees only the last tap of the kernel."""
        if cache_x is None and x.shape[2] == 1 and self.stride == (1, 1, 1):
            pad: Any = self._padding
            return F.conv2d(x[:, :, 0], self.weight[:, :, -1], self.bias, padding=(pad[2], pad[0])).unsqueeze(2)
        return super().forward(x, cache_x)


def build_vae(cfg: VaeConfig) -> AutoencoderKLWan:
    """An untrained autoencoder: 8x in space, 4x in time, in Wan's patchified form."""
    vae: Any = AutoencoderKLWan(
        base_dim=cfg.encoder_dim,
        decoder_base_dim=cfg.decoder_dim,
        z_dim=cfg.z_dim,
        dim_mult=[1, 2, 2],
        num_res_blocks=cfg.res_blocks,
        temperal_downsample=[True, True],
        latents_mean=[0.0] * cfg.z_dim,
        latents_std=[1.0] * cfg.z_dim,
        is_residual=cfg.residual,
        in_channels=12,
        out_channels=12,
        patch_size=2,
    )
    return quicken(vae)


def quicken(vae: Any) -> Any:
    """Give the convolutions their quick path for stills, and the memory layout that bf16 kernels like."""
    for module in vae.modules():
        if type(module) is WanCausalConv3d:
            module.__class__ = StillConv
        if isinstance(module, nn.Conv3d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)
        elif isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return vae


def encode(vae: Any, clip: Tensor) -> tuple[Tensor, Tensor]:
    """Clip (B, 3, 1+4k, H, W) to mean and log variance, each (B, z, 1+k, H/8, W/8)."""
    clip = clip.contiguous(memory_format=torch.channels_last_3d)
    mean, logvar = vae._encode(clip).float().chunk(2, 1)
    return mean, logvar.clamp(-30, 20)


def decode(vae: Any, z: Tensor) -> Tensor:
    """Latents (B, z, 1+k, h, w) to a clip (B, 3, 1+4k, 8h, 8w), not clamped, so that gradients flow."""
    vae.clear_cache()
    x = vae.post_quant_conv(z.contiguous(memory_format=torch.channels_last_3d))
    chunks = []
    for i in range(x.shape[2]):
        vae._conv_idx = [0]
        chunks.append(
            vae.decoder(x[:, :, i : i + 1], feat_cache=vae._feat_map, feat_idx=vae._conv_idx, first_chunk=i == 0)
        )
    vae.clear_cache()
    return unpatchify(torch.cat(chunks, 2).float(), vae.config.patch_size)


def stats(vae: Any) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the latents by channel, each (1, z, 1, 1, 1)."""
    shape = (1, -1, 1, 1, 1)
    return torch.tensor(vae.config.latents_mean).view(shape), torch.tensor(vae.config.latents_std).view(shape)


__all__ = ["StillConv", "build_vae", "decode", "encode", "patchify", "quicken", "stats"]
