"""The model: levels run together in training, or one level alone with the recorded features of those below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from engine.hpdm.fusion import Alignment, DeepContextFusion, alignment, coordinates, pixels_below
from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.latents import Conditioning, LatentStart
from engine.hpdm.rin_block import RinBlock
from engine.hpdm.tokens import Detokenizer, Tokenizer


@dataclass(slots=True)
class LevelState:
    """A level on its way through the blocks; `inputs[i]` is what it brought to block i, where that was recorded."""

    level: int
    offsets: Tensor  # (B, 3), pixels of the level
    tokens: Tensor  # (B, n, d)
    latents: Tensor  # (B, m + conditioning, d')
    inputs: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Features:
    """Recorded block inputs of a finished level: `inputs[i]` (B, n, d) for the blocks that a higher level sees."""

    offsets: Tensor
    inputs: Mapping[int, Tensor]


@dataclass(frozen=True, slots=True)
class LevelInput:
    """One level's patches for the network, at unit variance, and what goes with them."""

    pixels: Tensor  # (B, C, f, h, w)
    phi: Tensor  # (B,)
    offsets: Tensor  # (B, 3)
    labels: Tensor  # (B, conditions)
    previous: Tensor | None = None  # latents of the last step (B, m, d')
    below: Tensor | None = None  # the level below at these pixels, at unit variance


class Hpdm(nn.Module):
    """RIN blocks shared by all levels, joined from coarse to fine by deep context fusion.

    Information flows upwards only: a level never sees a finer one, so that levels can be sampled one after another.
    """

    def __init__(self, config: HpdmConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenize, self.detokenize = Tokenizer(config), Detokenizer(config)
        self.conditioning, self.start_latents = Conditioning(config), LatentStart(config)
        self.blocks = nn.ModuleList(
            RinBlock(config.dim, config.latent_dim, config.compute, config.heads) for _ in config.level_blocks
        )
        self.fusions = nn.ModuleList(
            DeepContextFusion(config) if config.deep and n > 1 else nn.Identity() for n in config.level_blocks
        )
        self.to_tokens = nn.Linear(config.latent_dim, config.dim) if config.token_condition else None

    def start(self, level: int, given: LevelInput) -> LevelState:
        """Tokens and latents of a level before its first block."""
        pixels = given.pixels
        if self.config.pixels_beside:
            below = torch.zeros_like(pixels) if given.below is None else given.below
            pixels = torch.cat([pixels, below], 1)
        said = self.conditioning(level, given.phi, given.labels)  # (B, 2 + conditions, d')
        tokens = self.tokenize(pixels)  # (B, n, d)
        if self.to_tokens is not None:
            tokens = tokens + self.to_tokens(said.sum(1))[:, None]
        latents = torch.cat([self.start_latents(given.previous, len(tokens)), said], 1)
        return LevelState(level, given.offsets, tokens, latents)

    def finish(self, state: LevelState) -> tuple[Tensor, Tensor]:
        """v (B, C, f, h, w) and the latents (B, m, d') for the next step."""
        return self.detokenize(state.tokens), state.latents[:, : self.config.latents]

    def run(
        self,
        states: Sequence[LevelState],
        below: Mapping[int, Features],
        *,
        record: bool = False,
        stop: int | None = None,
    ) -> None:
        """Take levels through their blocks, in place; levels that are not run are read from `below`.

        `record` keeps what levels bring to blocks; `stop` ends before that block, after recording its input.
        Rows of a lower level beyond those of a higher one are not seen by it.
        """
        n = self.config.level_blocks
        at = self._aligned(states, below) if self.config.deep else {}
        where = {s.level: coordinates(self.config, s.level, s.offsets, s.tokens) for s in states if s.level and at}
        for i, (fuse, block) in enumerate(zip(self.fusions, self.blocks, strict=True)):
            active = [s for s in states if s.level < n[i]]
            inputs = {s.level: s.tokens for s in active}
            if record:
                for s in active:
                    s.inputs[i] = s.tokens
            if i == stop:
                return
            for s in active:
                if s.level and self.config.deep:
                    lower = [inputs[k] if k in inputs else below[k].inputs[i] for k in range(s.level)]
                    lower = [a[: len(s.tokens)] for a in lower]
                    s.tokens = fuse(s.tokens, lower, [at[s.level, k] for k in range(s.level)], where[s.level])
            if active:
                _through(block, active)

    def _aligned(self, states: Sequence[LevelState], below: Mapping[int, Features]) -> dict[tuple[int, int], Alignment]:
        """How each level that is run samples each one below it."""
        places = {k: f.offsets for k, f in below.items()} | {s.level: s.offsets for s in states}
        out = {}
        for s in states:
            for k in range(s.level):
                parent = (k, places[k][: len(s.offsets)])
                out[s.level, k] = alignment(self.config, (s.level, s.offsets), parent, self.config.token_grid, s.tokens)
        return out

    def forward(self, levels: Sequence[LevelInput]) -> list[tuple[Tensor, Tensor]]:
        """All levels together, coarsest first, nested patches in the same row: (v, latents) of each.

        A lower level may have more rows than a higher one; the first rows are the parents. Where the target is the
        residual, `below` must be given: what the network sees of the level below is no picture then.
        """
        if self.config.pixels_beside and self.config.target != "residual":
            levels = [levels[0], *(self._with_pixels(levels, k) for k in range(1, len(levels)))]
        states = [self.start(k, given) for k, given in enumerate(levels)]
        self.run(states, {})
        return [self.finish(s) for s in states]

    def _with_pixels(self, levels: Sequence[LevelInput], level: int) -> LevelInput:
        """A level with the pixels of the patch below, as the network sees them there, at its own pixels."""
        own, parent = levels[level], levels[level - 1]
        rows = len(own.pixels)
        below = pixels_below(self.config, (level, own.offsets), parent.offsets[:rows], parent.pixels[:rows])
        below = below.detach() if self.config.detach else below
        return LevelInput(own.pixels, own.phi, own.offsets, own.labels, own.previous, below)


def _through(block: nn.Module, active: Sequence[LevelState]) -> None:
    """One block for several levels at once: rows of all levels in one batch."""
    counts = [len(s.tokens) for s in active]
    tokens, latents = block(torch.cat([s.tokens for s in active]), torch.cat([s.latents for s in active]))
    for s, x, z in zip(active, tokens.split(counts), latents.split(counts), strict=True):
        s.tokens, s.latents = x, z
