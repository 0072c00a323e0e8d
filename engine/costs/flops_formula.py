"""The FLOPs of a denoiser's forward pass without torch: what the page predicts with.

Wan's are a formula. Every other published network's are a polynomial in its tokens n and the text's m,
`a + b·n + c·m + d·n² + e·n·m + f·m²`: exact where attention is full or linear, as work is then of that form. Its
coefficients are solved for from counts and lie in `engine/costs/flops.json`: data that `python -m benchmarks.flops`
writes, and nobody else. `engine.costs.flops_count` counts from the model's own code; tests hold all of them equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from engine.models.catalogue import ModelSpec
from engine.schedules.latent_sizes import LatentSize

COUNTED = Path(__file__).with_name("flops.json")
WANS = ("WanTransformer3DModel", "SkyReelsV2Transformer3DModel")
# Of diffusers' WanTransformer3DModel, where a config leaves a key out.
_DEFAULTS: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 40,
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 13824,
    "num_layers": 40,
}


def reference_tokens(spec: ModelSpec, height: int, width: int) -> int:
    """Tokens of a reference picture beside a run's latents of a size in pixels; 0 for families that have none.

    They are of the full size in every stage, or of the largest area that the family takes: so low stages save less.
    """
    family, multiple = spec.family, spec.geometry.multiple
    if not family.reference:
        return 0
    if family.reference_area and height * width > family.reference_area:
        scale = math.sqrt(family.reference_area / (height * width))
        height, width = int(height * scale), int(width * scale)
    return (height // multiple[0]) * (width // multiple[1])


def denoiser_flops(transformer: Mapping[str, Any], size: LatentSize, text_tokens: int, reference: int = 0) -> int:
    """FLOPs of one forward pass of one sample; a multiply-add counts as two, elementwise work as none.

    `transformer` is the denoiser's config, with its class as `_class_name` where it is not Wan's. A network that is
    neither Wan's nor published gets the estimate of a plain transformer of its depth and width. `reference` counts
    tokens of a reference picture beside the latents' (`reference_tokens`).
    """
    name = transformer.get("_class_name", WANS[0])
    if name in WANS and not transformer.get("image_dim"):
        return wan_flops(transformer, size, text_tokens)
    found = polynomial_of(transformer)
    tokens = size.tokens + reference
    return _plain(transformer, tokens + text_tokens) if found is None else evaluate(found, tokens, text_tokens)


def polynomial_of(transformer: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The coefficients (a, b, c, d, e, f) of a published network with this config; None for any other."""
    given = {key: _plainly(value) for key, value in transformer.items()}
    for network in _counted():
        if all(given.get(key) == value for key, value in network["config"].items()):
            return tuple(network["flops"])
    return None


def evaluate(polynomial: Sequence[int], n: int, m: int) -> int:
    """`a + b·n + c·m + d·n² + e·n·m + f·m²`."""
    return sum(k * term for k, term in zip(polynomial, (1, n, m, n * n, n * m, m * m), strict=True))


@cache
def _counted() -> tuple[Mapping[str, Any], ...]:
    return tuple(json.loads(COUNTED.read_text("utf-8"))["networks"])


def _plainly(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _plain(config: Mapping[str, Any], n: int) -> int:
    """Blocks of attention and a fourfold feed-forward over image and text tokens together."""
    width = config.get("dim") or config.get("model_dim") or _heads(config) * _head_dim(config)
    layers = sum(value for key, value in config.items() if key in LAYERS and isinstance(value, int)) or 1
    return layers * (24 * n * width * width + 4 * n * n * width)


LAYERS = (
    "num_layers", "num_single_layers", "n_layers", "num_mmdit_layers", "num_single_dit_layers", "num_visual_blocks",
)  # fmt: skip


def _heads(config: Mapping[str, Any]) -> int:
    heads = config.get("num_attention_heads") or 16
    return heads if isinstance(heads, int) else max(heads)


def _head_dim(config: Mapping[str, Any]) -> int:
    dim = config.get("attention_head_dim") or 64
    return dim if isinstance(dim, int) else max(dim)


def wan_flops(transformer: Mapping[str, Any], size: LatentSize, text_tokens: int) -> int:
    """FLOPs of one forward pass of Wan's transformer without a picture.

    Counted are the matrix products: patch embedding, attention with its scores, feed-forward, embeddings of time and
    text, output projection.
    """
    config = _DEFAULTS | {key: value for key, value in transformer.items() if value is not None}
    n, width = size.tokens, config["num_attention_heads"] * config["attention_head_dim"]
    cell = math.prod(config["patch_size"])
    ends = n * width * cell * (config["in_channels"] + config["out_channels"])
    time = width * (config["freq_dim"] + width + 6 * width)
    text = text_tokens * width * (config["text_dim"] + width)
    self_attention = 4 * n * width * width + 2 * n * n * width
    cross_attention = 2 * (n + text_tokens) * width * width + 2 * n * text_tokens * width
    feed_forward = 2 * n * width * config["ffn_dim"]
    layer = self_attention + cross_attention + feed_forward
    return 2 * (ends + time + text + config["num_layers"] * layer)
