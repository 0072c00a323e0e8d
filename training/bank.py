"""Latents of scenes on disk, so that the transformer never waits for the encoder.

One file a kind and rate: `stills-0.75.npy` is (N, z, 1, h, w) float16, already normalised; `clips-*` have
all latent frames. `count.json` says how many rows are filled; a reader may run while a writer fills.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from training.autoencoder import encode, quicken, stats
from training.config import RATES, Recipe
from training.data import Scenes
from training.recipes import RECIPES
from training.runtime import newest_vae, write_atomic
from training.scenes import scale

FIRST = {"stills": 1 << 32, "clips": 1 << 33}  # scene number of row 0
STRIDE = 8


class Bank:
    """Reader and writer of a recipe's latents."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.folder, self._maps = recipe, folder, {}  # type: ignore[var-annotated]

    def size(self, kind: str) -> int:
        """Rows that the file of a kind has room for."""
        return self.recipe.dit.bank_clips if kind == "clips" else self.recipe.dit.bank_stills

    def shape(self, kind: str, rate: float) -> tuple[int, int, int, int]:
        """(z, T, h, w) of a row."""
        cfg = self.recipe.scenes
        side = round(cfg.side * rate) // STRIDE
        return self.recipe.vae.z_dim, 1 + (cfg.frames - 1) // 4 if kind == "clips" else 1, side, side

    def rows(self, kind: str, rate: float) -> np.ndarray:
        """The file of a kind and rate, memory-mapped, made if need be."""
        key = (kind, rate)
        if key not in self._maps:
            path = self.folder / f"{kind}-{rate}.npy"
            shape = (self.size(kind), *self.shape(kind, rate))
            self.folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self._maps[key] = np.lib.format.open_memmap(path, mode="r+")
            else:
                self._maps[key] = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
        return self._maps[key]

    def count(self, kind: str) -> int:
        """Rows filled so far."""
        path = self.folder / f"{kind}.json"
        return int(json.loads(path.read_text())["count"]) if path.exists() else 0

    def _set_count(self, kind: str, count: int) -> None:
        text = json.dumps({"count": count})
        write_atomic(self.folder / f"{kind}.json", lambda path: path.write_text(text))

    def fill(self, kind: str, scenes: Scenes, vae: Any, batch: int) -> None:
        """Encode what is missing, at every rate, `batch` scenes at a time."""
        frames = scenes.cfg.frames if kind == "clips" else 1
        mean, std = (s.to(vae.device) for s in stats(vae))
        for start in range(self.count(kind), self.size(kind), batch):
            stop = min(start + batch, self.size(kind))
            clips = torch.stack([scenes.clip(FIRST[kind] + n, frames) for n in range(start, stop)])
            for rate in RATES:
                small = scale(clips, round(scenes.cfg.side * rate)).to(vae.device)
                with torch.no_grad(), torch.autocast(vae.device.type, dtype=torch.bfloat16):
                    z = encode(vae, small)[0]
                self.rows(kind, rate)[start:stop] = ((z - mean) / std).half().cpu().numpy()
            self._set_count(kind, stop)

    def draw(self, frames: int, rate: float, batch: int, rng: np.random.Generator) -> tuple[Tensor, list[int]]:
        """Random latents (B, z, frames, h, w) and the scene number of each.

        One frame: from the stills and from the clips' first frames, which are the same thing.
        """
        clips = self.count("clips")
        stills = self.count("stills") if frames == 1 else 0
        if clips + stills == 0:
            raise ValueError(f"the bank in {self.folder} has no latents of {frames} frames: fill it first")
        pick = rng.integers(clips + stills, size=batch)
        kinds = ["clips" if n < clips else "stills" for n in pick]
        index = [int(n if n < clips else n - clips) for n in pick]
        rows = [self.rows(kind, rate)[n][:, :frames] for kind, n in zip(kinds, index, strict=True)]
        x = torch.from_numpy(np.stack(rows)).float()
        return x, [FIRST[kind] + n for kind, n in zip(kinds, index, strict=True)]


def main() -> None:
    """Fill the bank of a recipe from its trained autoencoder; goes on where it was."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="nano")
    parser.add_argument("--kind", choices=FIRST, action="append")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--from", dest="start", type=Path, help="saved pipeline, if the run has no autoencoder")
    args = parser.parse_args()
    recipe = RECIPES[args.recipe]
    torch.set_num_threads(args.threads or recipe.threads)
    folder = args.out or Path("runs") / recipe.name
    vae: Any = quicken(AutoencoderKLWan.from_pretrained(newest_vae(folder, args.start)).float())
    vae.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    bank = Bank(recipe, folder / "bank")
    for kind in args.kind or list(FIRST):
        bank.fill(kind, Scenes.open(recipe.scenes), vae, args.batch if kind == "clips" else 4 * args.batch)
        print(kind, bank.count(kind), flush=True)


if __name__ == "__main__":
    main()
