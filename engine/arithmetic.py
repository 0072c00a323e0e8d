"""The FLOPs of a Wan transformer's forward pass as a formula: what the page predicts with, without torch.

`engine.cost` counts the same on the meta device, from the model's own code; a test holds the two equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from engine.sizes import LatentSize

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


def wan_flops(transformer: Mapping[str, Any], size: LatentSize, text_tokens: int) -> int:
    """FLOPs of one forward pass of one sample; a multiply-add counts as two, elementwise work as none.

    `transformer` is the transformer's config. Counted are the matrix products: patch embedding, attention with its
    scores, feed-forward, embeddings of time and text, output projection.
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
