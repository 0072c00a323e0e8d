"""What a level's network is given and asked for, by `HpdmConfig.target`.

"v" is SnapVideo's with the unscaled x0 [S]. The other two are ours [O]: v at the *effective* angle, that of the clean
signal as it is scaled, so that input and target are uncorrelated at every input scale; and the same of the residual to
the level below. With up the level below at these pixels, tau the residual's scale and sigma = s / (c b), the latter is
EDM's preconditioning about `up` instead of about zero [E]:

    input (z / (c b) - up) / sqrt(tau^2 + sigma^2),   x0 = (tau^2 z / (c b) + sigma^2 up) / (tau^2 + sigma^2) - scale v

written so that nothing divides by c: pure noise is the limit up. "v_effective" is up = 0, tau = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.hpdm.hpdm_config import HpdmConfig
from engine.hpdm.patch_noise import net_input, target, x0_from_v


@dataclass(frozen=True, slots=True)
class Preconditioning:
    """Input, target and clean estimate of one level. z, x0, eps, below (B, C, f, h, w), phi (B,)."""

    plain: bool
    b: float
    tau: float = 1.0
    residual: bool = False

    @classmethod
    def of(cls, config: HpdmConfig, level: int) -> Preconditioning:
        """That of a level; at level 0 there is nothing below, and the residual is the picture itself."""
        tau = config.residual_scales[level] if config.target == "residual" else 1.0
        return cls(config.target == "v", config.input_scales[level], tau, config.target == "residual" and level > 0)

    def input(self, z: Tensor, phi: Tensor, below: Tensor | None = None) -> Tensor:
        """What the network sees, at unit variance."""
        if self.plain:
            return net_input(z, phi, self.b)
        signal, _, norm = self._effective(phi, z)
        return (z - signal / self.tau * self._up(z, below)) / norm

    def target(self, x0: Tensor, eps: Tensor, phi: Tensor, below: Tensor | None = None) -> Tensor:
        """What the network is asked for, at about unit variance."""
        if self.plain:
            return target(x0, eps, phi)
        signal, noise, norm = self._effective(phi, x0)
        return (signal * eps - noise * (x0 - self._up(x0, below)) / self.tau) / norm

    def x0(self, z: Tensor, v: Tensor, phi: Tensor, below: Tensor | None = None) -> Tensor:
        """The clean estimate; exact when v is."""
        if self.plain:
            return x0_from_v(z, v, phi, self.b)
        signal, noise, norm = self._effective(phi, z)
        seen = self.input(z, phi, below)
        return self._up(z, below) + self.tau * (signal * seen - noise * v) / norm

    def _effective(self, phi: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sizes of signal and noise in z, and of both together."""
        phi = phi.reshape(-1, *([1] * (like.ndim - 1)))
        signal, noise = phi.cos() * self.b * self.tau, phi.sin()
        return signal, noise, (signal.square() + noise.square()).sqrt()

    def _up(self, like: Tensor, below: Tensor | None) -> Tensor:
        if not self.residual:
            return torch.zeros((), dtype=like.dtype, device=like.device)
        if below is None:
            raise ValueError("the residual needs the level below")
        return below
