"""Save the averaged weights of a run: `python -m training.export_hpdm --recipe xs`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from engine.hpdm.weights_folder import save_hpdm
from training.config import HpdmRecipe
from training.recipes import HPDM_RECIPES
from training.train_hpdm import build

EXAMPLES = (
    "a red heart still over a green background",
    "a ghost drifting right over a blue background",
    "a frog still over a purple background",
    "a star drifting left over a red background",
    "a panda drifting right over an orange background",
    "an octopus still over a grey background",
)


def settings(recipe: HpdmRecipe) -> dict[str, Any]:
    """What the engine's catalogue needs to know to run the model well."""
    frames, height, width = recipe.model.size(recipe.model.levels - 1)
    return {
        "name": "emoji-hpdm",
        "recipe": recipe.name,
        "height": height,
        "width": width,
        "num_frames": frames,
        "fps": recipe.fps,
        "steps": list(recipe.steps),
        "guidance": recipe.guidance,
        "overlap": recipe.overlap,
        "cache": "device",
        "example_prompts": list(EXAMPLES),
    }


def export(recipe: HpdmRecipe, folder: Path, out: Path) -> None:
    """Write the run's averaged weights, config and settings to `out`; whatever else lies there stays."""
    model = build(recipe, recipe.scenes.emoji)
    model.load_state_dict(torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)["ema"])
    save_hpdm(model, out)
    (out / "resolute.json").write_text(json.dumps(settings(recipe), indent=2) + "\n")
    for path in (out, *out.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def main() -> None:
    """Export a recipe's run."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--recipe", choices=HPDM_RECIPES, default="xs")
    parser.add_argument("--run", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("weights/emoji-hpdm"))
    args = parser.parse_args()
    export(HPDM_RECIPES[args.recipe], args.run or Path("runs") / f"hpdm-{args.recipe}", args.out)
    print({p.name: p.stat().st_size for p in args.out.iterdir()})


if __name__ == "__main__":
    main()
