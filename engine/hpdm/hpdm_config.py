"""What a hierarchical patch diffusion model is made of: one frozen config, saved with the weights.

Tags in this package say where a statement comes from: [P] the HPDM paper (arXiv 2406.07792), [S] SnapVideo
(2402.14797), [R] RIN (2212.11972) and its reference code, [E] EDM, [C] Chen 2023 (2301.10972), [I] our own inference
or choice, [O] ours: a departure from the paper's form that a trial speaks for (docs/hpdm.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from engine.errors import InvalidInput

Fusion = Literal["dcf", "dcf+pixels", "shallow", "none"]
Target = Literal["v", "v_effective", "residual"]
FusionInit = Literal["random", "identity"]
Axes = tuple[int, int, int]  # frames, height, width


@dataclass(frozen=True, slots=True)
class HpdmConfig:
    """Shape of the model and every switch of the paper's ablations.

    `patch` is the size in pixels of every patch at every level [P]; a level has `grow` times the frames, height and
    width of the one below it. `token` is the size of one token in pixels. `level_blocks[i]` levels, counted from the
    coarsest, pass through block i (adaptive computation [P]); all equal to `levels` means none. `input_scales[l]` is
    the factor b on the clean signal of level l ([C]; that this is what HPDM means by input scaling is [I]).
    `fusion`: deep context fusion, the RGB pixels of the level below (the paper's baseline), or nothing. `detach`: no
    gradient through the context. `coordinates`: raw coordinates beside it. `token_condition`: noise level, level and
    labels are added to the data tokens too, not only given as latent tokens [I]. `conditions`: labels by name; index 0
    is "not said" and is not in the list.

    The defaults are the paper's form. What departs from it is ours [O]: `fusion` "dcf+pixels", deep context fusion and
    the parent's pixels beside it; `target` "v_effective" or "residual" (engine.hpdm.target), the latter with
    `residual_scales`, the root mean square of a level less its enlarged parent, of itself at level 0; `fusion_init`
    "identity" of equation 9; `embedding_init`, the deviation of new label and level embeddings; `sigmas`, the highest
    and the lowest noise level that sampling visits at each level, empty for even angles; `guided_levels`, how many
    levels, from the coarsest, guidance acts on, None for all.
    """

    patch: Axes
    levels: int
    token: Axes
    dim: int
    latent_dim: int
    latents: int
    compute: int
    heads: int
    level_blocks: tuple[int, ...]
    input_scales: tuple[float, ...]
    conditions: Mapping[str, tuple[str, ...]]
    grow: Axes = (2, 2, 2)
    fusion: Fusion = "dcf"
    detach: bool = False
    coordinates: bool = True
    token_condition: bool = False
    channels: int = 3
    target: Target = "v"
    residual_scales: tuple[float, ...] = ()
    fusion_init: FusionInit = "random"
    embedding_init: float = 1.0
    sigmas: tuple[tuple[float, float], ...] = ()
    guided_levels: int | None = None

    def __post_init__(self) -> None:
        whole = all(p > 0 and t > 0 and p % t == 0 for p, t in zip(self.patch, self.token, strict=True))
        _hold(whole, "token", self.token, f"divide the patch {self.patch}")
        _hold(1 <= self.levels <= 8, "levels", self.levels, "be 1 to 8")
        ok = bool(self.level_blocks) and all(1 <= n <= self.levels for n in self.level_blocks)
        _hold(ok and self.level_blocks[-1] == self.levels, "level_blocks", self.level_blocks, "end with all levels")
        _hold(list(self.level_blocks) == sorted(self.level_blocks), "level_blocks", self.level_blocks, "never fall")
        ok = len(self.input_scales) == self.levels and all(0 < b <= 1 for b in self.input_scales)
        _hold(ok, "input_scales", self.input_scales, "be one number in (0, 1] a level")
        for name, kind in (("fusion", Fusion), ("target", Target), ("fusion_init", FusionInit)):
            _hold(
                getattr(self, name) in get_args(kind), name, getattr(self, name), f"be of {', '.join(get_args(kind))}"
            )
        self._check_ours()
        _hold(all(g in (1, 2) for g in self.grow), "grow", self.grow, "be 1 or 2 an axis")
        ok = self.dim % self.heads == 0 and self.latent_dim % self.heads == 0
        _hold(ok, "heads", self.heads, f"divide the widths {self.dim} and {self.latent_dim}")

    def _check_ours(self) -> None:
        scales, residual = self.residual_scales, self.target == "residual"
        ok = len(scales) == (self.levels if residual else 0) and all(t > 0 for t in scales)
        _hold(ok, "residual_scales", scales, "be one positive number a level for the residual, else none")
        ok = len(self.sigmas) in (0, self.levels) and all(high > low > 0 for high, low in self.sigmas)
        _hold(ok, "sigmas", self.sigmas, "be the highest and the lowest noise level of every level, or nothing")
        _hold(self.embedding_init > 0, "embedding_init", self.embedding_init, "be positive")
        guided = self.guided_levels
        _hold(guided is None or 0 <= guided <= self.levels, "guided_levels", guided, f"be 0 to {self.levels}, or null")

    @property
    def deep(self) -> bool:
        """Whether features of the levels below are fused before each block."""
        return self.fusion in ("dcf", "dcf+pixels")

    @property
    def pixels_beside(self) -> bool:
        """Whether a level's tokens are made of the parent's pixels too."""
        return self.fusion in ("dcf+pixels", "shallow")

    @property
    def needs_below(self) -> bool:
        """Whether a level above the coarsest must be given the level below at its own pixels."""
        return self.pixels_beside or self.target == "residual"

    def branches(self, level: int, guidance: float) -> int:
        """Network rows of a tile of a level: two where guidance acts, with labels and without."""
        acts = self.guided_levels is None or level < self.guided_levels
        return 2 if acts and not math.isclose(guidance, 1.0) else 1

    def size(self, level: int) -> Axes:
        """Frames, height and width of a level's whole video."""
        f, h, w = (p * g**level for p, g in zip(self.patch, self.grow, strict=True))
        return f, h, w

    @property
    def token_grid(self) -> Axes:
        """Tokens of a patch along each axis."""
        f, h, w = (p // t for p, t in zip(self.patch, self.token, strict=True))
        return f, h, w

    def first_block(self, level: int) -> int:
        """The block in which a level enters."""
        return next(i for i, n in enumerate(self.level_blocks) if n > level)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {k: dict(v) if isinstance(v, Mapping) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> HpdmConfig:
        """Parse a saved config. Raises InvalidInput for a key that is unknown or missing, or a value that cannot be."""
        names = {f.name for f in fields(cls)}
        strange = sorted(set(raw) - names)
        _hold(not strange, "config", strange, f"have only the keys {', '.join(sorted(names))}")
        values: dict[str, Any] = {k: _tupled(v) for k, v in raw.items()}
        try:
            values["conditions"] = {str(k): tuple(v) for k, v in values["conditions"].items()}
            return cls(**values)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise InvalidInput(
                "config", f"The model's config cannot be read ({error}); export the model again."
            ) from error


def _tupled(value: Any) -> Any:
    """JSON's lists, in each other too, as tuples."""
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else value


def _hold(ok: bool, field: str, value: object, rule: str) -> None:
    if not ok:
        raise InvalidInput(field, f"{field} is {str(value)[:80]}; it must {rule}.")
