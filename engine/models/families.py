"""The families: every diffusers pipeline that can follow a schedule, one short entry each, and why others cannot.

An entry says only in what a family differs: how its latents lie in memory, what its calls need beside the prompt. What
depends on the picture's size the pipeline computes itself, as it is called anew at every stage's size. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.errors import InvalidInput

LayoutName = Literal["video", "frames_first", "channels_last", "image", "packed", "tokens"]
Condition = Literal["image", "last_image", "video"]
Sized = Callable[[tuple[int, int], tuple[int, int]], Mapping[str, Any]]
Configured = Callable[[Mapping[str, Any]], bool]


def _never(config: Mapping[str, Any]) -> bool:
    return False


def _always(config: Mapping[str, Any]) -> bool:
    return True


def _replaces(config: Mapping[str, Any]) -> bool:
    """HunyuanVideo I2V came twice: with the picture beside the latents, and in the place of the first of them."""
    return config.get("image_condition_type") == "token_replace"


def _told_full_size(stage: tuple[int, int], full: tuple[int, int]) -> Mapping[str, Any]:
    """SDXL is told the picture's size: the full one always, or low stages would draw a small picture."""
    return {"original_size": full, "target_size": full}


def _own_area(stage: tuple[int, int], full: tuple[int, int]) -> Mapping[str, Any]:
    """Kontext would scale every size up to its own area."""
    return {"max_area": stage[0] * stage[1]}


@dataclass(frozen=True)
class Family:
    """One pipeline class of diffusers, as a run needs to know it."""

    pipeline: str
    layout: LayoutName = "video"  # of the latents that the pipeline prepares; see engine.sampling.latent_layouts
    # Of the denoiser's config: whether the first frame is a condition's, and the scheduler steps the others alone.
    holds_first: Configured = _never
    denoisers: tuple[str, ...] = ("transformer",)  # components, the one with the config first
    call: Mapping[str, Any] = field(default_factory=dict)  # arguments of every call
    sized: Sized | None = None  # more of them, from the stage's (height, width) in pixels and the full one
    guidance: str = "guidance_scale"  # what the argument is called
    guider: bool = False  # it is no argument of the call, but of the pipeline's component of that name
    distilled: bool = False  # guidance is told to the model, which then runs once a step
    negative: bool = True  # takes a negative prompt
    text_length: str | None = "max_sequence_length"  # what the argument is called, if there is one
    frames: str = "num_frames"  # what the argument is called; stills take none
    asks_for_table: bool = False  # of levels at its scheduler; others hand it a finished one (`solver_choice`)
    least_steps: int = 1  # with fewer its table of levels cannot be made
    conditions: tuple[Condition, ...] = ()  # images or videos that a call takes beside the prompt
    needs: tuple[Condition, ...] = ()  # those of them that it cannot do without
    reference: bool = False  # whether the image's tokens stand beside the latents', as many in every stage
    reference_area: int | None = None  # pixels to which a larger one is scaled down

    def passes(self, guidance: float) -> int:
        """Forward passes of one step of one sample."""
        return 2 if guidance > 1 and not self.distilled else 1

    @property
    def output(self) -> Literal["video", "image"]:
        return "image" if self.layout in ("image", "packed") else "video"


_EXPERTS = ("transformer", "transformer_2")
_BINNED = {"use_resolution_binning": False}  # else sizes would snap to a list
_EMBEDDED: Mapping[str, Any] = {"distilled": True, "negative": False}

FAMILIES: Mapping[str, Family] = {
    family.pipeline: family
    for family in (
        Family("WanPipeline", denoisers=_EXPERTS, asks_for_table=True),
        Family(
            "WanImageToVideoPipeline", denoisers=_EXPERTS, conditions=("image", "last_image"), needs=("image",),
            asks_for_table=True,
        ),
        Family("WanVACEPipeline", denoisers=_EXPERTS, conditions=("video",), asks_for_table=True),
        Family("SkyReelsV2Pipeline", asks_for_table=True),
        Family(
            "SkyReelsV2ImageToVideoPipeline", conditions=("image", "last_image"), needs=("image",), asks_for_table=True,
        ),
        Family("LTXPipeline", "tokens", least_steps=2),
        Family(
            "LTXImageToVideoPipeline", "tokens", least_steps=2, holds_first=_always, conditions=("image",),
            needs=("image",),
        ),
        Family("HunyuanVideoPipeline", **_EMBEDDED),
        Family(
            "HunyuanVideoImageToVideoPipeline", holds_first=_replaces, conditions=("image",), needs=("image",),
            **_EMBEDDED,
        ),
        Family("HunyuanVideo15Pipeline", guider=True, text_length=None),
        Family("CogVideoXPipeline", "frames_first"),
        Family("CogVideoXImageToVideoPipeline", "frames_first", conditions=("image",), needs=("image",)),
        Family("MochiPipeline", least_steps=2),
        Family("SanaVideoPipeline", call=_BINNED, frames="frames", asks_for_table=True),
        Family(
            "SanaImageToVideoPipeline", call=_BINNED, frames="frames", holds_first=_always, conditions=("image",),
            needs=("image",), asks_for_table=True,
        ),
        Family("Kandinsky5T2VPipeline", "channels_last", asks_for_table=True),
        Family(
            "Kandinsky5I2VPipeline", "channels_last", holds_first=_always, conditions=("image",), needs=("image",),
            asks_for_table=True,
        ),
        Family("FluxPipeline", "packed", **_EMBEDDED),
        Family(
            "FluxKontextPipeline", "packed", call={"_auto_resize": False}, sized=_own_area, conditions=("image",),
            reference=True, **_EMBEDDED,
        ),
        Family("Flux2Pipeline", "packed", conditions=("image",), reference=True, reference_area=1024**2, **_EMBEDDED),
        Family(
            "Flux2KleinPipeline", "packed", conditions=("image",), reference=True, reference_area=1024**2,
            negative=False,
        ),
        Family("ChromaPipeline", "packed"),
        Family("QwenImagePipeline", "packed", guidance="true_cfg_scale"),
        Family("StableDiffusion3Pipeline", "image", asks_for_table=True),
        Family("StableDiffusionPipeline", "image", denoisers=("unet",), text_length=None),
        Family("StableDiffusionXLPipeline", "image", denoisers=("unet",), sized=_told_full_size, text_length=None),
        Family("ZImagePipeline", "image"),
        Family("SanaPipeline", "image", call=_BINNED, asks_for_table=True),
        Family("AuraFlowPipeline", "image", asks_for_table=True),
    )
}  # fmt: skip

