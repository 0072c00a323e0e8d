"""Work that a denoising loop repeats at every step and need not: done once while a run lasts, with the very same bits.

Every forward pass of Wan's transformer computes anew what depends on the prompt alone (the text embedding, each block's
cross-attention keys and values), on the timestep alone (for both passes of guidance) and on the latent size alone (the
rotary tables). None of it shrinks with the latent, so it weighs most just where a schedule hopes to save. Here the
modules that compute it keep their outputs, and give one again only for the same tensor object, unchanged since.

The pipeline's loop and the model's code stay as they are: `forward` is replaced on the instances, and put back after.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers.models.embeddings import PixArtAlphaTextProjection, TimestepEmbedding, Timesteps
from diffusers.models.transformers.transformer_wan import (
    WanAttnProcessor,
    WanRotaryPosEmbed,
    WanTimeTextImageEmbedding,
    WanTransformer3DModel,
)
from torch import Tensor, nn

from engine.models.denoisers import denoisers_of, is_compiled
from engine.models.diffusers_private import OFFLOAD_HOOK
from engine.patching import patched

Forward = Callable[..., Any]
PROMPTS = 2  # the prompt and the negative one take turns
# Of one model's keys, values and embeddings: all of Wan 2.1 1.3B's (200 MB in bfloat16), what fits of a larger one's.
# The rotary tables of the latest size come on top: a kilobyte a token, which every pass would make anyway.
KEPT_BYTES = 256 * 2**20
TIME = {"timesteps_proj": Timesteps, "time_embedder": TimestepEmbedding, "act_fn": nn.SiLU, "time_proj": nn.Linear}
PLAIN = ("torch.nn.modules.", "diffusers.models.")  # where classes live whose output depends on their input alone


@contextlib.contextmanager
def done_once(pipe: Any) -> Iterator[Kept]:
    """While the block runs, the pipeline's Wan transformers do unchanging work once only, to the bit.

    Yields what is kept, so that it can be dropped early; it is dropped at the end in any case. Steps aside, and leaves
    the work as it was, where an output might change meanwhile or the saving would be lost: another class of
    transformer, training mode, a compiled model or block; and for each single module that is of another class than
    Wan's own (LoRA adapters, quantised layers), has fused projections, or carries hooks (offload, layerwise casting,
    caches).
    """
    kept = Kept()
    try:
        with contextlib.ExitStack() as stack:
            for model in _transformers(pipe):
                for module, forward in _replacements(model, kept):
                    stack.enter_context(patched(module, forward=forward))
            yield kept
    finally:
        kept.drop()


class Kept:
    """All that a run remembers."""

    def __init__(self) -> None:
        self.memos: list[Memo | SizeMemo | TimeChain] = []

    def drop(self) -> None:
        """Forget it all; what is asked for again is computed again."""
        for memo in self.memos:
            memo.clear()


class Memo:
    """A module's `forward` that keeps its newest outputs, by the identity of the one tensor that goes in.

    `room` limits the bytes of all memos that share it: what finds no room is computed each time.
    """

    def __init__(self, forward: Forward, entries: int, room: Room | None = None) -> None:
        self._forward, self._entries, self._room = forward, entries, room
        self._outputs: list[tuple[Tensor, int, Tensor]] = []

    def __call__(self, x: Tensor, *others: Any, **named: Any) -> Any:
        if others or named:
            return self._forward(x, *others, **named)
        output = self.find(x)
        if output is None:
            output = self._forward(x)
            self.keep(x, output)
        return output

    def find(self, x: Tensor) -> Tensor | None:
        """The output for this very tensor, if it is kept and the tensor was not written to since; shared, no copy."""
        return next((output for seen, version, output in self._outputs if seen is x and version == _version(x)), None)

    def keep(self, x: Tensor, output: Tensor) -> bool:
        """Keep an output as it is, dropping the oldest; False where there is no room."""
        while len(self._outputs) >= self._entries:
            self._forget(self._outputs.pop(0)[2])
        if self._room and not self._room.take(output.nbytes):
            return False
        self._outputs.append((x, _version(x), output))
        return True

    def made(self, tensor: Tensor) -> bool:
        """Whether a tensor is one of the outputs that are kept."""
        return any(output is tensor for _, _, output in self._outputs)

    def clear(self) -> None:
        while self._outputs:
            self._forget(self._outputs.pop()[2])

    def _forget(self, output: Tensor) -> None:
        if self._room:
            self._room.left += output.nbytes


class Room:
    """Bytes that memos may still keep together."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> bool:
        if size > self.left:
            return False
        self.left -= size
        return True


class KeyMemo(Memo):
    """In `to_k`'s place: remembers the keys as they are after `norm_k`, so that no second copy of them is kept.

    `normed`, in `norm_k`'s place, then lets them pass.
    """

    def __init__(self, project: Forward, norm: Forward, entries: int, room: Room) -> None:
        super().__init__(project, entries, room)
        self._norm = norm

    def __call__(self, x: Tensor, *others: Any, **named: Any) -> Any:
        keys = self.find(x)
        if keys is not None:
            return keys
        raw = self._forward(x)
        normed = self._norm(raw)
        return normed if self.keep(x, normed) else raw

    def normed(self, keys: Tensor) -> Any:
        return keys if self.made(keys) else self._norm(keys)


