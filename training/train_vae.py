"""Train the autoencoder of a recipe: `python -m training.train_vae --recipe nano`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor
from torch.optim import Optimizer

from engine.switching.noise_field import resize_dct
from training.autoencoder import build_vae, decode, encode, quicken, stats
from training.config import Recipe, VaeConfig
from training.data import UNSEEN, Scenes, crops
from training.optim import split
from training.recipes import RECIPES, polishing
from training.runtime import Ema, Run, contact_sheet, fingerprint, psnr, rate_at, write_atomic
from training.scenes import scale


def device() -> torch.device:
    """Where to train."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def shrink(z: Tensor, factor: float) -> Tensor:
    """Latents (B, C, T, h, w) at another size: their low band, as stages of a schedule have it."""
    return resize_dct(z, (round(z.shape[-2] * factor), round(z.shape[-1] * factor)))


def picture_loss(out: Tensor, target: Tensor, gradient: float) -> Tensor:
    """L1 on pixels and on their differences to the right, below and to the next frame."""
    error = out - target
    loss = error.abs().mean() + error.pow(2).mean()
    for axis in (-1, -2, -3):
        if error.shape[axis] > 1:
            loss = loss + gradient * error.diff(dim=axis).abs().mean()
    return loss


def noise_like(z: Tensor, rng: np.random.Generator) -> Tensor:
    """Normal noise of the shape and on the device of z."""
    return torch.from_numpy(rng.standard_normal(z.shape, dtype=np.float32)).to(z.device)


def vae_loss(vae: Any, cfg: VaeConfig, clip: Tensor, rng: np.random.Generator) -> Tensor:
    """Reconstruction of a clip from its latents or, for scale equivariance, of a smaller one from smaller ones.

    Source: EQ-VAE, arXiv 2502.09509 (there also rotations).
    """
    mean, logvar = encode(vae, clip)
    z, target = mean + torch.exp(0.5 * logvar) * noise_like(mean, rng), clip
    if rng.random() < cfg.equivariance:
        factor = float(rng.choice([0.75, 0.5]))
        z, target = shrink(z, factor), scale(clip, round(clip.shape[-1] * factor))
    if cfg.latent_noise:
        z = z + rng.uniform(0, cfg.latent_noise) * stats(vae)[1].to(z) * noise_like(z, rng)
    kl = 0.5 * (mean.pow(2) + logvar.exp() - 1 - logvar).mean()
    return picture_loss(decode(vae, z), target, cfg.gradient_loss) + cfg.kl * kl


def step(run: Run, cfg: VaeConfig, scenes: Scenes, where: torch.device, seed: int = 0) -> float:
    """One update; the kind of batch and its scenes follow from the step's number and the seed."""
    rng = np.random.default_rng([1, run.step, seed] if seed else [1, run.step])
    weights = np.array([c[3] for c in cfg.clip])
    frames, side, batch, _ = cfg.clip[int(rng.choice(len(weights), p=weights / weights.sum()))]
    first = 4096 * run.step + 256 * (seed % 16)
    clip = crops(scenes, range(first, first + batch), frames, side).to(where)
    run.set_rate(rate_at(run.progress, run.step, cfg.warmup))
    with torch.autocast(where.type, dtype=torch.bfloat16):
        loss = vae_loss(run.module, cfg, clip, rng)
    run.update(loss)
    return float(loss.detach())


@torch.no_grad()
def roundtrip(vae: Any, clip: Tensor, factor: float = 1.0) -> Tensor:
    """A clip (3, T, H, W) there and back; with a factor, through smaller latents."""
    with torch.autocast(clip.device.type, dtype=torch.bfloat16):
        z = encode(vae, clip[None])[0]
        return decode(vae, shrink(z, factor) if factor != 1 else z)[0].clamp(-1, 1)


