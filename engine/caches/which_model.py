"""Which model can take which cache, said before anything runs. No torch; `engine.caches.apply` looks at the model.

TeaCache's coefficients are those that LightX2V ships in `configs/caching/teacache/*.json` and TeaCache's authors
publish (ali-vilab/TeaCache, TeaCache4Wan2.1): polynomials, highest power first, for `use_ret_steps` true and false.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.caches.cache_choice import TECHNIQUES, CacheChoice
from engine.errors import InvalidInput
from engine.models.catalogue import ModelSpec

Polynomial = tuple[float, ...]


@dataclass(frozen=True)
class Coefficients:
    """TeaCache's polynomials of one model: over the modulation (`ret_steps`), and over the embedding itself."""

    modulation: Polynomial
    embedding: Polynomial

    def of(self, ret_steps: bool) -> Polynomial:
        return self.modulation if ret_steps else self.embedding


WAN_1_3B = Coefficients(
    (-5.21862437e04, 9.23041404e03, -5.28275948e02, 1.36987616e01, -4.99875664e-02),
    (2.39676752e03, -1.31110545e03, 2.01331979e02, -8.29855975e00, 1.37887774e-01),
)
WAN_14B = Coefficients(
    (-3.03318725e05, 4.90537029e04, -2.65530556e03, 5.87365115e01, -3.15583525e-01),
    (-5784.54975374, 5449.50911966, -1811.16591783, 256.27178429, -13.02252404),
)
WAN_I2V_480 = Coefficients(
    (2.57151496e05, -3.54229917e04, 1.40286849e03, -1.35890334e01, 1.32517977e-01),
    (-3.02331670e02, 2.23948934e02, -5.25463970e01, 5.87348440e00, -2.01973289e-01),
)
WAN_I2V_720 = Coefficients(
    (8.10705460e03, 2.13393892e03, -3.72934672e02, 1.66203073e01, -4.17769401e-02),
    (-114.36346466, 65.26524496, -18.82220707, 4.91518089, -0.23412683),
)
WAN_TI2V_5B = Coefficients(
    (), (1.57472669e05, -1.15702395e05, 3.10761669e04, -3.83116651e03, 2.21608777e02, -4.81179567e00)
)

WAN = ("WanPipeline", "WanImageToVideoPipeline")
# Pipelines of diffusers 0.42 whose loop does not name its passes to the caches; a test asks the library itself.
SILENT = frozenset(
    (
        *("HunyuanVideoImageToVideoPipeline", "SanaVideoPipeline", "SanaImageToVideoPipeline"),
        *("Kandinsky5T2VPipeline", "Kandinsky5I2VPipeline", "FluxKontextPipeline", "Flux2Pipeline", "ChromaPipeline"),
        *("StableDiffusion3Pipeline", "StableDiffusionPipeline", "StableDiffusionXLPipeline", "ZImagePipeline"),
        *("SanaPipeline", "AuraFlowPipeline"),
    )
)
# Blocks whose results diffusers has not registered, and for First block those that it reads the wrong way round.
STRANGE_BLOCKS = frozenset(("SkyReelsV2Pipeline", "SkyReelsV2ImageToVideoPipeline", "HunyuanVideo15Pipeline"))
TURNED_BLOCKS = frozenset(("Flux2KleinPipeline",))


def coefficients_for(spec: ModelSpec, height: int) -> Coefficients | None:
    """A model's polynomials: those in its own `resolute.json`, else the published ones; None where there are none."""
    shape = tuple(spec.transformer.get(key) for key in ("num_attention_heads", "num_layers", "in_channels"))
    if spec.pipeline not in WAN:
        return None
    own = _fitted(spec.location) if spec.is_local else None
    if own is not None:
        return own
    if shape == (40, 40, 36):
        return WAN_I2V_720 if height >= 720 else WAN_I2V_480
    published: dict[tuple[Any, ...], Coefficients] = {
        (12, 30, 16): WAN_1_3B,
        (40, 40, 16): WAN_14B,
        (24, 30, 48): WAN_TI2V_5B,
    }
    return published.get(shape)


