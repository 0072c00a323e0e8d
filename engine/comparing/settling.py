"""At which step of the baseline each band of spatial detail settles: how long a smaller latent loses nothing by it.

At every step the model's guess of the final latents, `x0 = x - σ·v`, is kept: three latent frames, in the host's
memory, as on the device they would count in the peaks of the baseline and of no other run. At the end its DCT is
compared with the last one's, band by band. Band k holds the coefficients that a latent at rate `EDGES[k + 1]` has and
one at rate `EDGES[k]` has not: those with `EDGES[k] <= max(i/h, j/w) < EDGES[k + 1]`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from engine.measuring.device import wait_for
from engine.measuring.late_flags import host_copy
from engine.reports.closeness import Bands
from engine.switching.noise_field import dct2

EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the Nyquist frequency: rates of latent size
# 5 % of a band's energy is 13 dB below the band itself. On the shipped model that is where the curves have bent: the
# lowest band gets there after a fifth of the steps, the highest in the second half.
THRESHOLD = 0.05


class BandWatch:
    """Collects a run's guesses; hand its `see` to `run_staged` as `watch`. Nothing in it waits for the device."""

    def __init__(self) -> None:
        self._guesses: list[Tensor] = []
        self._device = torch.device("cpu")

    def see(self, x: Tensor, velocity: Tensor, sigma: float) -> None:
        """One step: what the model saw and answered, (B, C, T, h, w), and the noise level it was told."""
        last = x.shape[2] - 1
        frames = sorted({0, (last + 1) // 2, last})
        guess = [x[0, :, t].float() - sigma * velocity[0, :, t].float() for t in frames]
        kept = torch.float16 if x.device.type == "cuda" else torch.float32
        self._device = x.device
        self._guesses.append(host_copy(torch.stack(guess).to(kept)))

    def bands(self) -> Bands | None:
        """How the bands settled; None where nothing was seen or sizes changed on the way. Lets the guesses go."""
        guesses, self._guesses = self._guesses, []
        if not guesses or len({guess.shape for guess in guesses}) > 1:
            return None
        wait_for(self._device)
        final = dct2(guesses[-1].to(self._device))  # (frames, C, h, w)
        masks = _masks(final.shape[-2], final.shape[-1], final.device)
        energy = _by_band(final, masks)
        errors = [_by_band(dct2(guess.to(self._device)) - final, masks) for guess in guesses]
        error = torch.stack(errors, 1)  # (bands, steps)
        if not bool(torch.isfinite(error).all()):
            return None
        share = torch.where(energy[:, None] > 0, error / energy[:, None].clamp_min(1e-30), 0.0).cpu()
        curves = tuple(tuple(round(value, 6) for value in band) for band in share.tolist())
        return Bands(edges=EDGES, threshold=THRESHOLD, settled=tuple(map(settled, curves)), error=curves)


def settled(error: tuple[float, ...], threshold: float = THRESHOLD) -> int:
    """The first step, from 1, from which the error stays at or under the threshold."""
    above = [step for step, value in enumerate(error, 1) if value > threshold]
    return above[-1] + 1 if above else 1


def _masks(height: int, width: int, device: torch.device) -> Tensor:
    """(bands, h, w): which coefficients belong to which band; each to exactly one."""
    rows = torch.arange(height, device=device)[:, None] / height
    columns = torch.arange(width, device=device)[None] / width
    radius = torch.maximum(rows, columns)
    inside = [(radius >= low) & (radius < high) for low, high in pairwise(EDGES)]
    return torch.stack(inside).float()


def _by_band(coefficients: Tensor, masks: Tensor) -> Tensor:
    """Energy of coefficients (frames, C, h, w) in each band: (bands,)."""
    return (masks * coefficients.square().sum((0, 1))).sum((-2, -1))
