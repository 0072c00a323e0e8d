"""What a model takes of a card before it is loaded: weights by their number, activations by size. No torch here.

An estimate, and told as one. Weights are parameters times bytes; activations grow with what is in flight: the tokens of
one evaluation, and the pixels that the autoencoder decodes at once. The factors are peaks of live tensors, counted on
the meta device with the published configs (docs/loading.md); workspaces and fragmentation come on top as `SLACK`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from engine.models.catalogue import ModelSpec, Part
from engine.models.load_options import QUANTISATIONS, LoadOptions, vae_dtype
from engine.models.weight_files import weights_in
from engine.schedules.latent_sizes import full_size
from engine.wording import gb_text

WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
SLACK = 1.1  # allocator, workspaces, context
TOKEN_WIDTHS = 16  # live values of a token, in hidden widths: 8 to 16 were counted
GROUP_SHARE = 0.05  # of the weights that take part in group offload: a layer and the next are on the card
# Live bytes while a picture is decoded in bfloat16: a pixel of the frame, and a pixel of every frame.
DECODING: Mapping[str, tuple[float, float]] = {
    "AutoencoderKLWan": (10_800, 6),
    "AutoencoderKLLTXVideo": (20, 100),
    "AutoencoderKLHunyuanVideo": (8_000, 1_500),
    "AutoencoderKLHunyuanVideo15": (0, 1_800),
    "AutoencoderKLCogVideoX": (45_000, 6),
    "AutoencoderKLMochi": (0, 2_000),
    "AutoencoderKL": (1_560, 6),
    "AutoencoderKLFlux2": (1_560, 6),
    "AutoencoderKLQwenImage": (3_470, 6),
    "AutoencoderDC": (2_000, 6),
}
PLAIN_DECODING = (10_000.0, 6.0)  # of a class that was not counted
TILES: Mapping[str, int] = {"AutoencoderKL": 1024, "AutoencoderKLFlux2": 1024, "AutoencoderDC": 512}  # pixels a side
PLAIN_TILE, TILE_FRAMES = 256, 16
# Pipelines that evaluate the guided and the unguided prompt one after the other; the others do both at once.
ONE_BY_ONE = ("Wan", "SkyReels", "Qwen", "Kandinsky5", "HunyuanVideo", "Chroma", "Flux", "ZImage")


@dataclass(frozen=True)
class Need:
    """Bytes on the card: the weights that are there at once, and the peak of every phase.

    `host` are bytes of the machine's own memory that the weights wait in; with group offload they are pinned, so that
    nothing else can have them.
    """

    weights: float
    text: float
    denoising: float
    decoding: float
    host: float = 0.0

    @property
    def peak(self) -> float:
        return max(self.text, self.denoising, self.decoding)

    @property
    def phase(self) -> str:
        """Where the peak is."""
        return max(("denoising", "decoding", "text"), key=lambda name: getattr(self, name))


def parts_of(spec: ModelSpec) -> tuple[Part, ...]:
    """A model's networks; those of a folder by the headers of its weights. Empty where it has none that can be read."""
    if spec.parts or spec.levels or not spec.is_local:
        return spec.parts
    found = []
    for folder in sorted(path for path in Path(spec.location).iterdir() if path.is_dir()):
        count = sum(_parameters(file) for file in weights_in(folder))
        if count:
            kind = "denoiser" if folder.name in spec.family.denoisers else "vae" if folder.name == "vae" else "text"
            found.append(Part(folder.name, kind, float(count)))
    return tuple(found)


def needed(
    spec: ModelSpec, options: LoadOptions, *, height: int = 0, width: int = 0, frames: int = 0, dtype: str = "bfloat16"
) -> Need | None:
    """What a run at a size needs (the model's own where it is 0); None where nothing is known of its weights."""
    parts, own = parts_of(spec), spec.defaults
    if not parts:
        return None
    height, width, frames = height or own.height, width or own.width, frames or own.frames
    value = WIDTHS[options.dtype or dtype]
    vae = WIDTHS[vae_dtype(options, str(spec.vae.get("_class_name")), options.dtype or dtype)]
    weights = [(part.kind, _weights(part, options, vae if part.kind == "vae" else value)) for part in parts]
    resident = _resident(weights, options)
    text = denoising = decoding = resident
    if options.offload == "model":
        text, denoising, decoding = (
            max((size for of, size in weights if of == kind), default=0.0) for kind in ("text", "denoiser", "vae")
        )
    size = full_size(spec.geometry, height, width, frames)
    both = spec.defaults.guidance > 1 and not spec.family.distilled and not spec.pipeline.startswith(ONE_BY_ONE)
    return Need(
        weights=resident,
        text=SLACK * text,
        denoising=SLACK * (denoising + (1 + both) * size.tokens * _width(spec) * TOKEN_WIDTHS * value),
        decoding=SLACK * (decoding + _decoding(spec, options, height * width, frames) * vae / 2),
        host=0.0 if options.offload == "none" else sum(size for _, size in weights),
    )