def review(run: Run, scenes: Scenes, where: torch.device, count: int = 6) -> dict[str, float]:
    """PSNR on unseen whole scenes, plain and through latents of half the size, and a sheet to look at."""
    rows, plain, half = [], [], []
    for number in range(UNSEEN, UNSEEN + count):
        clip = scenes.clip(number).to(where)
        back = roundtrip(run.ema.module, clip)
        plain.append(psnr(back, clip))
        half.append(psnr(roundtrip(run.ema.module, clip, 0.5), scale(clip, clip.shape[-1] // 2)))
        rows += [clip[:, ::8].cpu(), back[:, ::8].cpu()]
    contact_sheet(run.folder / f"sheet-{run.step:06d}.png", rows)
    return {"psnr": float(np.mean(plain)), "psnr_half": float(np.mean(half))}


@torch.no_grad()
def finish(run: Run, scenes: Scenes, where: torch.device, count: int = 200) -> None:
    """Measure the latents' mean and deviation by channel and save the averaged weights."""
    vae = run.ema.module
    total = []
    for number in range(count):
        with torch.autocast(where.type, dtype=torch.bfloat16):
            total.append(encode(vae, scenes.clip(number, 1 + 4 * (number % 3)).to(where)[None])[0].cpu())
    flat = torch.cat([z.transpose(0, 1).flatten(1) for z in total], 1)
    vae.register_to_config(latents_mean=flat.mean(1).tolist(), latents_std=flat.std(1).tolist())
    vae.save_pretrained(run.folder / "vae")


def optimizers(vae: Any, cfg: VaeConfig) -> list[Optimizer]:
    """AdamW on what is to be trained; with `cfg.muon`, Muon on its inner weights."""
    if cfg.muon:
        return split(vae, cfg.lr, cfg.muon, ("conv_in", "conv_out", "post_quant_conv"))
    wanted = [p for p in vae.parameters() if p.requires_grad]
    return [torch.optim.AdamW(wanted, lr=cfg.lr, betas=(0.9, 0.99), weight_decay=1e-4)]


def train(
    recipe: Recipe, folder: Path, minutes: float, scenes: Scenes, limit: int = 0, start: Path | None = None
) -> Run:
    """Train, or go on from the folder's checkpoint, for `minutes` in all or up to step `limit`.

    With `start`, a saved autoencoder, only its decoder is trained on: its latents stay as they are.
    """
    where, cfg, seed = device(), recipe.vae if start is None else polishing(recipe.vae), fingerprint(start)
    torch.manual_seed(0)
    vae: Any = build_vae(cfg) if start is None else quicken(AutoencoderKLWan.from_pretrained(start).float())
    vae.to(where)
    if start is not None:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    run = Run(folder, vae, optimizers(vae, cfg), Ema(vae, cfg.ema), minutes)
    run.resume()
    recent: list[float] = []
    while run.progress < 1 and (not limit or run.step < limit):
        recent.append(step(run, cfg, scenes, where, seed))
        if run.step % 50 == 0:
            values = {"loss": float(np.mean(recent))}
            recent.clear()
            run.note(**values, **(review(run, scenes, where) if run.step % 500 == 0 else {}))
            if run.step % 250 == 0:
                run.save()
    run.save()
    return run


def main() -> None:
    """Train the autoencoder of a recipe."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="nano")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--steps", type=int, default=0, help="stop at this step (0: by time)")
    parser.add_argument("--polish", action="store_true", help="only the decoder, from the trained autoencoder")
    parser.add_argument("--from", dest="start", type=Path, help="polish the decoder of this saved pipeline")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.start and not args.polish:
        parser.error("--from goes with --polish: another encoder would make the transformer invalid")
    recipe = RECIPES[args.recipe]
    torch.set_num_threads(args.threads or recipe.threads)
    folder = args.out or Path("runs") / recipe.name / ("polish" if args.polish else "vae")
    start = (args.start or folder.parent / "vae") / "vae" if args.polish else None
    scenes = Scenes.open(recipe.scenes)
    run = train(recipe, folder, args.minutes or recipe.vae.minutes, scenes, args.steps, start)
    if args.polish:
        run.ema.module.save_pretrained(folder / "vae")
    else:
        finish(run, scenes, device())
    result = review(run, scenes, device(), 24)
    write_atomic(folder / "result.json", lambda path: path.write_text(json.dumps(result)))
    print(result)


if __name__ == "__main__":
    main()