_FRAME_LEVELS = "every frame has a noise level of its own"
_CHUNKS = "it makes a video chunk by chunk, each from the one before"
_FROM_PICTURE = (
    "it starts in the middle of the levels, from a given picture, which a later stage would start from again"
)
_CONTROLS = "its control picture is made for one size"
_OWN_SIZES = "it snaps every size to a list of its own"
_EDM = "its levels are EDM's and lie far above 1, which no policy here is made for"

# Pipelines that would run along a schedule and be wrong, or cannot at all: the reason, as the end of a sentence.
REFUSED: Mapping[str, str] = {
    "LTXConditionPipeline": "it does not step the latents that it prepares",
    "LTX2Pipeline": "its sound has latents of its own, which a switch would lose",
    "LTX2ImageToVideoPipeline": "its sound has latents of its own, which a switch would lose",
    "LTX2ConditionPipeline": "its sound has latents of its own, which a switch would lose",
    "LTXI2VLongMultiPromptPipeline": _CHUNKS,
    "LTXLatentUpsamplePipeline": "it has no denoising loop",
    "WanVideoToVideoPipeline": _FROM_PICTURE,
    "WanAnimatePipeline": _CHUNKS,
    "SkyReelsV2DiffusionForcingPipeline": _FRAME_LEVELS,
    "SkyReelsV2DiffusionForcingImageToVideoPipeline": _FRAME_LEVELS,
    "SkyReelsV2DiffusionForcingVideoToVideoPipeline": _FRAME_LEVELS,
    "HunyuanVideoFramepackPipeline": _CHUNKS,
    "HunyuanVideo15ImageToVideoPipeline": "its size follows from the picture alone and cannot be asked for",
    "HeliosPipeline": _CHUNKS,
    "HeliosPyramidPipeline": "it switches its resolution itself",
    "CogVideoXVideoToVideoPipeline": _FROM_PICTURE,
    "CogVideoXFunControlPipeline": _CONTROLS,
    "Kandinsky5T2IPipeline": _OWN_SIZES,
    "Kandinsky5I2IPipeline": _OWN_SIZES,
    "Cosmos2TextToImagePipeline": _EDM,
    "Cosmos2VideoToWorldPipeline": _EDM,
    "CosmosTextToWorldPipeline": _EDM,
    "CosmosVideoToWorldPipeline": _EDM,
    "StableVideoDiffusionPipeline": _EDM,
    "FluxImg2ImgPipeline": _FROM_PICTURE,
    "FluxInpaintPipeline": _FROM_PICTURE,
    "FluxFillPipeline": "the mask of what is to be filled is made for one size",
    "FluxControlPipeline": _CONTROLS,
    "FluxControlNetPipeline": _CONTROLS,
    "FluxKontextInpaintPipeline": _FROM_PICTURE,
    "QwenImageImg2ImgPipeline": _FROM_PICTURE,
    "QwenImageInpaintPipeline": _FROM_PICTURE,
    "QwenImageControlNetPipeline": _CONTROLS,
    "StableDiffusionImg2ImgPipeline": _FROM_PICTURE,
    "StableDiffusionInpaintPipeline": _FROM_PICTURE,
    "StableDiffusionControlNetPipeline": _CONTROLS,
    "StableDiffusionXLImg2ImgPipeline": _FROM_PICTURE,
    "StableDiffusionXLInpaintPipeline": _FROM_PICTURE,
    "StableDiffusionXLControlNetPipeline": _CONTROLS,
    "StableDiffusion3Img2ImgPipeline": _FROM_PICTURE,
    "StableDiffusion3InpaintPipeline": _FROM_PICTURE,
    "StableDiffusion3ControlNetPipeline": _CONTROLS,
    "ChromaImg2ImgPipeline": _FROM_PICTURE,
    "ZImageImg2ImgPipeline": _FROM_PICTURE,
    "SanaSprintPipeline": "its scheduler adds noise in a way that no switch here accounts for",
    "LatentConsistencyModelPipeline": "its scheduler adds noise in a way that no switch here accounts for",
    "PRXPipeline": "nobody has checked how it reads the sizes of its stages",
}


# No pipeline of diffusers: engine.hpdm runs it, level by level.
LEVELS = Family("Hpdm", negative=False, text_length=None)


def family_of(pipeline: object) -> Family:
    """The family of a pipeline class by its name; raises InvalidInput with the reason for one that is refused."""
    name = str(pipeline)[:80]
    if name in FAMILIES:
        return FAMILIES[name]
    why = REFUSED.get(name, "nobody has checked it; docs/models.md says how a family is added")
    raise InvalidInput("model", f"{name} cannot follow a resolution schedule: {why}.")
