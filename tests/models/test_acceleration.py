"""Compiled blocks and attention backends, on tiny pipelines."""

from __future__ import annotations

import pytest
import torch

from engine.caches.diffusers_caches import blocks_of
from engine.costs.forward_inputs import inputs_of
from engine.errors import InvalidInput
from engine.models.acceleration import accelerate
from engine.models.load_options import LoadOptions
from engine.schedules.latent_sizes import LatentSize
from tests.families.builders_image import aura_flow, sana, sd3
from tests.families.builders_video import cog, mochi, sana_video
from tests.families.cases import CASES
from tests.families.parts import seeded
from tests.tiny import tiny_wan

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
    accelerate(pipe, None, True, compiler=counted)
    found = [forward(pipe, size) for size in SIZES]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(expected, found, strict=True))
    first = len(compilations)
    assert first > 0
    for size in ((14, 20), (6, 10), (16, 24)):
        forward(pipe, size)
    assert len(compilations) == first  # no size that comes later is compiled anew
    torch._dynamo.reset()


def answer(model, size):
    """One pass of any kind of network; ones all over."""
    tokens = size[0] * size[1]
    with torch.no_grad():
        return model(**inputs_of(model, LatentSize(1, *size, 1.0, 1.0, tokens), 16, "cpu"), return_dict=False)[0]


@pytest.mark.filterwarnings("ignore:In CPU autocast")  # of Mochi's own
@pytest.mark.parametrize("build", [sd3, cog, mochi, sana, sana_video, aura_flow])
def test_blocks_are_compiled_of_networks_that_name_none(build):
    torch._dynamo.reset()
    pipe, compilations = seeded(build)(), []
    model = pipe.transformer

    def counted(graph, inputs):
        compilations.append(len(inputs))
        return graph.forward

    sizes = ((8, 12), (6, 8), (8, 12), (4, 6))
    if build is cog:  # its positions are of one size
        sizes = sizes[:1]
    expected = [answer(model, size) for size in sizes]
    accelerate(pipe, None, True, compiler=counted)
    blocks = {
        **blocks_of(model),
        **dict(getattr(model, "joint_transformer_blocks", torch.nn.Module()).named_children()),
    }
    assert blocks
    assert all(block._compiled_call_impl is not None for block in blocks.values())
    found, counts = [], []
    for size in sizes:
        found.append(answer(model, size))
        counts.append(len(compilations))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(expected, found, strict=True))
    assert counts[0] > 0
    assert len(set(counts[1:])) <= 1  # nothing is compiled after the second size
    torch._dynamo.reset()


def test_a_network_without_blocks_is_refused_in_one_sentence():
    pipe = tiny_wan()
    pipe.transformer = torch.nn.Linear(2, 2)
    with pytest.raises(InvalidInput, match=r"this transformer has no repeated blocks to compile; leave compile off\."):
        accelerate(pipe, None, True, compiler="eager")


def test_the_second_graph_serves_the_first_size_too():
    torch._dynamo.reset()
    pipe, ran, made = tiny_wan(), [], [*range(99, -1, -1)]

    def named(graph, inputs):
        number = made.pop()

        def run(*args):
            ran.append(number)
            return graph.forward(*args)

        return run

    accelerate(pipe, None, True, compiler=named)
    for size in (SIZES[0], SIZES[1]):
        forward(pipe, size)
    first, second = ran[0], ran[-1]
    ran.clear()
    forward(pipe, SIZES[0])
    assert first != second
    assert set(ran) == {second}
    torch._dynamo.reset()


def test_an_attention_backend_computes_the_same():
    pipe = tiny_wan()
    expected = forward(pipe, SIZES[0])
    accelerate(pipe, "_native_math", False)
    assert torch.allclose(forward(pipe, SIZES[0]), expected, atol=1e-5)
    assert not torch.equal(forward(pipe, SIZES[0]), expected), "another kernel rounds otherwise"
    assert torch.equal(forward(tiny_wan(), SIZES[0]), expected), "it is this network's alone"


def test_a_backend_that_is_not_installed_is_refused_in_one_sentence():
    with pytest.raises(InvalidInput, match=r"attention 'sage' cannot be used here: .+"):
        accelerate(tiny_wan(), "sage", False)


def test_a_network_whose_attention_is_fixed_is_refused_a_backend():
    case = CASES["sd3"]
    with pytest.raises(InvalidInput, match="has only its own attention"):
        accelerate(case.build(), "native", False)


def test_options_name_the_backends_there_are():
    with pytest.raises(InvalidInput, match=r"attention is 'magic'; it must be one of native"):
        LoadOptions.parse(attention="magic")
    options = LoadOptions.from_environment({"RESOLUTE_ATTENTION": "native", "RESOLUTE_COMPILE": "1"})
    assert options.told() == ("native attention", "compiled blocks")
