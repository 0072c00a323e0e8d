"""FLOPs of every family: what is counted without weights equals what a real pass of the pipeline takes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from benchmarks.flops import counted_pass
from engine.costs.flops_count import LOOK_AT_VALUES, forward_flops, schedule_cost
from engine.costs.flops_formula import WANS, denoiser_flops, polynomial_of, reference_tokens
from engine.costs.forward_inputs import INPUTS, inputs_of
from engine.costs.prediction import CostModel
from engine.models.catalogue import catalogue, find_model
from engine.models.families import FAMILIES, family_of
from engine.schedules.latent_sizes import LatentSize, full_size, latent_size
from engine.schedules.schedule import flat, parse_schedule
from tests.families.cases import CASES, configs, geometry, untouched
from tests.families.parts import picture

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")
# Kontext's picture adds its own tokens; VACE's reference adds frames; only the valid part of Mochi's text is attended.
OTHERWISE = ("flux-kontext", "wan-vace-reference", "mochi", "wan-i2v", "wan-flf2v", "skyreels-i2v")
OWN_TIMESTEPS = ("wan-5b", "wan-5b-i2v", "ltx-i2v", "sana-video-i2v")  # one for each token


class _SeenEnough(Exception):
    pass


def first_pass(case, pipe):
    """The denoiser of a pipeline's call and what its first pass is given."""
    model, given = getattr(pipe, family_of(type(pipe).__name__).denoisers[0]), []

    def look(module, args, kwargs):
        given.extend((args, kwargs))
        raise _SeenEnough

    hook = model.register_forward_pre_hook(look, with_kwargs=True)
    with pytest.raises(_SeenEnough):
        untouched(case, pipe)
    hook.remove()
    return model, *given


def text_of(name: str, args, kwargs) -> tuple[int, int]:
    """Samples of a pass, and the length of the text."""
    if name == "z-image":
        return len(args[0]), args[2][0].shape[0]
    text = kwargs["encoder_hidden_states"]
    return text.shape[0], text.shape[1] - (77 if name == "sd3" else 0)


@pytest.mark.parametrize("name", [name for name in CASES if name not in OTHERWISE])
def test_count_without_weights_is_that_of_the_pipelines_own_pass(name):
    case = CASES[name]
    pipe = case.build()
    model, args, kwargs = first_pass(case, pipe)
    if name == "sd3":  # CLIP's tokens here are 16
        kwargs["encoder_hidden_states"] = torch.zeros(2, 77 + 16, 32)
    if type(model).__name__ == "UNet2DConditionModel":
        kwargs["encoder_hidden_states"] = torch.zeros(2, 77, model.config.cross_attention_dim)
    samples, text = text_of(name, args, kwargs)
    size = full_size(geometry(pipe), case.height, case.width, case.frames)
    config = configs(pipe)[family_of(type(pipe).__name__).denoisers[0]]
    if config["_class_name"] in LOOK_AT_VALUES:
        found = counted_pass(model, inputs_of(model, size, text, "cpu"))
    else:
        found = forward_flops(config, size, text)
    if name in OWN_TIMESTEPS:  # their embedding for every token, a few hundredths of the whole, is not counted
        kwargs["timestep"] = torch.ones(samples, dtype=kwargs["timestep"].dtype)
    assert samples * found == counted_pass(_positional(model, args), kwargs)


def _positional(model, args):
    return lambda **kwargs: model(*args, **kwargs)


def test_every_denoiser_of_a_family_has_inputs():
    made = {configs(pipe)[FAMILIES[type(pipe).__name__].denoisers[0]]["_class_name"] for pipe in _all()}
    assert made == set(INPUTS)


def _all():
    return [case.build() for case in CASES.values()]


@pytest.mark.parametrize("id", [id for id, spec in catalogue().items() if not spec.is_local])
def test_every_published_model_is_counted_not_estimated(id):
    config = find_model(id).transformer
    assert (config["_class_name"] in WANS and not config.get("image_dim")) or polynomial_of(config) is not None


@pytest.mark.parametrize("rate", [1.0, 0.75])
@pytest.mark.parametrize("id", ["flux.2-klein-4b", "sana-1.6b", "auraflow-v0.3", "kandinsky5-lite", "sana-video-2b"])
def test_polynomials_agree_with_the_count_at_the_models_own_size(id, rate):
    spec = find_model(id)
    own = spec.defaults
    size = latent_size(full_size(spec.geometry, own.height, own.width, own.frames), rate, spec.geometry.patch)
    counted = forward_flops(spec.transformer, size, 128)
    assert denoiser_flops(spec.transformer, size, 128) == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize("id", ["flux.1-dev", "hunyuan-video", "qwen-image", "mochi-1", "sd3-medium"])
