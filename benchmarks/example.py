"""The stored example of the studio's first page, made with the shipped model: `make example`.

    python -m benchmarks.example [--prompt TEXT] [--seed N]

Writes report.json, one mp4 a run and its difference to the baseline into ui/example. Look at it before committing it.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from engine.comparing.comparison import compare
from engine.experiments.experiment import Track, make_experiment
from engine.experiments.presets import load_preset
from engine.experiments.settings import Settings
from engine.models.loading import load_model
from engine.switching.policies import policy_named

FOLDER = Path(__file__).parent.parent / "ui" / "example"
PROMPT = "a red apple bouncing over blue stripes"
SEED = 1
TRACKS = (("two-stage-0.75", "anchored"), ("u-0.75", "anchored"), ("two-stage-0.5", "lightx2v"))


def main(
    prompt: Annotated[str, typer.Option(help="What to show.")] = PROMPT,
    seed: Annotated[int, typer.Option(help="Of all runs.")] = SEED,
) -> None:
    """Make the example again."""
    model = load_model("emoji-wan")
    presets = [(load_preset(name, model.spec.defaults.steps), policy) for name, policy in TRACKS]
    tracks = [Track(preset.name, preset.schedule, policy_named(policy)) for preset, policy in presets]
    experiment = make_experiment(model.spec, tracks, Settings(prompt=prompt, seed=seed))
    with tempfile.TemporaryDirectory() as made:
        compare(experiment, model, Path(made), numbered=True, other_seed=True)
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        for file in sorted(Path(made).iterdir()):
            if file.suffix in (".mp4", ".json"):
                shutil.copy(file, FOLDER / file.name)


if __name__ == "__main__":
    typer.run(main)
