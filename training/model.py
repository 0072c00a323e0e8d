"""The networks of a recipe, in exactly Wan's classes, and the pipeline that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from training.autoencoder import build_vae
from training.config import DitConfig, Recipe

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
PUNCTUATION = (",", ".", "-", "!", "?", "'")


def build_tokenizer(captions: Iterable[str], max_length: int) -> PreTrainedTokenizerFast:
    """Word-level, lower-case, ends with `</s>` as T5 does; knows the words of `captions`."""
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    splitter = pre_tokenizers.Whitespace()
    words = {word for caption in captions for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(caption))}
    order = [PAD, END, UNKNOWN, *sorted(words | set(PUNCTUATION))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(order)}, unk_token=UNKNOWN))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )


def build_text_encoder(cfg: DitConfig, words: int) -> UMT5EncoderModel:
    """A small untrained UMT5 encoder."""
    config = UMT5Config(
        vocab_size=words,
        d_model=cfg.text_dim,
        d_kv=32,
        num_heads=cfg.text_dim // 32,
        num_layers=cfg.text_layers,
        d_ff=2 * cfg.text_dim,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
    )
    return UMT5EncoderModel(config)


def build_transformer(cfg: DitConfig, z_dim: int) -> WanTransformer3DModel:
    """An untrained transformer whose blocks start as the identity (adaLN-zero, DiT, arXiv 2212.09748)."""
    model: Any = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=cfg.heads,
        attention_head_dim=cfg.head_dim,
        in_channels=z_dim,
        out_channels=z_dim,
        text_dim=cfg.text_dim,
        freq_dim=256,
        ffn_dim=cfg.ffn,
        num_layers=cfg.layers,
        rope_max_seq_len=64,
    )
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(model.patch_embedding.weight.flatten(1))
    zero = [model.proj_out, model.condition_embedder.time_proj, *(b.attn2.to_out[0] for b in model.blocks)]
    for layer in zero:
        nn.init.zeros_(layer.weight)
    for block in model.blocks:
        nn.init.zeros_(block.scale_shift_table)
    nn.init.zeros_(model.scale_shift_table)
    return model


def build_scheduler(shift: float) -> UniPCMultistepScheduler:
    """Wan's sampler: UniPC on flow sigmas."""
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, num_train_timesteps=1000
    )


class Generator(nn.Module):
    """What the second stage trains: the transformer and its text encoder."""

    def __init__(self, transformer: WanTransformer3DModel, text_encoder: UMT5EncoderModel) -> None:
        super().__init__()
        self.transformer: Any = transformer
        self.text_encoder: Any = text_encoder

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (B, L) to embeddings (B, L, text_dim), zero at the padding, as the pipeline does."""
        mask = ids.ne(0)
        hidden = self.text_encoder(ids, mask.long()).last_hidden_state
        return hidden * mask[..., None]

    def forward(self, x: Tensor, timestep: Tensor, ids: Tensor) -> Tensor:
        """Velocity at x (B, z, T, h, w), timestep (B,) in 0..1000, for captions ids (B, L)."""
        return self.transformer(x, timestep, self.embed(ids), return_dict=False)[0]


def build_generator(recipe: Recipe, words: int, seed: int = 0) -> Generator:
    """Untrained transformer and text encoder of a recipe."""
    torch.manual_seed(seed)
    return Generator(build_transformer(recipe.dit, recipe.vae.z_dim), build_text_encoder(recipe.dit, words))


def load_generator(start: Path) -> tuple[Generator, PreTrainedTokenizerFast]:
    """Transformer and text encoder of a saved pipeline, in fp32, and the tokenizer whose words they know."""
    transformer: Any = WanTransformer3DModel.from_pretrained(start / "transformer")
    text_encoder: Any = UMT5EncoderModel.from_pretrained(start / "text_encoder")
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(start / "tokenizer")
    return Generator(transformer.float(), text_encoder.float()).requires_grad_(True).train(), tokenizer


def token_ids(tokenizer: PreTrainedTokenizerFast, captions: Sequence[str], max_length: int) -> Tensor:
    """Captions to ids (B, max_length), cleaned as `WanPipeline` cleans a prompt."""
    out = tokenizer(
        [prompt_clean(caption) for caption in captions],
        padding="max_length",
        max_length=max_length,
        truncation=True,
        return_tensors="pt",
    )
    return out.input_ids


def assemble(
    generator: Generator, vae: AutoencoderKLWan, tokenizer: PreTrainedTokenizerFast, shift: float
) -> WanPipeline:
    """The pipeline around given networks."""
    pipe: Any = WanPipeline(
        tokenizer=tokenizer,
        text_encoder=generator.text_encoder,
        transformer=generator.transformer,
        vae=vae,
        scheduler=build_scheduler(shift),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def build(recipe: Recipe, captions: Iterable[str]) -> WanPipeline:
    """The whole untrained pipeline of a recipe; `captions` give the tokenizer its words."""
    tokenizer = build_tokenizer(captions, recipe.dit.max_length)
    generator = build_generator(recipe, len(tokenizer))
    return assemble(generator, build_vae(recipe.vae), tokenizer, recipe.dit.shift)