@lru_cache(maxsize=16)
def _fitted(folder: str) -> Coefficients | None:
    """What `benchmarks/caches.py --fit` has written beside a model; a damaged file says nothing."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        found = json.loads((Path(folder) / "resolute.json").read_text("utf-8"))["teacache"]
        return Coefficients(*(tuple(float(x) for x in found[name]) for name in ("modulation", "embedding")))
    return None


def refusal(choice: CacheChoice, spec: ModelSpec) -> str | None:
    """Why a model cannot take a cache, in one sentence; None where it can, as far as its configs tell."""
    title = TECHNIQUES[choice.name].title
    if spec.levels:
        return f"{spec.title} takes no feature cache; its own keeps what finished levels say: context=device or cpu."
    if spec.pipeline in SILENT:
        return f"{spec.title}'s pipeline does not tell a cache which pass of guidance is under way; none can be right."
    if choice.name == "fastercache":
        return (
            "FasterCache cannot run here: diffusers' needs both passes of guidance in one batch and arguments by name, "
            f"and fails on Wan; nobody has checked it on {spec.title}; use TaylorSeer or PAB."
        )
    if choice.name == "teacache":
        return _tea_refusal(choice, spec)
    config = spec.transformer
    if choice.name in ("firstblock", "magcache") and spec.pipeline in STRANGE_BLOCKS:
        return f"{title} does not know what the blocks of {spec.title} return; use TaylorSeer or PAB."
    if choice.name == "firstblock" and spec.pipeline in TURNED_BLOCKS:
        return f"{title} of diffusers 0.42 fails on the blocks of {spec.title}; use MagCache or TaylorSeer."
    if choice.name == "seacache" and (spec.pipeline != "WanPipeline" or _channels(config) != "equal"):
        return (
            f"SeaCache needs to know the step and the noise level of every evaluation, and {spec.title}'s pipeline "
            "tells them in Wan text-to-video alone; use First block or MagCache."
        )
    if choice.name == "magcache" and spec.two_experts:
        return f"{title} counts steps per transformer, and {spec.title} has two; use TeaCache or First block."
    return None


def _tea_refusal(choice: CacheChoice, spec: ModelSpec) -> str | None:
    if spec.pipeline not in WAN:
        return f"TeaCache is here for Wan text-to-video and image-to-video only; {spec.title} takes First block."
    own = coefficients_for(spec, spec.defaults.height)
    if choice.get("coefficients") is None and not (own and own.of(choice["ret_steps"])):
        other = f", or ret_steps={str(not choice['ret_steps']).lower()}" if own else ""
        return f"There are no TeaCache coefficients for {spec.title}: give them as `coefficients`{other}."
    return None


def _channels(config: Mapping[str, object]) -> str:
    return "equal" if config.get("in_channels", 16) == config.get("out_channels", 16) else "conditioned"


def offered(spec: ModelSpec) -> list[dict[str, Any]]:
    """Every technique with its main figure, and why the model cannot take it: plain JSON, for the board."""
    return [
        {
            "name": technique.name,
            "title": technique.title,
            "summary": technique.summary,
            "figure": technique.main.name,
            "meaning": technique.main.summary,
            "default": technique.main.default,
            "low": technique.main.low,
            "high": technique.main.high,
            "whole": isinstance(technique.main.default, int),
            "refused": refusal(technique.choice(), spec),
        }
        for technique in TECHNIQUES.values()
    ]


def checked(choice: CacheChoice | None, spec: ModelSpec) -> CacheChoice | None:
    """A choice that the model can take, else InvalidInput with the reason."""
    reason = None if choice is None else refusal(choice, spec)
    if reason:
        raise InvalidInput("cache", reason)
    return choice


def resolved(choice: CacheChoice, spec: ModelSpec, height: int) -> CacheChoice:
    """A checked choice with the model's own coefficients filled in, so that it says all that a run needs."""
    if choice.name == "teacache" and choice.get("coefficients") is None:
        own = coefficients_for(spec, height)
        if own is not None:
            return choice.with_values(coefficients=own.of(choice["ret_steps"]))
    return choice
