"""Models on disk: `config.json` and `model.safetensors` in one folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from engine.errors import InvalidInput, ModelNotFound
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.hpdm_model import Hpdm

KIND = "hpdm"


def is_hpdm(folder: Path) -> bool:
    """Whether a folder holds such a model, by its config alone."""
    try:
        raw = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(raw, dict) and raw.get("kind") == KIND


def read_config(folder: Path) -> HpdmConfig:
    """The config of a saved model. Raises ModelNotFound or InvalidInput."""
    if not is_hpdm(folder):
        raise ModelNotFound(f"No hierarchical patch model in {folder}: its config.json is missing or another's.")
    raw = json.loads((folder / "config.json").read_text("utf-8")).get("model")
    if not isinstance(raw, dict):
        raise InvalidInput("config", f"config.json in {folder} has no 'model'; export the model again.")
    return HpdmConfig.from_json(raw)


def save_hpdm(model: Hpdm, folder: Path) -> None:
    """Write the config and the weights, float32 as they were trained [P]."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"kind": KIND, "model": model.config.to_json()}, indent=2)
    (folder / "config.json").write_text(text + "\n", "utf-8")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")


def load_hpdm(folder: Path, device: torch.device | str = "cpu") -> Hpdm:
    """A saved model, ready to sample. Raises ModelNotFound, or InvalidInput for weights that do not fit the config."""
    model = Hpdm(read_config(folder))
    path = folder / "model.safetensors"
    if not path.exists():
        raise ModelNotFound(f"There are no weights in {folder}: model.safetensors is missing.")
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise InvalidInput(
            "model", f"The weights in {folder} do not fit its config; export the model again."
        ) from error
    return model.to(device).eval().requires_grad_(False)
