"""Train the transformer and its text encoder: `python -m training.train_dit --recipe nano`.

Flow matching: x = (1 - sigma) x0 + sigma eps, target eps - x0, timestep 1000 sigma, as Wan's sampler has it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedTokenizerFast

from training.autoencoder import quicken
from training.bank import Bank
from training.config import DitConfig, Phase, Recipe
from training.consistency import Size, disagreement, lower_size
from training.data import UNSEEN, Scenes, vocabulary
from training.model import Generator, assemble, build_generator, build_tokenizer, load_generator, token_ids
from training.optim import split
from training.recipes import RECIPES, going_on
from training.runtime import Ema, Run, contact_sheet, fingerprint, newest_vae, rate_at, spare_cores
from training.train_vae import device


def optimizers(generator: Generator, cfg: DitConfig) -> list[Optimizer]:
    """Muon on the inner matrices; AdamW on embeddings, first and last layers, norms and biases."""
    edges = ("patch_embedding", "proj_out", "condition_embedder", "shared", "relative_attention_bias")
    return split(generator, cfg.lr, cfg.muon, edges)


def sigmas(rng: np.random.Generator, batch: int, shift: float) -> Tensor:
    """Noise levels (B,) in 0..1: mostly logit-normal, some uniform, then shifted as the sampler's are."""
    normal = 1 / (1 + np.exp(-rng.standard_normal(batch)))
    u = np.where(rng.random(batch) < 0.15, rng.random(batch), normal)
    return torch.from_numpy(shift * u / (1 + (shift - 1) * u)).float()


def phase_at(cfg: DitConfig, progress: float) -> Phase:
    """The part of the curriculum that a share of the run lies in."""
    return next((p for p in cfg.phases if progress < p.until), cfg.phases[-1])


def batch_kind(cfg: DitConfig, progress: float, rng: np.random.Generator) -> tuple[int, float, int]:
    """(latent frames, rate, batch) to train on at this point of the curriculum."""
    phase = phase_at(cfg, progress)
    weights = np.array([m[3] for m in phase.mix])
    frames, rate, batch, _ = phase.mix[int(rng.choice(len(weights), p=weights / weights.sum()))]
    return frames, rate, batch


class Captions:
    """Token ids of scenes, by number."""

    def __init__(self, scenes: Scenes, tokenizer: PreTrainedTokenizerFast, max_length: int) -> None:
        self.scenes, self.tokenizer, self.max_length = scenes, tokenizer, max_length

    def ids(self, numbers: list[int], dropped: np.ndarray) -> Tensor:
        """(B, max_length); the empty prompt where `dropped`."""
        said = ["" if drop else self.scenes.scene(n).caption for n, drop in zip(numbers, dropped, strict=True)]
        return token_ids(self.tokenizer, said, self.max_length)


def flow_loss(
    generator: nn.Module, x0: Tensor, noise: Tensor, sigma: Tensor, ids: Tensor, lower: Size | None = None
) -> Tensor:
    """Squared error of the velocity; x0 and noise (B, z, T, h, w), sigma (B,).

    With `lower`, a smaller (h, w), also how far the answer at that size is from the one at this size.
    """
    s = sigma.view(-1, 1, 1, 1, 1)
    x = (1 - s) * x0 + s * noise
    v = generator(x, 1000 * sigma, ids)
    loss = (v.float() - (noise - x0)).pow(2).mean()
    return loss if lower is None else loss + disagreement(generator, x, v.detach(), s, ids, lower)


def step(run: Run, cfg: DitConfig, bank: Bank, captions: Captions, where: torch.device, seed: int = 0) -> float:
    """One update; all its random draws follow from the step's number and the seed."""
    rng = np.random.default_rng([2, run.step, seed] if seed else [2, run.step])
    frames, rate, batch = batch_kind(cfg, run.progress, rng)
    x0, numbers = bank.draw(frames, rate, batch, rng)
    ids = captions.ids(numbers, rng.random(batch) < cfg.caption_dropout)
    noise = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
    sigma = sigmas(rng, batch, cfg.shift * rate)
    run.set_rate(rate_at(run.progress, run.step, cfg.warmup, cfg.decay))
    lower = lower_size(cfg.consistency, (x0.shape[-2], x0.shape[-1]), rng) if frames > 1 and rate == 1 else None
    with torch.autocast(where.type, dtype=torch.bfloat16):
        loss = flow_loss(run.module, x0.to(where), noise.to(where), sigma.to(where), ids.to(where), lower)
    run.update(loss)
    return float(loss.detach())


