"""Train a hierarchical patch model: `python -m training.train_hpdm --recipe xs`. Goes on from its checkpoint.

One patch a level and video, nested, all levels in one pass ([P] sections 3.2, 3.3); noise levels independent. Where the
recipe differs from the paper (optimiser, clean contexts, more of level 0) it is our choice: docs/hpdm.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.hpdm_model import Hpdm, LevelInput
from engine.hpdm.nested_patches import crop, draw_offsets, pyramid
from engine.hpdm.patch_noise import PHI_MIN, add_noise, draw_phi, net_input, target
from engine.hpdm.tile_sampler import Sampling, sample_levels
from engine.hpdm.weights_folder import load_hpdm
from training.config import HpdmRecipe
from training.data import Scenes
from training.hpdm_data import FIRST, HELD_OUT, Clips, conditions, labels, scene
from training.hpdm_rows import fan_out_loss
from training.optim import split
from training.recipes import HPDM_RECIPES
from training.runtime import Clock, Ema, Run, contact_sheet, rate_at

EDGES = ("tokenize", "conditioning", "start_latents", "to_tokens")


def build(recipe: HpdmRecipe, names: Sequence[str], seed: int = 0) -> Hpdm:
    """A new model with the recipe's conditions."""
    torch.manual_seed(seed)
    return Hpdm(replace(recipe.model, conditions=conditions(recipe, names)))


@torch.no_grad()
def take_over(model: Hpdm, folder: Path) -> None:
    """Start from a saved model's weights: all but fusion, which a coarsest level never meets and begins anew.

    A tokeniser that sees the parent's pixels beside its own starts blind to them.
    """
    fusions = {name for name in model.state_dict() if name.startswith("fusions")}
    saved = {k: v for k, v in load_hpdm(folder).state_dict().items() if k not in fusions}
    own = model.tokenize.linear.weight
    wide = torch.zeros_like(own)
    narrow = saved["tokenize.linear.weight"]
    wide[:, : narrow.shape[1]] = narrow
    model.load_state_dict(saved | {"tokenize.linear.weight": wide}, strict=False)


def angles(recipe: HpdmRecipe, levels: int, batch: int, coarse: int, generator: torch.Generator) -> list[Tensor]:
    """phi by level, (batch + coarse,) at level 0 and (batch,) above; NaN-free, PHI_MIN where a level serves as context.

    For a share `clean` of the videos, every level below a drawn one is as good as finished: that is what sampling sees.
    """
    out = [draw_phi(batch + (coarse if k == 0 else 0), generator) for k in range(levels)]
    if levels == 1:
        return out
    mixed = torch.rand(batch, generator=generator) < recipe.clean
    upto = torch.randint(1, levels, (batch,), generator=generator) * mixed
    for k in range(levels - 1):
        out[k][:batch][upto > k] = PHI_MIN
    return out


def hierarchical_loss(
    model: Hpdm, recipe: HpdmRecipe, videos: Tensor, said: Tensor, batch: int, rng: np.random.Generator
) -> list[Tensor]:
    """v-loss of each level, summed over levels in the end [P]; patches that serve as finished context do not count.

    `videos` (batch + coarse, 3, F, H, W) in -1..1, `said` their labels; the first `batch` have patches at all levels.
    """
    config, on = model.config, next(model.parameters()).device
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 40)))
    offsets = draw_offsets(config, batch, rng)
    levels = pyramid(videos, config)
    phis = angles(recipe, config.levels, batch, len(videos) - batch, generator)
    said = torch.where(torch.rand(len(said), 1, generator=generator) < recipe.dropout, 0, said)
    apart = torch.rand(said.shape, generator=generator) < recipe.dropout / 2
    said = torch.where(apart, 0, said)
    given, wanted = [], []
    for k, phi in enumerate(phis):
        rows = len(phi)
        where = torch.zeros(rows, 3, dtype=torch.long) if k == 0 else offsets[k]
        x0 = levels[0][:rows] if k == 0 else crop(levels[k][:rows], where, config.patch)
        eps = torch.randn(x0.shape, generator=generator)
        z = net_input(add_noise(x0, eps, phi, config.input_scales[k]), phi, config.input_scales[k])
        given.append(LevelInput(z.to(on), phi.to(on), where, said[:rows].to(on)))
        wanted.append(target(x0, eps, phi).to(on))
    if rng.random() < recipe.self_condition:
        given = with_latents(model, given, generator)
    out = []
    for (v, _), want, phi in zip(model(given), wanted, phis, strict=True):
        counts = (phi > PHI_MIN).float().to(on)
        out.append(((v - want).pow(2).flatten(1).mean(1) * counts).sum() / counts.sum().clamp(min=1))
    return out


@torch.no_grad()
def with_latents(model: Hpdm, given: Sequence[LevelInput], generator: torch.Generator) -> list[LevelInput]:
    """The same inputs with the latents of a first pass, for nine rows of ten, each level apart ([R] [S], p = 0.9)."""
    out = []
    for one, (_, latents) in zip(given, model(given), strict=True):
        kept = torch.rand(len(latents), 1, 1, generator=generator) < 0.9
        out.append(replace(one, previous=latents * kept.to(latents.device)))
    return out


