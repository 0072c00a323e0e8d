"""Features of finished levels: constant while a level above is sampled, so they are worth keeping [P]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from einops import repeat
from torch import Tensor

from engine.errors import InvalidInput
from engine.hpdm.fusion import pixels_below
from engine.hpdm.hpdm_config import Axes
from engine.hpdm.hpdm_model import Features, Hpdm, LevelInput
from engine.hpdm.patch_noise import PHI_MIN, net_input
from engine.hpdm.sampling_request import GROUP
from engine.hpdm.target import Preconditioning
from engine.hpdm.tiles import parents_of

Where = Literal["off", "device", "cpu"]


class ContextCache:
    """Block inputs of finished levels by (level, offset), computed when asked for, kept or not.

    `canvases[k]` (V, C, F, H, W) is level k's finished video with its own fixed noise at PHI_MIN: with fresh noise each
    time, kept and recomputed features would differ. Rows of a tile are its videos, for each of `labels` (branches).
    Patches run in groups of GROUP, short ones filled up with their last patch: what is computed anew is then what
    was kept, bit for bit.
    """

    def __init__(self, model: Hpdm, labels: Tensor, where: str = "device") -> None:
        if where not in get_args(Where):
            raise InvalidInput("cache", f"cache is {where[:40]!r}; it must be off, device or cpu.")
        self.model, self.labels, self.where = model, labels, where
        self.canvases: list[Tensor] = []
        self.kept: dict[tuple[int, Axes], dict[int, Tensor]] = {}
        self.computed = 0

    @property
    def bytes(self) -> int:
        """Size of what is kept."""
        return sum(t.numel() * t.element_size() for entry in self.kept.values() for t in entry.values())

    def finish(self, canvas: Tensor) -> None:
        """The next level is finished: its video (V, C, F, H, W) with noise at PHI_MIN."""
        self.canvases.append(canvas)

    def features(self, level: int, tiles: Sequence[Axes], rows: int | None = None) -> dict[int, Features]:
        """What tiles of `level` see of the levels below; rows are tiles, then branches and videos.

        `rows` of each tile, the first of the cache's: a level without guidance has one branch.
        """
        if not self.model.config.deep:
            return {}
        out = self._features(level, tiles, rows or len(self.labels))
        if self.where == "off":  # only these tiles have shared their parents
            self.kept.clear()
        return out

    def _features(self, level: int, tiles: Sequence[Axes], rows: int) -> dict[int, Features]:
        chains = [parents_of(self.model.config, tile, level) for tile in tiles]
        out: dict[int, Features] = {}
        for k in range(level):
            places = [chain[k] for chain in chains]
            entries = self._entries(k, places)
            device = self.labels.device
            blocks = self._blocks(k)
            inputs = {i: torch.cat([entries[p][i][:rows] for p in places]).to(device) for i in blocks}
            out[k] = Features(_rows(places, rows), inputs)
        return out

    def below(self, level: int, tiles: Sequence[Axes], rows: int | None = None) -> Tensor | None:
        """The level below at each tile's pixels (B, C, f, h, w), at unit variance; None where the model needs none."""
        config, rows = self.model.config, rows or len(self.labels)
        if level == 0 or not config.needs_below:
            return None
        places = [parents_of(config, tile, level)[-1] for tile in tiles]
        z, phi = self._noisy(level - 1, places, rows)
        picture = net_input(z, phi, config.input_scales[level - 1])
        return pixels_below(config, (level, _rows(tiles, rows)), _rows(places, rows), picture)

    def _blocks(self, level: int) -> list[int]:
        """Blocks at which a higher level looks at this one."""
        return [i for i, n in enumerate(self.model.config.level_blocks) if n > level + 1]

    def _noisy(self, level: int, places: Sequence[Axes], rows: int) -> tuple[Tensor, Tensor]:
        """Patches (B, C, f, h, w) of a finished level's canvas and their phi (B,)."""
        canvas, (f, h, w) = self.canvases[level], self.model.config.patch
        z = torch.cat([canvas[..., t : t + f, y : y + h, x : x + w] for t, y, x in places])
        count = {"places": len(places), "branches": rows // len(canvas)}
        z = repeat(z, "(places videos) c f h w -> (places branches videos) c f h w", **count)
        return z, torch.full((len(z),), PHI_MIN, device=z.device)

    def _entries(self, level: int, places: Sequence[Axes]) -> dict[Axes, dict[int, Tensor]]:
        """Features of each place, by block, (rows, n, d)."""
        wanted = sorted({p for p in places if (level, p) not in self.kept})
        for start in range(0, len(wanted), GROUP):
            self._compute(level, wanted[start : start + GROUP])
        return {p: self.kept[level, p] for p in places}

    def _compute(self, level: int, places: list[Axes]) -> None:
        """Run one group of a finished level's patches, as far as a higher level looks, and keep what it sees."""
        places = [*places, *places[-1:] * (GROUP - len(places))]
        blocks, model = self._blocks(level), self.model
        rows = len(self.labels)
        z, phi = self._noisy(level, places, rows)
        below = self.below(level, places)
        pixels = Preconditioning.of(model.config, level).input(z, phi, below)
        labels = self.labels.repeat(len(places), 1)
        state = model.start(level, LevelInput(pixels, phi, _rows(places, rows), labels, None, below))
        model.run([state], self._features(level, places, rows), record=True, stop=blocks[-1])
        self.computed += len(places)
        target = torch.device("cpu") if self.where == "cpu" else pixels.device
        for n, place in enumerate(places):
            cut = slice(n * rows, (n + 1) * rows)
            self.kept[level, place] = {i: state.inputs[i][cut].to(target, copy=True) for i in blocks}


def _rows(places: Sequence[Axes], rows: int) -> Tensor:
    """Offsets (B, 3) of so many rows of each place."""
    return torch.tensor(places).repeat_interleave(rows, 0)
