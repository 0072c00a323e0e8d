"""Count every published network's work and write its polynomial: `python -m benchmarks.flops [ID ...]`.

Six counts at small sizes give the six coefficients; two more at other sizes must be met exactly. Networks that look at
values while they run (no meta device) are counted on the CPU with two and three layers, as work is linear in them.
Writes `engine/costs/flops.json`; with ids, only their networks are counted anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import diffusers
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.costs.flops_count import LOOK_AT_VALUES, forward_flops
from engine.costs.flops_formula import COUNTED, WANS, evaluate
from engine.costs.forward_inputs import inputs_of
from engine.models.catalogue import ModelSpec, catalogue
from engine.schedules.latent_sizes import Geometry, LatentSize, full_size

SIDES = ((8, 8), (8, 12), (16, 12), (16, 24))  # in patches: multiples of 32 tokens, to which Z-Image pads
TEXTS = (32, 64, 128)
POINTS = ((0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 1))  # of SIDES and TEXTS
CHECKS = ((3, 0), (3, 2))


def size_of(cut: Geometry, sides: tuple[int, int]) -> LatentSize:
    multiple, stride = cut.multiple, cut.stride
    return full_size(cut, multiple[0] * sides[0], multiple[1] * sides[1], stride[0] + 1 if stride[0] > 1 else 1)


def count(config: Mapping[str, Any], size: LatentSize, text: int) -> int:
    """FLOPs of one forward pass, from the model's own code."""
    if config["_class_name"] not in LOOK_AT_VALUES:
        return forward_flops(config, size, text)
    two, three = (counted_on_cpu({**config, "num_layers": layers}, size, text) for layers in (2, 3))
    return two + (config["num_layers"] - 2) * (three - two)


def counted_on_cpu(config: Mapping[str, Any], size: LatentSize, text: int) -> int:
    model = getattr(diffusers, config["_class_name"]).from_config(dict(config)).eval()
    return counted_pass(model, inputs_of(model, size, text, "cpu"))


def counted_pass(model: Any, inputs: Mapping[str, Any]) -> int:
    """FLOPs of a pass on the CPU, where the counter does not know attention's kernel by itself."""

    def attention(q: Any, k: Any, v: Any, *args: Any, out_shape: Any = None, **more: Any) -> int:
        batch, heads, queries, dim = q
        return 2 * batch * heads * queries * k[2] * (dim + v[3])

    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping={kernel: attention}) as counter:
        model(**inputs)
    return counter.get_total_flops()


def polynomial(spec: ModelSpec) -> list[int]:
    """The coefficients of a model's network. Raises ValueError where two more counts are not met."""

    def at(sides: int, text: int) -> tuple[int, int, int]:
        size = size_of(spec.geometry, SIDES[sides])
        return size.tokens, TEXTS[text], count(spec.transformer, size, TEXTS[text])

    points = [at(*point) for point in POINTS]
    terms = np.array([[1, n, m, n * n, n * m, m * m] for n, m, _ in points], dtype=float)
    found = [round(x) for x in np.linalg.solve(terms, [flops for *_, flops in points])]
    for n, m, flops in (at(*check) for check in CHECKS):
        if abs(evaluate(found, n, m) / flops - 1) > 1e-6:
            raise ValueError(f"{spec.id} at {n} tokens and {m} of text: {evaluate(found, n, m)}, counted {flops}")
    return found


def main(ids: Sequence[str]) -> None:
    kept = json.loads(COUNTED.read_text("utf-8"))["networks"] if COUNTED.exists() else []
    networks = {json.dumps(one["config"], sort_keys=True): one["flops"] for one in kept}
    for id, spec in catalogue().items():
        config = dict(spec.transformer)
        key = json.dumps(config, sort_keys=True)
        if spec.is_local or (config["_class_name"] in WANS and not config.get("image_dim")):
            continue
        if key not in networks or id in ids:
            networks[key] = polynomial(spec)
            print(id, networks[key], flush=True)
            write(networks)


def write(networks: Mapping[str, list[int]]) -> None:
    lines = [json.dumps({"config": json.loads(key), "flops": flops}) for key, flops in networks.items()]
    head = '{"made_by": "python -m benchmarks.flops", "networks": [\n'
    COUNTED.write_text(head + ",\n".join(lines) + "\n]}\n", "utf-8")


if __name__ == "__main__":
    torch.manual_seed(0)
    main(sys.argv[1:])
