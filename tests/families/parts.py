"""Tiny text encoders, tokenizers and pictures: what every family's pipeline is built with. Nothing is fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

WORDS = ["<pad>", "</s>", "<unk>", "<s>", "a", "red", "apple", "banana", "drifting", "over", "blue", "stripes"]
CHAT = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
PROMPT = {"prompt": "a red apple", "negative_prompt": "blue stripes"}


@dataclass(frozen=True)
class Case:
    """One family's tiny pipeline, and a call of it: sizes in pixels, at which the rates 1.0, 0.75 and 0.5 differ."""

    name: str
    build: Callable[[], Any]
    height: int = 64
    width: int = 96
    frames: int = 1
    call: Mapping[str, Any] = field(default_factory=lambda: PROMPT)
    settle: Callable[[Any], Any] = lambda pipe: pipe  # what no saved folder holds, set again after loading


def seeded(build: Callable[[], Any]) -> Callable[[], Any]:
    """The same weights every time, in evaluation mode, without a progress bar."""

    def built() -> Any:
        torch.manual_seed(0)
        pipe = build()
        for component in pipe.components.values():
            if isinstance(component, torch.nn.Module):
                component.eval()
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return built


def tokenizer(length: int = 16) -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    built = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="<s>",
        model_max_length=length,
    )  # fmt: skip
    built.chat_template = CHAT
    return built


def t5(width: int = 16) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(vocab_size=len(WORDS), d_model=width, d_kv=8, num_heads=2, num_layers=1, d_ff=32, pad_token_id=0)
    )


def clip(width: int = 16, projected: bool = False) -> Any:
    config = CLIPTextConfig(
        vocab_size=len(WORDS), hidden_size=width, intermediate_size=32, num_attention_heads=2, num_hidden_layers=2,
        projection_dim=width, max_position_embeddings=77, pad_token_id=0, eos_token_id=1, bos_token_id=3,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def clip_vision(width: int = 16) -> CLIPVisionModel:
    return CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=width, intermediate_size=32, projection_dim=width, num_attention_heads=2, num_hidden_layers=2,
            image_size=32, patch_size=16,
        )
    )  # fmt: skip


def picture(width: int = 96, height: int = 64) -> Image.Image:
    """Two gradients, so that a crop, a flip or a resize of it shows."""
    red, green = Image.linear_gradient("L"), Image.linear_gradient("L").rotate(90)
    return Image.merge("RGB", (red, green, red)).resize((width, height))