class TimeChain:
    """The embedding of a timestep, of which both passes of guidance need the same: a chain of modules, each a link.

    Casts to other dtypes lie between the modules, so a link cannot know its input again. But where the embedder is
    given the very timestep of the pass before, unchanged, and text of the same dtype, every link computes what it has
    just computed. With a timestep for each token (Wan 2.2 TI2V 5B) nothing is kept: every pass makes a new tensor of
    them, and what belongs to it takes gigabytes.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._timestep: Tensor | None = None
        self._of: tuple[int, torch.dtype] | None = None  # its version, and the text's dtype
        self._same = self._keeping = False
        self._outputs: dict[str, Tensor] = {}

    def entered(self, embed: Forward) -> Forward:
        """In the place of the embedder's `forward`: looks whether this is the timestep of the pass before."""

        @functools.wraps(embed)
        def entering(timestep: Tensor, text: Tensor, image: Any = None, timestep_seq_len: int | None = None) -> Any:
            of = _version(timestep), text.dtype
            self._keeping = timestep_seq_len is None
            self._same = self._keeping and self._timestep is timestep and self._of == of
            if not self._same:
                self.clear()
                if self._keeping:
                    self._timestep, self._of = timestep, of
            return embed(timestep, text, image, timestep_seq_len=timestep_seq_len)

        return entering

    def link(self, name: str, forward: Forward) -> Forward:
        """In the place of a module's `forward`."""

        @functools.wraps(forward)
        def linked(x: Tensor) -> Any:
            if self._same and name in self._outputs:
                return self._outputs[name]
            output = forward(x)
            if self._keeping and name not in self._outputs and self._room.take(output.nbytes):
                self._outputs[name] = output
            return output

        return linked

    @property
    def held_bytes(self) -> int:
        return sum(output.nbytes for output in self._outputs.values())

    def clear(self) -> None:
        self._room.left += self.held_bytes
        self._outputs.clear()
        self._timestep = self._of = None


class SizeMemo:
    """The rotary tables of the latest latent size: they depend on nothing else of the latents."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._size: Any = None
        self._tables: Any = None

    def __call__(self, x: Tensor) -> Any:
        size = x.shape, x.device
        if size != self._size:
            self.clear()
            self._tables, self._size = self._forward(x), size
        return self._tables

    def clear(self) -> None:
        self._size = self._tables = None


def _transformers(pipe: Any) -> list[Any]:
    models = denoisers_of(pipe).values()
    return [m for m in models if type(m) is WanTransformer3DModel and not m.training and not is_compiled(m)]


def _replacements(model: Any, kept: Kept) -> Iterator[tuple[nn.Module, Forward]]:
    """Modules of a transformer, and what takes their `forward`'s place."""
    room, embedder, light = Room(KEPT_BYTES), model.condition_embedder, _plain(model, WanTransformer3DModel)

    def memo(new: Memo | SizeMemo) -> Forward:
        kept.memos.append(new)
        return new

    chain = TimeChain(room)
    kept.memos.append(chain)
    if _plain(model.rope, WanRotaryPosEmbed):
        yield model.rope, memo(SizeMemo(model.rope.forward))
    if _plain(embedder.text_embedder, PixArtAlphaTextProjection):
        yield embedder.text_embedder, memo(Memo(embedder.text_embedder.forward, PROMPTS, room))
    links, own = {name: getattr(embedder, name) for name in TIME}, type(embedder) is WanTimeTextImageEmbedding
    if own and _untouched(embedder) and all(_plain(links[name], kind) for name, kind in TIME.items()):
        yield from ((module, chain.link(name, module.forward)) for name, module in links.items())
        yield embedder, chain.entered(embedder.forward)
    for attention in (block.attn2 for block in model.blocks):
        if _attends_to_text(attention):
            keys = KeyMemo(attention.to_k.forward, attention.norm_k.forward, PROMPTS, room)
            yield attention.norm_k, keys.normed
            yield attention.to_k, memo(keys)
            yield attention.to_v, memo(Memo(attention.to_v.forward, PROMPTS, room))
    if light:
        yield model, _without_autograd(model.forward)


def _attends_to_text(attention: Any) -> bool:
    """Whether an attention's keys and values are of the text alone, computed in the plain way."""
    return (
        _plain(attention.to_k, nn.Linear)
        and _plain(attention.to_v, nn.Linear)
        and _plain(attention.norm_k, nn.RMSNorm)
        and type(attention.processor) is WanAttnProcessor
        and attention.is_cross_attention
        and attention.add_k_proj is None  # with an image, the text is cut out anew in every pass
        and not getattr(attention, "fused_projections", False)
    )


def _plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module and all in it are the library's own classes, without hooks and with nothing replaced."""
    return type(module) is kind and all(
        type(part).__module__.startswith(PLAIN) and _untouched(part) for part in module.modules()
    )


def _untouched(part: nn.Module) -> bool:
    replaced = {"forward", OFFLOAD_HOOK} & part.__dict__.keys()
    return not replaced and not part._forward_hooks and not part._forward_pre_hooks


def _without_autograd(forward: Forward) -> Forward:
    """A forward pass in inference mode: the same kernels, and less to note down for every operation."""

    @functools.wraps(forward)
    def light(*args: Any, **kwargs: Any) -> Any:
        with torch.inference_mode():
            return forward(*args, **kwargs)

    return light


def _version(x: Tensor) -> int:
    """How often a tensor was written to. Inference tensors do not count: they live inside one pass's chain only."""
    return 0 if x.is_inference() else x._version
