"""Compiled blocks and attention backends, on the tiny Wan pipeline."""

from __future__ import annotations

import pytest
import torch

from engine.errors import InvalidInput
from engine.models.acceleration import accelerate
from engine.models.families import family_of
from engine.models.options import LoadOptions
from tests.tiny import tiny_wan

WAN = family_of("WanPipeline")
SIZES = ((16, 24), (12, 18), (16, 24), (8, 12), (10, 16))


def forward(pipe, size):
    """One pass at a latent size."""
    x = torch.randn((1, 4, 2, *size), generator=torch.Generator().manual_seed(0))
    text = torch.randn((1, 16, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return pipe.transformer(x, torch.tensor([500]), text, return_dict=False)[0]


def test_blocks_are_compiled_twice_for_any_number_of_sizes():
    torch._dynamo.reset()
    pipe, compilations = tiny_wan(), []

    def counted(graph, inputs):
        compilations.append(len(inputs))
        return graph.forward

    expected = [forward(pipe, size) for size in SIZES]
    accelerate(pipe, WAN, None, True, compiler=counted)
    found = [forward(pipe, size) for size in SIZES]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(expected, found, strict=True))
    first = len(compilations)
    assert first > 0
    for size in ((14, 20), (6, 10), (16, 24)):
        forward(pipe, size)
    assert len(compilations) == first  # no size that comes later is compiled anew
    torch._dynamo.reset()


def test_an_attention_backend_computes_the_same():
    pipe = tiny_wan()
    expected = forward(pipe, SIZES[0])
    accelerate(pipe, WAN, "_native_math", False)
    assert torch.allclose(forward(pipe, SIZES[0]), expected, atol=1e-5)


def test_a_backend_that_is_not_installed_is_refused_in_one_sentence():
    with pytest.raises(InvalidInput, match=r"attention 'sage' cannot be used here: .+"):
        accelerate(tiny_wan(), WAN, "sage", False)


def test_options_name_the_backends_there_are():
    with pytest.raises(InvalidInput, match=r"attention is 'magic'; it must be one of native"):
        LoadOptions.parse(attention="magic")
    options = LoadOptions.from_environment({"RESOLUTE_ATTENTION": "native", "RESOLUTE_COMPILE": "1"})
    assert options.told() == ("native attention", "compiled blocks")