@torch.no_grad()
def generate(
    pipe: Any,
    recipe: Recipe,
    prompts: list[str],
    *,
    rate: float = 1.0,
    frames: int = 0,
    steps: int = 0,
    guidance: float = 0.0,
    seed: int = 0,
    shift: float = 0.0,
) -> Tensor:
    """Clips (B, 3, T, H, W) in -1..1 at a flat rate, by the pipeline itself; one seed a prompt."""
    side = round(recipe.scenes.side * rate)
    shift = shift or recipe.dit.shift * rate
    pipe.scheduler.register_to_config(flow_shift=shift)
    out = pipe(
        prompt=prompts,
        negative_prompt="",
        height=side,
        width=side,
        num_frames=frames or recipe.scenes.frames,
        num_inference_steps=steps or recipe.steps,
        guidance_scale=guidance or recipe.guidance,
        generator=[torch.Generator().manual_seed(seed + i) for i in range(len(prompts))],
        max_sequence_length=recipe.dit.max_length,
        output_type="pt",
    ).frames  # (B, T, 3, H, W) in 0..1
    return out.float().transpose(1, 2) * 2 - 1


def review(run: Run, recipe: Recipe, captions: Captions, vae: Any, frames: int, name: str = "") -> None:
    """Sheets of prompts never trained on, at full and at half rate."""
    pipe = assemble(run.ema.module, vae, captions.tokenizer, recipe.dit.shift)
    prompts = [captions.scenes.scene(UNSEEN + n).caption for n in range(8)]
    for rate in (1.0, 0.5):
        with torch.autocast(vae.device.type, dtype=torch.bfloat16):
            clips = generate(pipe, recipe, prompts, rate=rate, frames=frames, steps=20)
        rows = [clip[:, ::4] for clip in clips.cpu()]
        contact_sheet(run.folder / f"sheet-{name or run.step}-{rate}.png", rows, prompts)


def train(
    recipe: Recipe,
    folder: Path,
    bank: Bank,
    captions: Captions,
    vae: Any,
    minutes: float,
    *,
    limit: int = 0,
    review_minutes: float = 8,
    start: Path | None = None,
) -> Run:
    """Train, or go on from the folder's checkpoint, for `minutes` in all or up to step `limit`.

    With `start`, a saved pipeline, training begins at its weights and skips the curriculum.
    """
    where, cfg, seed = device(), recipe.dit if start is None else going_on(recipe.dit), fingerprint(start)
    generator = build_generator(recipe, len(captions.tokenizer)) if start is None else load_generator(start)[0]
    generator.to(where)
    run = Run(folder, generator, optimizers(generator, cfg), Ema(generator, cfg.ema), minutes)
    run.resume()
    recent: list[float] = []
    shown = run.elapsed
    while run.progress < 1 and (not limit or run.step < limit):
        if where.type == "cpu":
            torch.set_num_threads(spare_cores(recipe.threads))
        recent.append(step(run, cfg, bank, captions, where, seed))
        if run.step % 50 == 0:
            run.note(loss=float(np.mean(recent)))
            recent.clear()
        if run.step % 250 == 0:
            run.save()
        if vae is not None and run.elapsed - shown > 60 * review_minutes:
            shown = run.elapsed
            run.save()
            clips = any(latent_frames > 1 for latent_frames, *_ in phase_at(cfg, run.progress).mix)
            review(run, recipe, captions, vae, recipe.scenes.frames if clips else 1)
    run.save()
    return run


def main() -> None:
    """Train the generator of a recipe on its bank of latents."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="nano")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--steps", type=int, default=0, help="stop at this step (0: by time)")
    parser.add_argument("--from", dest="start", type=Path, help="begin at the weights of this saved pipeline")
    parser.add_argument("--threads", type=int, default=0, help="at most so many (0: as the recipe says)")
    args = parser.parse_args()
    recipe = RECIPES[args.recipe]
    recipe = replace(recipe, threads=args.threads or recipe.threads)
    torch.set_num_threads(recipe.threads)
    folder = args.out or Path("runs") / recipe.name
    scenes = Scenes.open(recipe.scenes)
    length = recipe.dit.max_length
    tokenizer = load_generator(args.start)[1] if args.start else build_tokenizer(vocabulary(scenes), length)
    captions = Captions(scenes, tokenizer, length)
    vae: Any = quicken(AutoencoderKLWan.from_pretrained(newest_vae(folder, args.start)).float()).to(device())
    run = train(
        recipe, folder / "dit", Bank(recipe, folder / "bank"), captions, vae, args.minutes or recipe.dit.minutes,
        limit=args.steps, start=args.start,
    )  # fmt: skip
    review(run, recipe, captions, vae, recipe.scenes.frames, "final")


if __name__ == "__main__":
    main()