def step(run: Run, recipe: HpdmRecipe, clips: Clips, seed: int = 0) -> list[float]:
    """One update; all its random draws follow from the step's number and the seed."""
    rng, plan = np.random.default_rng([5, run.step, seed]), recipe.fan_out
    run.set_rate(rate_at(run.progress, run.step, recipe.warmup, recipe.decay))
    if plan is not None:
        videos, said = clips.draw(plan.finished[0] + plan.counted[0], rng)
        losses = fan_out_loss(run.module, plan, recipe.dropout, videos, said, rng)
    else:
        videos, said = clips.draw(recipe.batch + recipe.coarse, rng)
        losses = hierarchical_loss(run.module, recipe, videos, said, recipe.batch, rng)
    weights = plan.weights if plan else (1.0,) * len(losses)  # unweighted [P]
    run.update(torch.stack([w * loss for w, loss in zip(weights, losses, strict=True)]).sum())
    return [float(loss.detach()) for loss in losses]


def enlarge(video: Tensor, config: HpdmConfig) -> Tensor:
    """A level's video (3, f, h, w) at the finest level's size, nearest neighbours, to look at."""
    return interpolate(video[None], size=config.size(config.levels - 1), mode="nearest")[0]


def review(run: Run, recipe: HpdmRecipe, scenes: Scenes, name: str, count: int = 8) -> None:
    """A sheet of scenes never trained on: four frames of each level, side by side."""
    model: Hpdm = run.ema.module
    shown = [scene(recipe, scenes, HELD_OUT + n) for n in range(count)]
    wanted = [
        replace(s, actors=(replace(s.actors[0], name=scenes.names[n % len(scenes.names)]),))
        for n, s in enumerate(shown)
    ]
    said = torch.tensor([labels(recipe, scenes.names, s) for s in wanted])
    how = Sampling(recipe.steps, recipe.overlap, "device", recipe.guidance, tile_batch=64)  # as it will be shipped
    videos = sample_levels(model, said, how, seed=1)
    rows = []
    for n in range(count):
        big = [enlarge(level[n], model.config) for level in videos]
        picks = [0, 5, 10, 15] if big[0].shape[1] == 16 else [0, -1]
        rows.append(torch.cat([b[:, picks] for b in big], 1).cpu())
    captions = [f"{s.actors[0].name} {s.actors[0].motion} {s.background.color}" for s in wanted]
    contact_sheet(run.folder / f"sheet-{name}.png", rows, captions)


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def clock(wall: bool = False) -> Clock:
    """Seconds of computing on a CPU, so that other work does not use up the run; with a GPU those of the wall.

    `wall` asks for those: the rate then falls in time for a fixed hour, however little of the machine is left over.
    """
    return time.monotonic if wall or torch.cuda.is_available() else time.process_time


def train(
    recipe: HpdmRecipe,
    folder: Path,
    *,
    limit: int = 0,
    review_minutes: float = 6.0,
    seed: int = 0,
    start: Path | None = None,
    wall: bool = False,
) -> Run:
    """Train, or go on from the folder's checkpoint, for the recipe's minutes in all or up to step `limit`.

    A run without a checkpoint begins with the weights of the model in `start`, or anew.
    """
    scenes = Scenes.open(recipe.scenes)
    clips = Clips(recipe, scenes, FIRST, recipe.clips)
    model = build(recipe, scenes.names, seed).to(device())
    if start is not None:
        take_over(model, start)
    optimizers = split(model, recipe.lr, recipe.muon, EDGES)
    run = Run(folder, model, optimizers, Ema(model, recipe.ema), recipe.minutes, clock(wall))
    run.resume()
    recent: list[list[float]] = []
    shown = run.elapsed
    while run.progress < 1 and (not limit or run.step < limit):
        recent.append(step(run, recipe, clips, seed))
        if run.step % 50 == 0:
            means = np.mean(recent, 0)
            run.note(loss=float(means.sum()), **{f"level{k}": float(v) for k, v in enumerate(means)})
            recent.clear()
        if run.step % 100 == 0:
            run.save()
        if run.elapsed - shown > 60 * review_minutes:
            shown = run.elapsed
            run.save()
            review(run, recipe, scenes, str(run.step))
    run.save()
    review(run, recipe, scenes, "final")
    return run


def main() -> None:
    """Train a recipe of the hierarchical model."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--recipe", choices=HPDM_RECIPES, default="xs")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--steps", type=int, default=0, help="stop at this step (0: by time)")
    parser.add_argument("--decay", type=float, default=None, help="share of the run over which the rate falls")
    parser.add_argument("--review", type=float, default=6.0, help="minutes between sheets")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--from", dest="start", type=Path, help="saved model whose weights to begin with")
    parser.add_argument("--wall", action="store_true", help="minutes of the wall, not of the CPU")
    args = parser.parse_args()
    recipe = HPDM_RECIPES[args.recipe]
    recipe = replace(recipe, minutes=args.minutes or recipe.minutes, decay=args.decay or recipe.decay)
    torch.set_num_threads(args.threads or recipe.threads)
    folder = args.out or Path("runs") / f"hpdm-{recipe.name}"
    train(recipe, folder, limit=args.steps, review_minutes=args.review, start=args.start, wall=args.wall)


if __name__ == "__main__":
    main()
