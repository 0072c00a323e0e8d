"""Save the averaged weights of a run as a pipeline in diffusers' layout: `python -m training.export`."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from transformers import PreTrainedTokenizerFast

from training.config import Recipe
from training.data import Scenes, vocabulary
from training.model import Generator, assemble, build_generator, build_tokenizer, load_generator
from training.recipes import RECIPES
from training.runtime import newest_vae

SHARD = "10MB"
LOCAL = ("_name_or_path", "is_local", "local_files_only")  # where the parts were loaded from, nobody's business later
EXAMPLES = (
    "a panda bouncing over blue stripes",
    "a rocket drifting up over purple stars",
    "a frog turning over pink bricks",
    "a red apple growing over a green gradient",
    "a ghost drifting right over orange checks",
    "an octopus still over blue wood",
)


def settings(recipe: Recipe) -> dict[str, Any]:
    """What the engine's catalogue needs to know to run the model well."""
    side = recipe.scenes.side
    return {
        "name": "emoji-wan",
        "recipe": recipe.name,
        "height": side,
        "width": side,
        "num_frames": recipe.scenes.frames,
        "fps": recipe.fps,
        "steps": recipe.steps,
        "guidance": recipe.guidance,
        "shift": recipe.dit.shift,
        "max_sequence_length": recipe.dit.max_length,
        "example_prompts": list(EXAMPLES),
    }


def networks(recipe: Recipe, folder: Path, start: Path | None) -> tuple[Generator, PreTrainedTokenizerFast, Any]:
    """Averaged generator, tokenizer and autoencoder of a run; what it lacks is that of the pipeline `start`."""
    if start is None:
        tokenizer = build_tokenizer(vocabulary(Scenes.open(recipe.scenes)), recipe.dit.max_length)
        generator = build_generator(recipe, len(tokenizer))
    else:
        generator, tokenizer = load_generator(start)
    checkpoint = folder / "dit" / "checkpoint.pt"
    if start is None or checkpoint.exists():
        generator.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["ema"])
    return generator, tokenizer, AutoencoderKLWan.from_pretrained(newest_vae(folder, start))


def export(recipe: Recipe, folder: Path, out: Path, start: Path | None = None) -> None:
    """Write the run's networks to `out` as bf16; whatever else lies in `out` (model card, credits) stays."""
    generator, tokenizer, vae = networks(recipe, folder, start)
    pipe: Any = assemble(generator.to(torch.bfloat16), vae.to(torch.bfloat16), tokenizer, recipe.dit.shift)
    for part in ("transformer", "text_encoder", "tokenizer", "vae", "scheduler"):
        shutil.rmtree(out / part, ignore_errors=True)
    pipe.save_pretrained(out, max_shard_size=SHARD)
    for config in out.rglob("*config.json"):
        kept = {k: v for k, v in json.loads(config.read_text()).items() if k not in LOCAL}
        config.write_text(json.dumps(kept, indent=2) + "\n")
    (out / "resolute.json").write_text(json.dumps(settings(recipe), indent=2) + "\n")
    for path in out.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def main() -> None:
    """Export a recipe's run."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="nano")
    parser.add_argument("--run", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("weights/emoji-wan"))
    parser.add_argument("--from", dest="start", type=Path, help="saved pipeline for what the run did not train")
    args = parser.parse_args()
    recipe = RECIPES[args.recipe]
    export(recipe, args.run or Path("runs") / recipe.name, args.out, args.start)
    sizes = {str(p): p.stat().st_size for p in args.out.rglob("*.safetensors")}
    print(json.dumps(sizes, indent=1), f"total {sum(sizes.values()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