def test_the_estimate_for_networks_that_nobody_counted_is_of_the_right_size(id):
    """Within a factor of two in itself, and within 15 % in what counts: the ratio of two sizes."""
    spec = find_model(id)
    own = spec.defaults
    full = full_size(spec.geometry, own.height, own.width, own.frames)
    low = latent_size(full, 0.5, spec.geometry.patch)
    changed = {**spec.transformer, "unheard_of": 1, "attention_head_dim": spec.transformer["attention_head_dim"] + 2}
    assert polynomial_of(changed) is None
    exact, guess = (
        [denoiser_flops(config, size, 256) for size in (full, low)] for config in (spec.transformer, changed)
    )
    assert 0.5 < guess[0] / exact[0] < 2
    assert guess[1] / guess[0] == pytest.approx(exact[1] / exact[0], rel=0.15)


def test_guidance_costs_a_second_pass_only_where_the_pipeline_makes_one():
    passes = {"flux.1-dev": 1, "hunyuan-video": 1, "wan2.1-1.3b": 2, "hunyuan-video-1.5": 2, "mochi-1": 2}
    assert {id: find_model(id).family.passes(5.0) for id in passes} == passes
    mochi = find_model("mochi-1")
    once, twice = (
        schedule_cost(mochi, flat(4), height=480, width=848, frames=31, guidance=scale) for scale in (1.0, 4.5)
    )
    assert twice.flops == 2 * once.flops


@pytest.mark.parametrize("name", ["flux-kontext", "flux2", "flux2-klein"])
def test_a_reference_pictures_tokens_are_counted_as_the_pipeline_passes_them(name):
    case = CASES[name]
    case = replace(case, call={**case.call, "image": picture().resize((case.width, case.height))})
    pipe = case.build()
    model, args, kwargs = first_pass(case, pipe)
    samples, text = text_of(name, args, kwargs)
    cut = geometry(pipe)
    size = full_size(cut, case.height, case.width, 1)
    family = family_of(type(pipe).__name__)
    reference = reference_tokens(SimpleNamespace(family=family, geometry=cut), case.height, case.width)
    assert kwargs["hidden_states"].shape[1] == size.tokens + reference == 2 * size.tokens
    config = configs(pipe)["transformer"]
    assert samples * forward_flops(config, size, text, reference) == counted_pass(_positional(model, args), kwargs)


@pytest.mark.parametrize(("id", "speedup"), [("flux.1-kontext", 1.27), ("flux.2-klein-4b", 1.27)])
def test_a_schedule_saves_less_where_a_reference_stays_at_full_size(id, speedup):
    spec, schedule = find_model(id), parse_schedule(28, [0.5], [14])
    asked = {"height": 1024, "width": 1024, "frames": 1, "guidance": 1.0}
    assert schedule_cost(spec, schedule, **asked).speedup == pytest.approx(1.55, abs=0.01)
    assert schedule_cost(spec, schedule, **asked, image=True).speedup == pytest.approx(speedup, abs=0.01)
    predicted = CostModel(spec, None, 1024, 1024, 1, 1.0, conditions=("image",)).seconds(schedule)
    assert predicted.by_flops == pytest.approx(speedup, abs=0.01)


def test_a_reference_above_the_familys_area_is_scaled_down():
    klein, kontext, wan = (find_model(id) for id in ("flux.2-klein-4b", "flux.1-kontext", "wan2.1-i2v-480p"))
    assert [reference_tokens(spec, 1024, 1024) for spec in (klein, kontext, wan)] == [4096, 4096, 0]
    assert [reference_tokens(spec, 2048, 2048) for spec in (klein, kontext)] == [4096, 4 * 4096]


def test_latents_that_do_not_fill_a_patch_in_time_are_padded_as_the_pipeline_pads_them():
    pipe = CASES["cogvideox-5b"].build()
    config = {**configs(pipe)["transformer"], "patch_size_t": 2}
    three, four = (forward_flops(config, LatentSize(frames, 8, 12, 1.0, 1.0, 0), 16) for frames in (3, 4))
    assert three == four