def fits(spec: ModelSpec, options: LoadOptions, card: float, host: float | None = None) -> str | None:
    """None where a run at the model's own size fits a card of so many bytes, else one sentence that says what would.

    `host` are the bytes of the machine's own memory, which offloaded weights must fit into; None where it is not known.
    """
    need = needed(spec, options)
    if need is None:
        return None
    if host is not None and need.host > host:
        pinned = ", pinned" if options.offload == "group" else ""
        return (
            f"{options.offload} offload keeps about {gb_text(need.host)} of weights in the machine's memory{pinned}, "
            f"and it has {gb_text(host)}; use quantised weights, or a machine with more."
        )
    if need.peak <= card:
        return None
    told = (
        f"about {gb_text(need.peak)} are needed at {spec.defaults.width}x{spec.defaults.height} "
        f"({gb_text(need.weights)} of weights, the peak in {need.phase}), and the card has {gb_text(card)}"
    )
    for words, changed in _remedies(options):
        lower = needed(spec, changed)
        if lower is not None and lower.peak <= card and (host is None or lower.host <= host):
            return f"{told}; with {words} it needs about {gb_text(lower.peak)}."
    return f"{told}; use a smaller size, fewer frames, or a larger card."


def _remedies(options: LoadOptions) -> list[tuple[str, LoadOptions]]:
    """What lowers the need, the cheapest in time first."""
    tiled = replace(options, tiling=True)
    movable = not (options.quantise or "").startswith("bnb")  # layer by layer
    return [
        ("VAE tiling", tiled),
        ("model offload", replace(options, offload="model")),
        ("model offload and VAE tiling", replace(tiled, offload="model")),
        ("8-bit weights, model offload and VAE tiling", replace(tiled, offload="model", quantise="bnb-8bit")),
        ("4-bit weights, model offload and VAE tiling", replace(tiled, offload="model", quantise="bnb-4bit")),
        *([("group offload and VAE tiling", replace(tiled, offload="group"))] if movable else []),
    ]


def _weights(part: Part, options: LoadOptions, value: int) -> float:
    if part.kind == "denoiser" and options.quantise:
        return part.parameters * QUANTISATIONS[options.quantise][1]
    return part.parameters * value


def _resident(weights: list[tuple[str, float]], options: LoadOptions) -> float:
    """Bytes of weights, given by kind, that are on the card at once; the autoencoder takes no part in group offload."""
    if options.offload == "model":
        return max(size for _, size in weights)
    share = GROUP_SHARE if options.offload == "group" else 1.0
    return sum(size * (1.0 if kind == "vae" else share) for kind, size in weights)


def _width(spec: ModelSpec) -> int:
    """The denoiser's hidden width."""
    config = spec.transformer
    for key in ("model_dim", "dim"):
        if key in config:
            return int(config[key])
    if "block_out_channels" in config:
        return int(max(config["block_out_channels"]))
    heads, head = config.get("num_attention_heads", 16), config.get("attention_head_dim", 64)
    return int(heads) * int(head)


def _decoding(spec: ModelSpec, options: LoadOptions, pixels: int, frames: int) -> float:
    """Bytes in flight while the autoencoder decodes in bfloat16, with the decoded video itself."""
    name = str(spec.vae.get("_class_name"))
    fixed, each = DECODING.get(name, PLAIN_DECODING)
    video = 2 * 3 * 2 * pixels * frames  # as it is decoded, and as it is handed out
    if options.tiling:
        pixels, frames = min(pixels, TILES.get(name, PLAIN_TILE) ** 2), min(frames, TILE_FRAMES)
    return pixels * (fixed + each * frames) + video


def _parameters(file: Path) -> int:
    """How many numbers a safetensors file holds, by its header; 0 where it has none that can be read."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, 100_000_000)))
        return sum(_product(value["shape"]) for name, value in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return 0


def _product(shape: list[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count
